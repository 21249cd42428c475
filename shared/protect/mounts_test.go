package protect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestPropagation: what is mounted in a container stays there.
func TestPropagation(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"binds": ["/srv/data"], "except": {"a.io/agent": ["host-namespaces"]}}`), Options{Root: host(t)})
	for value, want := range map[string]policy.Setting{
		"": "", "private": "", "rprivate": "", "slave": "", "rslave": "", "shared": policy.SettingHostNamespaces, "rshared": policy.SettingHostNamespaces,
	} {
		point := container.MountPoint{Type: mount.TypeBind, Source: "/srv/data", Destination: "/x", RW: true, Propagation: mount.Propagation(value)}
		ask := &engine{containers: map[string]Subject{"other": {Host: &container.HostConfig{}, Mounts: []container.MountPoint{point}}}}
		for name, s := range map[string]Subject{
			"binds":        {Host: &container.HostConfig{Binds: []string{"/srv/data:/x:" + value}}},
			"read-only":    {Host: &container.HostConfig{Binds: []string{"/usr:/x:ro," + value}}},
			"mounts":       {Host: &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: "/srv/data", Target: "/x", BindOptions: &mount.BindOptions{Propagation: mount.Propagation(value)}}}}},
			"made":         {Made: true, Mounts: []container.MountPoint{point}},
			"volumes-from": {Host: &container.HostConfig{VolumesFrom: []string{"other"}}},
		} {
			t.Run(name+" "+value, func(t *testing.T) {
				t.Parallel()
				check(t, rules.Container(t.Context(), s, ask), want)
				s.Image = named(t, "a.io/agent")
				check(t, rules.Container(t.Context(), s, ask), "")
			})
		}
		check(t, rules.Volume("local", map[string]string{"type": "none", "device": "/srv/data", "o": "bind," + value}), want)
	}
}

// TestProtectedByAnotherName: a protected place may itself be a link, or have
// two names.
func TestProtectedByAnotherName(t *testing.T) {
	t.Parallel()
	root := host(t, "/data/store/", "/data/elsewhere/", "/mnt/boot/kernel", "/efi -> /mnt/boot")
	if err := os.RemoveAll(filepath.Join(root, "var/lib/docker")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/data/store", filepath.Join(root, "var/lib/docker")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(root, "etc/shadow"), filepath.Join(root, "srv/data/copy")); err != nil {
		t.Fatal(err)
	}
	rules := New(standard(t, "{}"), Options{Root: root})
	for raw, want := range map[string]policy.Setting{
		"/srv/data/copy:/x:ro":      paths,
		"/data/store/volumes:/x:ro": paths,
		"/data:/x:ro":               paths,
		"/data/elsewhere:/x:ro":     "",
		"/mnt/boot/kernel:/x":       paths,
		"/mnt/boot/kernel:/x:ro":    "",
		"/mnt/boot/x:/x:ro":         paths,
	} {
		check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil), want)
	}
}

func TestOtherMounts(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for name, c := range map[string]struct {
		mount mount.Mount
		want  policy.Setting
	}{
		"memory":         {mount.Mount{Type: mount.TypeTmpfs, Target: "/x"}, ""},
		"image":          {mount.Mount{Type: mount.TypeImage, Source: "/etc/docker", Target: "/x"}, ""},
		"no type":        {mount.Mount{Source: "/etc/docker", Target: "/x"}, paths},
		"a type of ours": {mount.Mount{Type: "Bind", Source: "/etc/docker", Target: "/x"}, paths},
		"relative":       {mount.Mount{Type: mount.TypeBind, Source: `\etc`, Target: "/x"}, paths},
		"empty":          {mount.Mount{Type: mount.TypeBind, Target: "/x"}, paths},
		"too long":       {mount.Mount{Type: mount.TypeBind, Source: "/" + strings.Repeat("x/", 4096), Target: "/x"}, paths},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Mounts: []mount.Mount{c.mount}}}, nil), c.want)
		})
	}
}

// TestPlacesMove: what root makes of a protected place is seen after a while.
func TestPlacesMove(t *testing.T) {
	t.Parallel()
	root := host(t, "/data/store/")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rules := New(standard(t, "{}"), Options{Root: root, Now: func() time.Time { return now }})
	s := Subject{Host: &container.HostConfig{Binds: []string{"/data/store:/x:ro"}}}
	check(t, rules.Container(t.Context(), s, nil), "")
	if err := os.Symlink("/data/store", filepath.Join(root, "var/lib/containerd")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(layoutFor)
	check(t, rules.Container(t.Context(), s, nil), paths)
}

// TestChain: what a path consists of is what its last name says, however many
// links led there.
func TestChain(t *testing.T) {
	t.Parallel()
	tree := newTree(host(t))
	for name, want := range map[string]string{"/srv/chain/lock": "/run/lock", "/srv/other/file": "/srv/data/file", "/lib/modules": "/usr/lib/modules", "/srv/up": "/etc/docker"} {
		f, err := tree.resolve(name)
		if err != nil || f.path != want || len(f.chain) != strings.Count(want, "/")+1 {
			t.Errorf("%s: got %s of %d parts, %v, want %s", name, f.path, len(f.chain), err, want)
		}
	}
}
