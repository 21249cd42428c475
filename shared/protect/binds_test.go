package protect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

const (
	paths = policy.SettingPaths
	binds = policy.SettingBinds
)

// sources are binds on the usual host, as -v takes them.
var sources = map[string]policy.Setting{
	// What people mount every day.
	"/etc/localtime:/etc/localtime:ro":   "",
	"/etc/ssl/certs:/etc/ssl/certs:ro":   "",
	"/etc/passwd:/etc/passwd:ro":         "",
	"/lib/modules:/lib/modules:ro":       "",
	"/usr/share/zoneinfo:/z:ro,rprivate": "",
	"/srv/data:/data":                    "",
	"/srv/data:/data:rw":                 "",
	"/srv/data/file:/f:z":                "",
	"/srv/other:/data":                   "",
	"/srv/new/folder:/data":              "",
	"/var/lib/app/data:/data":            "",
	"/var/log/app:/log":                  "",
	"/var/log:/log:ro":                   "",
	"/opt/app:/app":                      "",
	"/tmp:/tmp:ro":                       "",
	"/sys/class/net:/n:ro":               "",
	"/sys/fs/cgroup:/sys/fs/cgroup:ro":   "",
	"/anonymous":                         "",
	"name:/data":                         "",
	"name:/data:ro":                      "",

	// Never, under whatever name.
	"/:/h":                               paths,
	"/:/h:ro":                            paths,
	"//:/h:ro":                           paths,
	"/./:/h:ro":                          paths,
	"/srv/..:/h:ro":                      paths,
	"/run/docker.sock:/s":                paths,
	"/run/docker.sock:/s:ro":             paths,
	"/var/run/docker.sock:/s:ro":         paths,
	"/var/run:/s:ro":                     paths,
	"/var/lock:/s:ro":                    paths,
	"//run//docker.sock:/s:ro":           paths,
	"/srv/../run/docker.sock:/s:ro":      paths,
	"/srv/engine:/s:ro":                  paths,
	"/srv/chain/docker.sock:/s:ro":       paths,
	"/srv/up:/s:ro":                      paths,
	"/srv/up/daemon.json:/s:ro":          paths,
	"/run/new:/s":                        paths,
	"/proc:/p:ro":                        paths,
	"/srv/magic:/p:ro":                   paths,
	"/proc/1/root/srv:/p:ro":             paths,
	"/dev/log:/l":                        paths,
	"/dev/shm:/l":                        paths,
	"/var:/v:ro":                         paths,
	"/var/lib:/v:ro":                     paths,
	"/var/lib/docker/volumes:/v:ro":      paths,
	"/var/lib/docker-stig/trust:/v:ro":   paths,
	"/var/lib/containerd:/v:ro":          paths,
	"/etc:/e:ro":                         paths,
	"/etc/docker:/e:ro":                  paths,
	"/etc/docker-stig/policy.json:/e:ro": paths,
	"/etc/shadow:/e:ro":                  paths,
	"/etc/ssl:/e:ro":                     paths,
	"/etc/ssl/private/key.pem:/e:ro":     paths,
	"/etc/ssh/ssh_host_rsa_key:/e:ro":    paths,
	"/root:/r:ro":                        paths,

	// Not to be written.
	"/etc/passwd:/p":          paths,
	"/etc/passwd:/p:rw":       paths,
	"/etc/passwd:/p:ro,Z":     paths,
	"/etc/cron.d:/c":          paths,
	"/usr/bin:/b":             paths,
	"/bin:/b":                 paths,
	"/lib/systemd/system:/b":  paths,
	"/boot:/b":                paths,
	"/root/bin:/b":            paths,
	"/var/spool:/b":           paths,
	"/var/spool/cron/root:/b": paths,
	"/var/log:/l":             paths,
	"/tmp:/t":                 paths,
	"/home:/h":                paths,
	"/sys/fs/cgroup:/c":       paths,
	"/sys:/s:ro":              paths, // control groups are mounted below, and may stay writable

	// Others than root could put something else there.
	"/tmp/x:/x":            binds,
	"/tmp/x/y:/x:ro":       binds,
	"/var/tmp/build:/x:ro": binds,
	"/srv/loose/data:/x":   binds,
	"/srv/group/data:/x":   binds,
	"/srv/tolink/data:/x":  binds,
	"/srv/intoloose:/x":    binds,

	// What cannot be followed or read.
	"/srv/loop:/x":        paths,
	"/srv/data/file/x:/x": paths,
	"/srv/\x00:/x":        paths,
	":/x":                 paths,
	"/srv:/x:ro:ro":       paths,
}

func loosened(tb testing.TB) string {
	tb.Helper()
	return host(tb, "0777 /srv/loose/", "0775 /srv/group/", "/srv/loose/data/", "/srv/group/data/", "/srv/tolink -> loose", "/srv/intoloose -> /srv/loose/elsewhere", "/srv/magic -> /proc/1/root/srv/data", "/srv/loose/elsewhere -> /srv/data")
}

func TestBinds(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: loosened(t)})
	for raw, want := range sources {
		t.Run(strings.ReplaceAll(raw, "/", "|"), func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, &engine{}), want)
		})
	}
}

// TestBindsElsewhere: a bind is the same bind in Mounts, in a container that
// exists, by way of another container and as a volume.
func TestBindsElsewhere(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: loosened(t)})
	for raw, want := range sources {
		parts := strings.Split(raw, ":")
		if len(parts) < 2 || len(parts) > 3 || !strings.HasPrefix(raw, "/") || strings.HasSuffix(raw, "Z") {
			continue
		}
		options := strings.Join(parts[2:], ",")
		readOnly := strings.Contains(options, "ro")
		point := container.MountPoint{Type: mount.TypeBind, Source: parts[0], Destination: parts[1], RW: !readOnly, Mode: options}
		ask := &engine{
			containers: map[string]Subject{"other": {Host: &container.HostConfig{}, Mounts: []container.MountPoint{point}}},
			volumes:    map[string]map[string]string{"vol": {"type": "none", "o": "rbind," + options, "device": parts[0]}},
		}
		untyped := point
		untyped.Type = ""
		for name, s := range map[string]Subject{
			"mounts":       {Host: &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: parts[0], Target: "/x", ReadOnly: readOnly}}}},
			"made":         {Host: &container.HostConfig{}, Made: true, Mounts: []container.MountPoint{point}},
			"made of old":  {Host: &container.HostConfig{}, Made: true, Mounts: []container.MountPoint{untyped}},
			"volumes-from": {Host: &container.HostConfig{VolumesFrom: []string{"other"}}},
		} {
			t.Run(name+" "+strings.ReplaceAll(raw, "/", "|"), func(t *testing.T) {
				t.Parallel()
				check(t, rules.Container(t.Context(), s, ask), want)
			})
		}
		if filepath.Clean(parts[0]) != parts[0] {
			want = paths // mount(2) does not clean it, so it is refused for that
		}
		t.Run("volume "+strings.ReplaceAll(raw, "/", "|"), func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"vol:/x"}}}, ask), want)
			check(t, rules.Volume("", ask.volumes["vol"]), want)
		})
	}
}

// TestListedBinds: the site answers for a source, never for what it leads to.
func TestListedBinds(t *testing.T) {
	t.Parallel()
	root := loosened(t)
	if err := os.Symlink("/run/docker.sock", filepath.Join(root, "srv/loose/sock")); err != nil {
		t.Fatal(err)
	}
	rules := New(standard(t, `{"binds": ["/srv/loose", "/tmp/ci"], "except": {"a.io/agent": ["binds"], "a.io/engine": ["paths"], "a.io/both": ["paths", "binds"]}}`), Options{Root: root})
	for _, c := range []struct {
		image, raw string
		want       policy.Setting
	}{
		{"a.io/x", "/srv/loose/data:/x", ""},
		{"a.io/x", "/srv/loose:/x", ""},
		{"a.io/x", "/tmp/ci/job:/x", ""},
		{"a.io/x", "/tmp/cix:/x", binds},
		{"a.io/x", "/srv/loose/sock:/x:ro", paths},
		{"a.io/x", "/srv/group/data:/x", binds},
		{"a.io/agent", "/srv/group/data:/x", ""},
		{"a.io/agent", "/run/docker.sock:/x", paths},
		{"a.io/engine", "/run/docker.sock:/x", ""},
		{"a.io/engine", "/tmp/x:/x", binds},
		{"a.io/both", "/tmp/x:/x", ""},
	} {
		t.Run(c.image+" "+strings.ReplaceAll(c.raw, "/", "|"), func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Image: named(t, c.image), Host: &container.HostConfig{Binds: []string{c.raw}}}, &engine{}), c.want)
		})
	}
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
	check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"/home/alice:/x"}}}, nil), "")
}

// TestProtectedByAnotherName: a protected place may itself be a link, or have
// two names.
func TestProtectedByAnotherName(t *testing.T) {
	t.Parallel()
	root := host(t, "/data/store/", "/data/elsewhere/", "/mnt/boot/", "/efi -> /mnt/boot")
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
		"/data/elsewhere:/x":        "",
		"/mnt/boot/x:/x":            paths,
		"/mnt/boot/x:/x:ro":         "",
	} {
		check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil), want)
	}
}

// TestMountsBelow: a read-only bind says nothing of what is mounted below it,
// unless the mount leaves that out or takes it read-only.
func TestMountsBelow(t *testing.T) {
	t.Parallel()
	root := host(t)
	rules := New(standard(t, "{}"), Options{Root: root})
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
	check(t, New(standard(t, "{}"), Options{Root: silent}).Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{"/usr:/u:ro"}}}, nil), paths)
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

// FuzzBind holds what is let through against another resolver's opinion of
// where it leads.
func FuzzBind(f *testing.F) {
	for raw := range sources {
		f.Add(raw)
	}
	root := loosened(f)
	rules := New(standard(f, "{}"), Options{Root: root})
	f.Fuzz(func(t *testing.T, raw string) {
		for _, s := range []Subject{
			{Host: &container.HostConfig{Binds: []string{raw}}},
			{Host: &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: raw, Target: "/x"}}}},
		} {
			if err := rules.Container(t.Context(), s, &engine{}); err != nil {
				continue
			}
			source, options := raw, ""
			if len(s.Host.Binds) > 0 {
				parts := strings.Split(raw, ":")
				if len(parts) == 1 || !strings.HasPrefix(raw, "/") {
					continue // a volume
				}
				source, options = parts[0], strings.Join(parts[2:], ",")
			}
			led, err := securejoin.SecureJoin(root, filepath.Clean(source))
			if err != nil {
				t.Fatalf("%q was let through, and cannot be followed: %v", raw, err)
			}
			reached := "/" + strings.TrimPrefix(strings.TrimPrefix(led, root), "/")
			for _, p := range rules.places {
				if p.meets(p.path, reached) && (!p.readable || !strings.Contains(options, "ro")) {
					t.Errorf("%q was let through, and leads to %s, which meets %s", raw, reached, p.path)
				}
			}
			if strings.HasPrefix(reached, "/tmp/") || strings.HasPrefix(reached, "/srv/loose/") {
				t.Errorf("%q was let through, and leads to %s, which others can change", raw, reached)
			}
		}
	})
}

// TestPlacesMove: what root makes of a protected place is seen after a while.
func TestPlacesMove(t *testing.T) {
	t.Parallel()
	root := host(t, "/data/store/")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rules := New(standard(t, "{}"), Options{Root: root, Now: func() time.Time { return now }})
	s := Subject{Host: &container.HostConfig{Binds: []string{"/data/store:/x"}}}
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

// TestRelabelled: a label is written to a source that is bound read-only.
func TestRelabelled(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for mode, want := range map[string]policy.Setting{"ro": "", "": "", "ro,z": paths, "Z,ro": paths} {
		m := container.MountPoint{Type: mount.TypeBind, Source: "/etc/passwd", Destination: "/x", Mode: mode}
		check(t, rules.Container(t.Context(), Subject{Made: true, Mounts: []container.MountPoint{m}}, nil), want)
	}
}
