package protect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	"/srv/data:/data:ro":                 "",
	"/srv/other:/data:ro":                "",
	"/srv/new/folder:/data:ro":           "",
	"/var/lib/app/data:/data:ro,rslave":  "",
	"/var/log/app:/log:ro":               "",
	"/var/log:/log:ro":                   "",
	"/opt/app:/app:ro":                   "",
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

	// Not there, and the engine would make it.
	"/usr/share/new:/n:ro":      paths,
	"/etc/new/deep:/n:ro":       paths,
	"/lib/modules/6.9:/n:ro":    paths,
	"/var/spool/cron/new:/n:ro": paths,

	// To be written only if the site says so.
	"/srv/data:/data":           binds,
	"/srv/data:/data:rw":        binds,
	"/srv/data:/data:rprivate":  binds,
	"/srv/data/file:/f":         binds,
	"/srv/data/file:/f:z":       binds,
	"/srv/other:/data":          binds,
	"/srv/new/folder:/data":     binds,
	"/var/lib/app/data:/data":   binds,
	"/var/log/app:/log":         binds,
	"/opt/app:/app":             binds,
	"/home/alice:/h":            binds,
	"/srv:/s:ro":                binds, // a disk is mounted below, and may stay writable
	"/srv/with space:/s:rslave": binds,
	"/srv/with space:/s:ro":     "",
	"/srv/with space/new:/s:ro": "",

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

// TestListedBinds: the site answers for a folder, or for all that is below it,
// and never for a protected path that it leads to.
func TestListedBinds(t *testing.T) {
	t.Parallel()
	root := loosened(t)
	for link, target := range map[string]string{"srv/loose/sock": "/run/docker.sock", "srv/way": "/srv/data/folder/deep", "srv/gate": "/srv/data"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	rules := New(standard(t, `{"binds": ["/srv/loose/**", "/tmp/ci/**", "/tmp/exact", "/srv/data", "/srv/later", "/var/lib/docker/volumes", "/usr/share/zoneinfo/UTC"],
		"except": {"a.io/agent": ["binds"], "a.io/engine": ["paths"], "a.io/both": ["paths", "binds"]}}`), Options{Root: root})
	for _, c := range []struct {
		image, raw string
		want       policy.Setting
	}{
		{"a.io/x", "/srv/data:/x", ""},
		{"a.io/x", "/srv/data:/x:ro,Z", ""},
		{"a.io/x", "/srv/other:/x", ""}, // a link to it
		{"a.io/x", "/srv/gate:/x", ""},
		{"a.io/x", "/srv/later:/x", ""},
		{"a.io/x", "/srv/dat:/x", binds},
		{"a.io/x", "/srv/data/file:/x", binds}, // by now a link, perhaps
		{"a.io/x", "/srv/data/file:/x:ro", binds},
		{"a.io/x", "/srv/data/new/deep:/x:ro", binds},
		{"a.io/x", "/srv/other/file:/x:ro", binds},
		{"a.io/x", "/srv/gate/folder:/x:ro", binds},
		{"a.io/x", "/srv/way:/x:ro", binds},
		{"a.io/x", "/srv/later/new:/x:ro", binds},
		{"a.io/agent", "/srv/data/file:/x", ""},
		{"a.io/x", "/srv/loose/data:/x", ""},
		{"a.io/x", "/srv/loose:/x", ""},
		{"a.io/x", "/srv/loose/new/deep:/x", ""},
		{"a.io/x", "/srv/loose/elsewhere:/x", ""}, // a link to what is listed itself
		{"a.io/x", "/srv/loose/sock:/x:ro", paths},
		{"a.io/x", "/tmp/ci/job:/x", ""},
		{"a.io/x", "/tmp/cix:/x", binds},
		{"a.io/x", "/tmp/exact:/x:ro", binds}, // others can replace it
		{"a.io/x", "/var/lib/docker/volumes:/x", paths},
		{"a.io/x", "/usr/share/zoneinfo/UTC:/x", paths},
		{"a.io/agent", "/srv/group/data:/x", ""},
		{"a.io/agent", "/run/docker.sock:/x", paths},
		{"a.io/engine", "/run/docker.sock:/x", binds},
		{"a.io/engine", "/tmp/x:/x", binds},
		{"a.io/both", "/tmp/x:/x", ""},
		{"a.io/both", "/run/docker.sock:/x", ""},
	} {
		t.Run(c.image+" "+strings.ReplaceAll(c.raw, "/", "|"), func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Image: named(t, c.image), Host: &container.HostConfig{Binds: []string{c.raw}}}, &engine{}), c.want)
		})
	}
}

// TestLedAstray: a listed folder that others can replace lists nothing of what
// they make of it.
func TestLedAstray(t *testing.T) {
	t.Parallel()
	root := host(t, "/tmp/exact -> /srv/data")
	rules := New(standard(t, `{"binds": ["/tmp/exact"]}`), Options{Root: root})
	for raw, want := range map[string]policy.Setting{"/srv/data:/x": binds, "/tmp/exact:/x": binds, "/srv/data/file:/x:ro": ""} {
		check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil), want)
	}
}

// TestBindText: a refusal says what to list.
func TestBindText(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"binds": ["/srv/data"]}`), Options{Root: host(t)})
	for raw, want := range map[string]string{
		"/srv/chest:/x":        `list "/srv/chest" in protect.binds`,
		"/tmp/x:/x:ro":         `list "/tmp/x/**" in protect.binds`,
		"/srv/data/file:/x:ro": `list "/srv/data/**" in place of "/srv/data" in protect.binds`,
	} {
		err := rules.Container(t.Context(), Subject{Host: &container.HostConfig{Binds: []string{raw}}}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", raw, err, want)
		}
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
			if !strings.Contains(options, "ro") {
				t.Errorf("%q was let through, and may write %s", raw, reached)
			}
			if strings.HasPrefix(reached, "/tmp/") || strings.HasPrefix(reached, "/srv/loose/") {
				t.Errorf("%q was let through, and leads to %s, which others can change", raw, reached)
			}
		}
	})
}
