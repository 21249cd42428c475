package protect

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestSpecialFiles: a socket works as well through a bind that is read-only.
func TestSpecialFiles(t *testing.T) {
	t.Parallel()
	root := host(t)
	short := filepath.Join(t.TempDir(), "s") // a socket's path is short
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", short)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Rename(short, filepath.Join(root, "srv/data/socket")); err != nil {
		t.Fatal(err)
	}
	s := Subject{Host: &container.HostConfig{Binds: []string{"/srv/data/socket:/s:ro"}}}
	check(t, New(standard(t, "{}"), Options{Root: root}).Container(t.Context(), s, nil), binds)
	check(t, New(standard(t, `{"binds": ["/srv/data/socket"]}`), Options{Root: root}).Container(t.Context(), s, nil), "")
}

// TestOwner: a folder of somebody else's is theirs to change, whatever its mode.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	root := host(t)
	if err := os.Chown(filepath.Join(root, "home/alice"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	rules := New(standard(t, "{}"), Options{Root: root})
	check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"/home/alice/app:/x"}}}, nil), binds)
	check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"/home/alice:/x:ro"}}}, nil), "")
}

// TestMountsBelow: a read-only bind says nothing of what is mounted below it,
// unless the mount leaves that out or takes it read-only.
func TestMountsBelow(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t), ReadOnly: true})
	asked := mount.Mount{Type: mount.TypeBind, Source: "/sys", Target: "/s", ReadOnly: true}
	made := container.MountPoint{Type: mount.TypeBind, Source: "/sys", Destination: "/s"}
	for name, c := range map[string]struct {
		options *mount.BindOptions
		want    policy.Setting
	}{
		"plain":         {nil, paths},
		"forced":        {&mount.BindOptions{ReadOnlyForceRecursive: true}, ""},
		"not recursive": {&mount.BindOptions{NonRecursive: true}, ""},
		"not all of it": {&mount.BindOptions{ReadOnlyNonRecursive: true}, paths},
	} {
		asked := asked
		asked.BindOptions = c.options
		h := &container.HostConfig{Mounts: []mount.Mount{asked}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: h}, nil), c.want)
			check(t, rules.Container(t.Context(), Subject{Host: h, Made: true, Mounts: []container.MountPoint{made}}, nil), c.want)
		})
	}
	silent := host(t)
	if err := os.Remove(filepath.Join(silent, "proc/self/mountinfo")); err != nil {
		t.Fatal(err)
	}
	err := New(standard(t, "{}"), Options{Root: silent}).Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"/usr:/u:ro"}}}, nil)
	if refused := new(Refusal); err == nil || errors.As(err, &refused) {
		t.Errorf("got %v, want an unanswered question", err)
	}
}

// TestRelabelled: a label is written to a source that is bound read-only.
func TestRelabelled(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for mode, want := range map[string]policy.Setting{"ro": "", "": "", "ro,z": paths, "Z,ro": paths} {
		m := container.MountPoint{Type: mount.TypeBind, Source: "/etc/passwd", Destination: "/x", Mode: mode}
		check(t, rules.Container(t.Context(), Subject{Made: true, Mounts: []container.MountPoint{m}}, nil), want)
	}
}
