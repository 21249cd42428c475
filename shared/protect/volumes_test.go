package protect

import (
	"errors"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

var volumes = map[string]struct {
	driver  string
	options map[string]string
	want    policy.Setting
}{
	"plain":                   {},
	"quota":                   {"local", map[string]string{"size": "10G"}, ""},
	"memory":                  {"", map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=100m,uid=1000"}, ""},
	"network":                 {"local", map[string]string{"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1,rw"}, ""},
	"windows share":           {"local", map[string]string{"type": "cifs", "device": "//fs.example.com/x", "o": "username=x"}, ""},
	"another driver":          {"rexray", map[string]string{"device": "/"}, ""},
	"site's folder":           {"local", map[string]string{"type": "none", "device": "/srv/data", "o": "bind"}, binds},
	"site's, read-only":       {"local", map[string]string{"type": "none", "device": "/srv/data", "o": "bind,ro"}, ""},
	"driver by path":          {"../../../srv/data/evil", nil, paths},
	"root":                    {"local", map[string]string{"type": "none", "device": "/", "o": "bind"}, paths},
	"root as memory":          {"", map[string]string{"type": "tmpfs", "device": "/", "o": "rw,bind"}, paths},
	"root as network":         {"", map[string]string{"type": "nfs", "device": "/", "o": "rbind"}, paths},
	"socket's folder":         {"", map[string]string{"type": "bind", "device": "/run", "o": "ro,rbind"}, paths},
	"by a link":               {"", map[string]string{"type": "none", "device": "/srv/chain", "o": "bind"}, paths},
	"relative":                {"", map[string]string{"type": "none", "device": "etc", "o": "bind"}, paths},
	"with a detour":           {"", map[string]string{"type": "none", "device": "/srv/other/../x", "o": "bind"}, paths},
	"writable":                {"", map[string]string{"type": "none", "device": "/usr", "o": "bind"}, paths},
	"read-only":               {"", map[string]string{"type": "none", "device": "/usr/share", "o": "bind,ro"}, ""},
	"somebody's folder":       {"", map[string]string{"type": "none", "device": "/tmp/x", "o": "bind"}, binds},
	"disk":                    {"local", map[string]string{"type": "ext4", "device": "/dev/sda1"}, policy.SettingDevices},
	"disk of no type":         {"local", map[string]string{"device": "/dev/sda1"}, policy.SettingDevices},
	"bind by type alone":      {"local", map[string]string{"type": "bind", "device": "/srv/data"}, policy.SettingDevices},
	"kernel's":                {"local", map[string]string{"type": "proc", "device": "proc"}, policy.SettingDevices},
	"control groups":          {"local", map[string]string{"type": "cgroup", "device": "x", "o": "devices"}, policy.SettingDevices},
	"layers of folders":       {"local", map[string]string{"type": "overlay", "device": "overlay", "o": "lowerdir=/etc,upperdir=/x,workdir=/y"}, paths},
	"change of what there is": {"local", map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "remount,size=1"}, policy.SettingDevices},
	"an option in capitals":   {"local", map[string]string{"Device": "/", "type": "none"}, policy.SettingDevices},
	"an option of tomorrow":   {"local", map[string]string{"fd": "3"}, policy.SettingDevices},
}

// TestVolumes: a volume's options are judged when it is made, when a container
// would make it, and when a container mounts one that exists.
func TestVolumes(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for name, c := range volumes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Volume(c.driver, c.options), c.want)
			inline := mount.Mount{Type: mount.TypeVolume, Target: "/x", VolumeOptions: &mount.VolumeOptions{DriverConfig: &mount.Driver{Name: c.driver, Options: c.options}}}
			check(t, rules.Container(t.Context(), Subject{Host: &container.HostConfig{Mounts: []mount.Mount{inline}}}, nil), c.want)
			check(t, rules.Service(t.Context(), swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Mounts: []mount.Mount{inline}}}, nil, nil), c.want)
			if c.driver != "" && c.driver != "local" {
				return
			}
			ask := &engine{volumes: map[string]map[string]string{"vol": c.options}}
			for _, s := range []Subject{
				{Host: &container.HostConfig{Binds: []string{"vol:/x:ro"}}},
				{Host: &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: "vol", Target: "/x"}}}},
				{Made: true, Mounts: []container.MountPoint{{Type: mount.TypeVolume, Name: "vol", Driver: "local", Source: "/var/lib/docker/volumes/vol/_data"}}},
				{Made: true, Mounts: []container.MountPoint{{Name: "vol", Driver: "local", Source: "/var/lib/docker/volumes/vol/_data"}}},
			} {
				check(t, rules.Container(t.Context(), s, ask), c.want)
			}
			if len(ask.asked) != 4 {
				t.Errorf("the engine was asked for %q", ask.asked)
			}
		})
	}
}

// TestVolumeText: an exception is for images, and a volume has none.
func TestVolumeText(t *testing.T) {
	t.Parallel()
	err := New(standard(t, "{}"), Options{}).Volume("local", map[string]string{"type": "none", "o": "bind", "device": "/run"})
	if err == nil || !strings.Contains(err.Error(), "make no volume of it but mount it in a container, and except the image") {
		t.Errorf("got %v", err)
	}
}

func TestVolumeNobodyKnows(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	s := Subject{Host: &container.HostConfig{Binds: []string{"new:/x"}}}
	check(t, rules.Container(t.Context(), s, &engine{}), "")
	for _, ask := range []Lookup{&engine{err: errors.New("silence")}, nil} {
		err := rules.Container(t.Context(), s, ask)
		if refused := new(Refusal); err == nil || errors.As(err, &refused) {
			t.Errorf("got %v, want an unanswered question", err)
		}
	}
}

// TestDriver holds names of plugins against paths.
func TestDriver(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]policy.Setting{
		"": "", "local": "", "json-file": "", "rexray/ebs:0.11": "", "registry.example.com:5000/ops/plugin:v1.2": "", "_x": "", "Weave.Net": "",
		"..": paths, ".": paths, "../x": paths, "a/../../x": paths, "a/./b": paths, "a//b": paths, "/run/x": paths, "a/": paths, "a\x00": paths,
		".hidden": paths, "a b": paths, "a\nb": paths, "a:b:c": paths, ":x": paths, "a/:x": paths, "a%2f..": paths, "\u2025/x": paths,
	} {
		check(t, Driver(name), want)
		h := container.HostConfig{VolumeDriver: name}
		rules := New(standard(t, `{"except": {"a.io/x": ["paths", "binds", "devices", "runtimes"]}}`), Options{Root: host(t)})
		for _, s := range []Subject{
			{Host: &h},
			{Host: &container.HostConfig{LogConfig: container.LogConfig{Type: name}}},
			{Host: &h, Made: true},
			{Made: true, Mounts: []container.MountPoint{{Type: mount.TypeVolume, Driver: name}}},
			{Host: &container.HostConfig{Mounts: []mount.Mount{{Type: mount.TypeVolume, VolumeOptions: &mount.VolumeOptions{DriverConfig: &mount.Driver{Name: name}}}}}},
		} {
			s.Image = named(t, "a.io/x")
			check(t, rules.Container(t.Context(), s, nil), want)
		}
		check(t, rules.Service(t.Context(), swarm.TaskSpec{LogDriver: &swarm.Driver{Name: name}}, nil, nil), want)
		ask := &engine{networks: map[string]string{"old": name}}
		check(t, rules.Service(t.Context(), swarm.TaskSpec{Networks: []swarm.NetworkAttachmentConfig{{Target: "old"}}}, nil, ask), want)
	}
}

// TestTemplates: what a swarm puts together for each task is not what was
// judged. In the environment a template does no harm, nor in a container that
// is no task's.
func TestTemplates(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"except": {"a.io/x": ["paths", "binds", "devices"]}}`), Options{Root: host(t)})
	ask := &engine{}
	with := func(d mount.Driver) *mount.VolumeOptions { return &mount.VolumeOptions{DriverConfig: &d} }
	for name, m := range map[string]mount.Mount{
		"source":        {Type: mount.TypeBind, Source: `/{{""}}`, Target: "/h", ReadOnly: true},
		"target":        {Type: mount.TypeBind, Source: "/srv/data", Target: "/{{.Task.ID}}", ReadOnly: true},
		"volume":        {Type: mount.TypeVolume, Source: "v-{{.Task.Slot}}", Target: "/h"},
		"driver":        {Type: mount.TypeVolume, Target: "/h", VolumeOptions: with(mount.Driver{Name: "{{.Node.ID}}"})},
		"option":        {Type: mount.TypeVolume, Target: "/h", VolumeOptions: with(mount.Driver{Options: map[string]string{"type": "tmpfs", "o": `{{"bi"}}nd`, "device": "/"}})},
		"option's name": {Type: mount.TypeVolume, Target: "/h", VolumeOptions: with(mount.Driver{Name: "local", Options: map[string]string{"{{.Node.ID}}": "x"}})},
		"label":         {Type: mount.TypeVolume, Target: "/h", VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{"x": "{{.Node.ID}}"}}},
		"memory":        {Type: mount.TypeTmpfs, Target: "/{{.Task.ID}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{Mounts: []mount.Mount{m}}}
			check(t, rules.Service(t.Context(), spec, named(t, "a.io/x"), ask), paths)
		})
	}
	plain := swarm.ContainerSpec{Env: []string{"SLOT={{.Task.Slot}}"}, Hostname: "{{.Node.Hostname}}", Mounts: []mount.Mount{{Type: mount.TypeBind, Source: "/srv/data", Target: "/h", ReadOnly: true}}}
	check(t, rules.Service(t.Context(), swarm.TaskSpec{ContainerSpec: &plain}, nil, ask), "")
}

func TestService(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"except": {"a.io/agent": ["host-namespaces", "paths"]}}`), Options{Root: host(t)})
	ask := &engine{networks: map[string]string{"hostid": "host", "front": "overlay"}}
	on := func(targets ...string) swarm.TaskSpec {
		spec := swarm.TaskSpec{ContainerSpec: &swarm.ContainerSpec{}}
		for _, target := range targets {
			spec.Networks = append(spec.Networks, swarm.NetworkAttachmentConfig{Target: target})
		}
		return spec
	}
	of := func(c swarm.ContainerSpec) swarm.TaskSpec { return swarm.TaskSpec{ContainerSpec: &c} }
	with := func(p swarm.Privileges) swarm.TaskSpec { return of(swarm.ContainerSpec{Privileges: &p}) }
	socket := of(swarm.ContainerSpec{Mounts: []mount.Mount{{Type: mount.TypeBind, Source: "/var/run/docker.sock", Target: "/s", ReadOnly: true}}})
	for name, c := range map[string]struct {
		image string
		spec  swarm.TaskSpec
		want  policy.Setting
	}{
		"plugin":                {"a.io/x", swarm.TaskSpec{PluginSpec: &swarm.RuntimeSpec{}}, ""},
		"plain":                 {"a.io/x", on("front", "gone"), ""},
		"host's network":        {"a.io/x", on("front", "host"), policy.SettingHostNamespaces},
		"by its ID":             {"a.io/x", on("hostid"), policy.SettingHostNamespaces},
		"by exception":          {"a.io/agent", on("hostid"), ""},
		"capability":            {"a.io/x", of(swarm.ContainerSpec{CapabilityAdd: []string{"CAP_SYS_ADMIN"}}), policy.SettingCapabilities},
		"sysctl":                {"a.io/x", of(swarm.ContainerSpec{Sysctls: map[string]string{"kernel.modprobe": "/x"}}), policy.SettingHostNamespaces},
		"socket":                {"a.io/x", socket, paths},
		"socket, by exception":  {"a.io/agent", socket, ""},
		"no seccomp":            {"a.io/x", with(swarm.Privileges{Seccomp: &swarm.SeccompOpts{Mode: swarm.SeccompModeUnconfined}}), policy.SettingSecurityOptions},
		"own seccomp":           {"a.io/x", with(swarm.Privileges{Seccomp: &swarm.SeccompOpts{Mode: swarm.SeccompModeCustom}}), policy.SettingSecurityOptions},
		"no AppArmor":           {"a.io/x", with(swarm.Privileges{AppArmor: &swarm.AppArmorOpts{Mode: swarm.AppArmorModeDisabled}}), policy.SettingSecurityOptions},
		"no label":              {"a.io/x", with(swarm.Privileges{SELinuxContext: &swarm.SELinuxContext{Disable: true}}), policy.SettingSecurityOptions},
		"label of a host's":     {"a.io/x", with(swarm.Privileges{SELinuxContext: &swarm.SELinuxContext{Type: "spc_t"}}), policy.SettingSecurityOptions},
		"the engine's profiles": {"a.io/x", with(swarm.Privileges{NoNewPrivileges: true, Seccomp: &swarm.SeccompOpts{Mode: swarm.SeccompModeDefault}, AppArmor: &swarm.AppArmorOpts{Mode: swarm.AppArmorModeDefault}, SELinuxContext: &swarm.SELinuxContext{}}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Service(t.Context(), c.spec, named(t, c.image), ask), c.want)
		})
	}
	for _, ask := range []Lookup{&engine{err: errors.New("silence")}, nil} {
		if err := rules.Service(t.Context(), on("front"), nil, ask); err == nil {
			t.Error("let through though nobody could say what the network is")
		}
	}
}
