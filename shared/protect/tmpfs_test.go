package protect

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestTmpfsIsAMountOfItsOwn: what a container has in memory changes nothing
// that is mounted already, whoever asks and whatever he is excepted from.
func TestTmpfsIsAMountOfItsOwn(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"except": {"a.io/agent": ["paths", "binds", "devices", "privileged", "host-namespaces"]}}`), Options{Root: host(t)})
	for name, c := range map[string]struct {
		tmpfs map[string]string
		want  policy.Setting
	}{
		"plain":                   {map[string]string{"/t": ""}, ""},
		"sized":                   {map[string]string{"/t": "rw,noexec,nosuid,nodev,relatime,size=64m,mode=1777,uid=1,gid=1,nr_inodes=1k,nr_blocks=1k,mpol=local"}, ""},
		"with a slash at its end": {map[string]string{"/run/": "rw"}, ""},
		"shared memory":           {map[string]string{"/dev/shm": "rw,exec,size=1g"}, ""},
		"below a bind":            {map[string]string{"/e/cache": "rw"}, ""},
		"above a bind":            {map[string]string{"/": "rw", "/a": "rw"}, ""},
		"remount":                 {map[string]string{"/sys": "remount,rw"}, paths},
		"remount by a detour":     {map[string]string{"/e/.": "size=1m,remount,rw"}, paths},
		"bind":                    {map[string]string{"/t": "bind"}, paths},
		"recursive bind":          {map[string]string{"/t": "ro,rbind"}, paths},
		"shared":                  {map[string]string{"/t": "rshared"}, paths},
		"private":                 {map[string]string{"/t": "rprivate"}, paths},
		"move":                    {map[string]string{"/t": "move"}, paths},
		"in capitals":             {map[string]string{"/t": "REMOUNT"}, paths},
		"flag with a value":       {map[string]string{"/t": "remount=1"}, paths},
		"value without one":       {map[string]string{"/t": "size"}, paths},
		"copied up":               {map[string]string{"/t": "tmpcopyup"}, paths},
		"an option of nothing":    {map[string]string{"/t": "rw,"}, paths},
		"detour alone":            {map[string]string{"/sys/.": "rw"}, paths},
		"detour upwards":          {map[string]string{"/x/../e": "rw"}, paths},
		"two slashes":             {map[string]string{"//e": "rw"}, paths},
		"two slashes at its end":  {map[string]string{"/e//": "rw"}, paths},
		"relative":                {map[string]string{"e": "rw"}, paths},
		"on a bind":               {map[string]string{"/e": "rw"}, paths},
		"on a bind, by a slash":   {map[string]string{"/e/": "rw"}, paths},
		"on each other":           {map[string]string{"/t": "rw", "/t/": "rw"}, paths},
	} {
		h := &container.HostConfig{Tmpfs: c.tmpfs, Binds: []string{"/etc/ssl/certs:/e:ro"}}
		made := []container.MountPoint{{Type: mount.TypeBind, Source: "/etc/ssl/certs", Destination: "/e", Mode: "ro"}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: h}, nil), c.want)
			check(t, rules.Container(t.Context(), Subject{Host: h, Made: true, Mounts: made}, nil), c.want)
			check(t, rules.Container(t.Context(), Subject{Host: h, Image: named(t, "a.io/agent")}, nil), c.want)
		})
	}
}

// TestTmpfsOnAnyMount: all ways of having something mounted take their place.
func TestTmpfsOnAnyMount(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	ask := &engine{}
	for name, h := range map[string]container.HostConfig{
		"bind":             {Binds: []string{"/usr:/x:ro"}},
		"bind by a detour": {Binds: []string{"/usr:/y/../x:ro"}},
		"volume":           {Binds: []string{"data:/x"}},
		"volume, no name":  {Binds: []string{"/x"}},
		"mount":            {Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: "data", Target: "/x"}}},
		"tmpfs mount":      {Mounts: []mount.Mount{{Type: mount.TypeTmpfs, Target: "/x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &h}, ask), "")
			h.Tmpfs = map[string]string{"/x": "rw"}
			check(t, rules.Container(t.Context(), Subject{Host: &h}, ask), paths)
		})
	}
}

// TestTmpfsMounts: the newer form is held to the same, in services too.
func TestTmpfsMounts(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for name, c := range map[string]struct {
		options [][]string
		want    policy.Setting
	}{
		"none":            {nil, ""},
		"flag":            {[][]string{{"noexec"}, {"size", "1m"}}, ""},
		"remount":         {[][]string{{"remount"}}, paths},
		"in one":          {[][]string{{"exec,remount"}}, paths},
		"behind an equal": {[][]string{{"exec", "1,remount"}}, paths},
		"in a value":      {[][]string{{"size", "1m,remount"}}, paths},
		"of three":        {[][]string{{"size", "1m", "remount"}}, ""}, // of a size that no kernel can read
		"empty":           {[][]string{{}}, paths},
	} {
		list := []mount.Mount{{Type: mount.TypeTmpfs, Target: "/t", TmpfsOptions: &mount.TmpfsOptions{Options: c.options}}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &container.HostConfig{Mounts: list}
			check(t, rules.Container(t.Context(), Subject{Host: h}, nil), c.want)
			check(t, rules.Container(t.Context(), Subject{Host: h, Made: true, Mounts: []container.MountPoint{{Type: mount.TypeTmpfs, Destination: "/t"}}}, nil), c.want)
			check(t, rules.Service(t.Context(), swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Mounts: list}}, nil, nil), c.want)
		})
	}
}

// FuzzTmpfs looks for a word that changes what is mounted already, as the
// engine splits what it hands to mount(2).
func FuzzTmpfs(f *testing.F) {
	f.Add("/t", "rw,size=1m")
	f.Add("/sys/.", "remount,rw")
	words := []string{"remount", "bind", "rbind", "unbindable", "runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave", "move"}
	f.Fuzz(func(t *testing.T, target, options string) {
		if err := tmpfs(Subject{Host: &container.HostConfig{Tmpfs: map[string]string{target: options}}}); err != nil {
			return
		}
		if slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return slices.Contains(words, o) }) || strings.Contains(target, "/.") && strings.Contains(target+"/", "/./") {
			t.Errorf("%q with %q is let through", target, options)
		}
	})
}
