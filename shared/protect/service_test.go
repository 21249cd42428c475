package protect

import (
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestForcedReadOnly: that what is mounted below a bind is read-only is
// believed where it comes to be. Older engines drop the option, and all
// managers do on the way to their nodes.
func TestForcedReadOnly(t *testing.T) {
	t.Parallel()
	root := host(t)
	forced := func(o mount.BindOptions) []mount.Mount {
		return []mount.Mount{{Type: mount.TypeBind, Source: "/sys", Target: "/s", ReadOnly: true, BindOptions: &o}}
	}
	for name, c := range map[string]struct {
		options            mount.BindOptions
		older, newer, task policy.Setting
	}{
		"forced":        {mount.BindOptions{ReadOnlyForceRecursive: true}, paths, "", paths},
		"not recursive": {mount.BindOptions{NonRecursive: true}, "", "", ""},
		"both":          {mount.BindOptions{NonRecursive: true, ReadOnlyForceRecursive: true}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := forced(c.options)
			subject := Subject{Host: &container.HostConfig{Mounts: list}}
			spec := swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Mounts: list}}
			older, newer := New(standard(t, "{}"), Options{Root: root}), New(standard(t, "{}"), Options{Root: root, ReadOnly: true})
			check(t, older.Container(t.Context(), subject, nil), c.older)
			check(t, newer.Container(t.Context(), subject, nil), c.newer)
			check(t, older.Service(t.Context(), spec, nil, nil), c.task)
			check(t, newer.Service(t.Context(), spec, nil, nil), c.task)
		})
	}
}
