package protect

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// standard is the policy of a site that said nothing of protection.
func standard(tb testing.TB, protect string) policy.Protect {
	tb.Helper()
	p, err := policy.Parse("policy.json", []byte(`{"content-trust": {"mode": "enforced"}, "protect": `+protect+`}`))
	if err != nil {
		tb.Fatal(err)
	}
	return p.Protect
}

func named(tb testing.TB, name string) reference.Named {
	tb.Helper()
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		tb.Fatal(err)
	}
	return ref
}

// usual is what a host looks like. A line is "FOLDER/", "FILE", "LINK -> TARGET",
// and may begin with a mode.
var usual = []string{
	"/etc/docker/daemon.json", "/etc/shadow", "/etc/passwd", "/etc/ssl/certs/ca.pem", "/etc/ssl/private/key.pem",
	"/etc/localtime -> /usr/share/zoneinfo/UTC", "/usr/share/zoneinfo/UTC", "/usr/lib/modules/6.1/", "/lib -> usr/lib", "/bin -> usr/bin",
	"/usr/bin/sh", "/run/docker.sock", "/run/lock/", "/var/run -> /run", "/var/lock -> /run/lock", "/dev/log", "/dev/shm/", "/proc/1/root -> /",
	"/root/.ssh/id", "/home/alice/", "1777 /tmp/", "1777 /var/tmp/", "/var/lib/docker/volumes/", "/var/lib/app/data/", "/var/log/app/",
	"/srv/data/file", "/srv/other -> data", "/srv/engine -> ../run/docker.sock", "/srv/chain -> /srv/hop", "/srv/hop -> /var/run",
	"/srv/loop -> loop", "/srv/up -> ../../../../etc/docker", "/sys/class/net/", "/sys/fs/cgroup/",
}

// host makes the tree of a host, with the usual files and some more.
func host(tb testing.TB, more ...string) string {
	tb.Helper()
	root := tb.TempDir()
	mountinfo := "22 1 0:20 / / rw - ext4 /dev/sda rw\n23 22 0:21 / /sys rw - sysfs sysfs rw\n24 23 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n25 22 0:23 / /srv/with\\040space rw - ext4 /dev/sdb rw\n"
	write(tb, root, "/proc/self/mountinfo", mountinfo)
	for _, line := range slices.Concat(usual, more) {
		mode := os.FileMode(0o755)
		if text, rest, ok := strings.Cut(line, " /"); ok && !strings.HasPrefix(line, "/") {
			line = "/" + rest
			mode = map[string]os.FileMode{"1777": 0o777 | os.ModeSticky, "0775": 0o775, "0777": 0o777}[text]
		}
		name, target, link := strings.Cut(line, " -> ")
		switch full := filepath.Join(root, name); {
		case link:
			folder(tb, filepath.Dir(full), 0o755)
			if err := os.Symlink(target, full); err != nil {
				tb.Fatal(err)
			}
		case strings.HasSuffix(name, "/"):
			folder(tb, full, mode)
		default:
			write(tb, root, name, "x")
		}
	}
	return root
}

func folder(tb testing.TB, name string, mode os.FileMode) {
	tb.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		tb.Fatal(err)
	}
	if mode != 0o755 {
		if err := os.Chmod(name, mode); err != nil {
			tb.Fatal(err)
		}
	}
}

func write(tb testing.TB, root, name, text string) {
	tb.Helper()
	full := filepath.Join(root, name)
	folder(tb, filepath.Dir(full), 0o755)
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// engine answers from maps.
type engine struct {
	volumes    map[string]map[string]string
	containers map[string]Subject
	networks   map[string]string
	err        error
	asked      []string
}

func (e *engine) Volume(_ context.Context, name string) (string, map[string]string, error) {
	e.asked = append(e.asked, name)
	options, ok := e.volumes[name]
	if !ok {
		return "", nil, cmpErr(e.err)
	}
	return "local", options, nil
}

func (e *engine) Container(_ context.Context, name string) (*container.HostConfig, []container.MountPoint, error) {
	c, ok := e.containers[name]
	if !ok {
		return nil, nil, cmpErr(e.err)
	}
	return c.Host, c.Mounts, nil
}

func (e *engine) Network(_ context.Context, name string) (string, error) {
	driver, ok := e.networks[name]
	if !ok {
		return "", cmpErr(e.err)
	}
	return driver, nil
}

func cmpErr(err error) error {
	if err == nil {
		return ErrNotFound
	}
	return err
}

// check wants a refusal by a setting, or none for "".
func check(t *testing.T, err error, want policy.Setting) {
	t.Helper()
	refused := new(Refusal)
	switch {
	case err == nil && want == "":
	case err == nil:
		t.Errorf("let through, want a refusal by %s", want)
	case !errors.As(err, &refused):
		t.Errorf("got %v, want a refusal by %q", err, want)
	case refused.Setting != want:
		t.Errorf("refused by %q, want %q: %v", refused.Setting, want, err)
	case !strings.Contains(refused.Text, string("protect."+want)) || !strings.Contains(refused.Text, "except") && !strings.Contains(refused.Text, "for all images; "):
		t.Errorf("the text names no way out: %s", refused.Text)
	}
}

// configurations are the ways from a container to its host, but for those that have a
// table of their own, each beside what is like it and harmless.
var configurations = map[string]struct {
	host container.HostConfig
	want policy.Setting
}{
	"nothing":    {},
	"privileged": {container.HostConfig{Privileged: true}, policy.SettingPrivileged},

	"host's processes":       {container.HostConfig{PidMode: "host"}, policy.SettingHostNamespaces},
	"host's memory":          {container.HostConfig{IpcMode: "host"}, policy.SettingHostNamespaces},
	"shareable memory":       {container.HostConfig{IpcMode: "shareable"}, ""},
	"host's network":         {container.HostConfig{NetworkMode: "host"}, policy.SettingHostNamespaces},
	"a network called hosts": {container.HostConfig{NetworkMode: "hosts"}, ""},
	"bridge":                 {container.HostConfig{NetworkMode: "bridge"}, ""},
	"host's name":            {container.HostConfig{UTSMode: "host"}, policy.SettingHostNamespaces},
	"host's users":           {container.HostConfig{UsernsMode: "host"}, policy.SettingHostNamespaces},
	"host's control groups":  {container.HostConfig{CgroupnsMode: "host"}, policy.SettingHostNamespaces},
	"own control groups":     {container.HostConfig{CgroupnsMode: "private"}, ""},
	"host's sysctl":          {container.HostConfig{Sysctls: map[string]string{"kernel.core_pattern": "|/x"}}, policy.SettingHostNamespaces},
	"sysctl by detour":       {container.HostConfig{Sysctls: map[string]string{"net/../kernel/core_pattern": "|/x"}}, policy.SettingHostNamespaces},
	"own sysctls":            {container.HostConfig{Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "1", "net/ipv4/conf/eth0.1/forwarding": "1"}}, ""},

	"device":         {container.HostConfig{Resources: container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/sda"}}}}, policy.SettingDevices},
	"device rule":    {container.HostConfig{Resources: container.Resources{DeviceCgroupRules: []string{"b 8:0 rwm"}}}, policy.SettingDevices},
	"device request": {container.HostConfig{Resources: container.Resources{DeviceRequests: []container.DeviceRequest{{Driver: "cdi"}}}}, policy.SettingDevices},
	"empty devices":  {container.HostConfig{Resources: container.Resources{Devices: []container.DeviceMapping{}, DeviceRequests: []container.DeviceRequest{}}}, ""},

	"all capabilities":        {container.HostConfig{CapAdd: []string{"ALL"}}, policy.SettingCapabilities},
	"all, in small":           {container.HostConfig{CapAdd: []string{"all"}}, policy.SettingCapabilities},
	"SYS_ADMIN":               {container.HostConfig{CapAdd: []string{"SYS_ADMIN"}}, policy.SettingCapabilities},
	"cap_sys_module":          {container.HostConfig{CapAdd: []string{"NET_ADMIN", "cap_sys_module"}}, policy.SettingCapabilities},
	"letters that fold":       {container.HostConfig{CapAdd: []string{"\u017fys_admin"}}, policy.SettingCapabilities},
	"SYS_PTRACE":              {container.HostConfig{CapAdd: []string{"SYS_PTRACE"}}, policy.SettingCapabilities},
	"SYS_TIME":                {container.HostConfig{CapAdd: []string{"SYS_TIME"}}, policy.SettingCapabilities},
	"own capabilities":        {container.HostConfig{CapAdd: []string{"net_admin", "CAP_IPC_LOCK", "SYS_NICE"}}, ""},
	"the engine's, once more": {container.HostConfig{CapDrop: []string{"ALL"}, CapAdd: []string{"CHOWN", "cap_net_bind_service"}}, ""},

	"another runtime":        {container.HostConfig{Runtime: "/srv/shim"}, policy.SettingRuntimes},
	"runc":                   {container.HostConfig{Runtime: "runc"}, ""},
	"runc's shim":            {container.HostConfig{Runtime: "io.containerd.runc.v2"}, ""},
	"property of systemd":    {container.HostConfig{Annotations: map[string]string{"org.systemd.property.ExecStopPost": "x"}}, policy.SettingRuntimes},
	"crun's handler":         {container.HostConfig{Annotations: map[string]string{"run.oci.handler": "krun"}}, policy.SettingRuntimes},
	"another's group":        {container.HostConfig{Annotations: map[string]string{"io.containerd.runc.v2.group": "x"}}, policy.SettingRuntimes},
	"kata's hypervisor":      {container.HostConfig{Annotations: map[string]string{"io.katacontainers.config.hypervisor.path": "/x"}}, policy.SettingRuntimes},
	"the site's annotations": {container.HostConfig{Annotations: map[string]string{"com.example.team": "x", "org.opencontainers.image.title": "x"}}, ""},

	"no seccomp":              {container.HostConfig{SecurityOpt: []string{"seccomp=unconfined"}}, policy.SettingSecurityOptions},
	"no seccomp, by a colon":  {container.HostConfig{SecurityOpt: []string{"seccomp:unconfined"}}, policy.SettingSecurityOptions},
	"no seccomp, second":      {container.HostConfig{SecurityOpt: []string{"seccomp=builtin", "seccomp=unconfined"}}, policy.SettingSecurityOptions},
	"own seccomp":             {container.HostConfig{SecurityOpt: []string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`}}, policy.SettingSecurityOptions},
	"no AppArmor":             {container.HostConfig{SecurityOpt: []string{"apparmor=unconfined"}}, policy.SettingSecurityOptions},
	"AppArmor of another":     {container.HostConfig{SecurityOpt: []string{"apparmor:chrome"}}, policy.SettingSecurityOptions},
	"no label":                {container.HostConfig{SecurityOpt: []string{"label=disable"}}, policy.SettingSecurityOptions},
	"no label, by a colon":    {container.HostConfig{SecurityOpt: []string{"label:disable"}}, policy.SettingSecurityOptions},
	"no label, of old":        {container.HostConfig{SecurityOpt: []string{"disable"}}, policy.SettingSecurityOptions},
	"label of a host's":       {container.HostConfig{SecurityOpt: []string{"label=type:spc_t"}}, policy.SettingSecurityOptions},
	"writable control groups": {container.HostConfig{SecurityOpt: []string{"writable-cgroups"}}, policy.SettingSecurityOptions},
	"the same, by a value":    {container.HostConfig{SecurityOpt: []string{"writable-cgroups=t"}}, policy.SettingSecurityOptions},
	"system paths":            {container.HostConfig{SecurityOpt: []string{"systempaths=unconfined"}}, policy.SettingSecurityOptions},
	"an option of tomorrow":   {container.HostConfig{SecurityOpt: []string{"landlock=off"}}, policy.SettingSecurityOptions},
	"tighter":                 {container.HostConfig{SecurityOpt: []string{"no-new-privileges", "no-new-privileges:true", "label=type:container_t", "label=level:s0:c1,c2", "apparmor=docker-default", "writable-cgroups=false"}}, ""},
	"nothing masked":          {container.HostConfig{MaskedPaths: []string{}}, policy.SettingSecurityOptions},
	"less masked":             {container.HostConfig{MaskedPaths: []string{"/proc/kcore"}}, policy.SettingSecurityOptions},
	"nothing read-only":       {container.HostConfig{ReadonlyPaths: []string{}}, policy.SettingSecurityOptions},
	"as 20.10 writes it down": {container.HostConfig{
		MaskedPaths:   []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"},
		ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}, ""},
}

func TestConfigurations(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{Root: host(t)})
	for name, c := range configurations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, made := range []bool{false, true} {
				check(t, rules.Container(t.Context(), Subject{Host: &c.host, Made: made}, nil), c.want)
			}
		})
	}
}

// TestEachSettingOpens: what a setting refuses, that setting allows, for all
// images or for one.
func TestEachSettingOpens(t *testing.T) {
	t.Parallel()
	all := New(standard(t, `{"privileged": "allow", "host-namespaces": "allow", "devices": "allow", "security-options": "allow", "capabilities": ["ALL"], "exec-privileged": "allow"}`), Options{})
	for name, c := range configurations {
		if c.want == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := New(standard(t, `{"except": {"a.io/*": [], "a.io/agent": ["`+string(c.want)+`"]}}`), Options{})
			s := Subject{Host: &c.host, Image: named(t, "a.io/agent:v1")}
			check(t, one.Container(t.Context(), s, nil), "")
			s.Image = named(t, "a.io/other:v1")
			check(t, one.Container(t.Context(), s, nil), c.want)
			if c.want != policy.SettingRuntimes {
				check(t, all.Container(t.Context(), Subject{Host: &c.host}, nil), "")
			}
		})
	}
}

// TestWhatTheEngineFillsIn: a container that was made is inspected with what
// the engine chose itself, and starts with it.
func TestWhatTheEngineFillsIn(t *testing.T) {
	t.Parallel()
	p := standard(t, `{"except": {"a.io/agent": ["privileged"], "a.io/top": ["host-namespaces"]}}`)
	rules := New(p, Options{Root: host(t), Runtime: "crun", HostCgroups: true})
	for name, c := range map[string]struct {
		image string
		host  container.HostConfig
		want  policy.Setting
	}{
		"default runtime":         {"a.io/x", container.HostConfig{Runtime: "crun"}, ""},
		"another runtime":         {"a.io/x", container.HostConfig{Runtime: "kata"}, policy.SettingRuntimes},
		"control groups as v1":    {"a.io/x", container.HostConfig{CgroupnsMode: "host"}, ""},
		"privileged by exception": {"a.io/agent", container.HostConfig{Privileged: true, CapAdd: []string{"ALL"}, SecurityOpt: []string{"label=disable"}}, ""},
		"and nothing else":        {"a.io/agent", container.HostConfig{Privileged: true, PidMode: "host"}, policy.SettingHostNamespaces},
		"nor a path":              {"a.io/agent", container.HostConfig{Privileged: true, Binds: []string{"/:/host"}}, policy.SettingPaths},
		"host's processes":        {"a.io/top", container.HostConfig{PidMode: "host", SecurityOpt: []string{"label=disable"}}, ""},
		"host's name":             {"a.io/top", container.HostConfig{UTSMode: "host", SecurityOpt: []string{"label=disable"}}, policy.SettingSecurityOptions},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Image: named(t, c.image), Host: &c.host}, nil), c.want)
		})
	}
}

func TestListsOfTheSite(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"capabilities": ["cap_sys_time"], "runtimes": ["runsc"], "paths": ["/srv/data"]}`), Options{Root: host(t), DataRoot: "/srv/docker", Paths: []string{"/srv/engine.sock"}})
	for name, c := range map[string]struct {
		host container.HostConfig
		want policy.Setting
	}{
		"listed capability":    {container.HostConfig{CapAdd: []string{"SYS_TIME", "CHOWN"}}, ""},
		"no longer listed":     {container.HostConfig{CapAdd: []string{"NET_ADMIN"}}, policy.SettingCapabilities},
		"listed runtime":       {container.HostConfig{Runtime: "runsc"}, ""},
		"the engine's runtime": {container.HostConfig{Runtime: "runc"}, ""},
		"listed path":          {container.HostConfig{Binds: []string{"/srv/data/file:/x:ro"}}, policy.SettingPaths},
		"by a link":            {container.HostConfig{Binds: []string{"/srv/other:/x:ro"}}, policy.SettingPaths},
		"data root":            {container.HostConfig{Binds: []string{"/srv/docker/volumes:/x:ro"}}, policy.SettingPaths},
		"engine's socket":      {container.HostConfig{Binds: []string{"/srv/engine.sock:/x:ro"}}, policy.SettingPaths},
		"a folder of them":     {container.HostConfig{Binds: []string{"/srv:/x:ro"}}, policy.SettingPaths},
		"none of them":         {container.HostConfig{Binds: []string{"/srv/free:/x:ro"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &c.host}, nil), c.want)
		})
	}
}

// TestJoined: what another container has counts where it can be reached.
func TestJoined(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"except": {"a.io/top": ["host-namespaces"]}}`), Options{Root: host(t)})
	socket := container.MountPoint{Type: mount.TypeBind, Source: "/run/docker.sock", Destination: "/x"}
	ask := &engine{containers: map[string]Subject{
		"plain":    {Host: &container.HostConfig{}},
		"nethost":  {Host: &container.HostConfig{NetworkMode: "host"}},
		"pidhost":  {Host: &container.HostConfig{PidMode: "host"}},
		"hop":      {Host: &container.HostConfig{NetworkMode: "container:nethost", PidMode: "container:pidhost"}},
		"circle":   {Host: &container.HostConfig{NetworkMode: "container:circle", PidMode: "container:circle"}},
		"strong":   {Host: &container.HostConfig{Privileged: true}},
		"socketed": {Host: &container.HostConfig{}, Mounts: []container.MountPoint{socket}},
		"silent":   {},
	}}
	for name, c := range map[string]struct {
		host container.HostConfig
		want policy.Setting
	}{
		"plain":                   {container.HostConfig{NetworkMode: "container:plain", PidMode: "container:plain", IpcMode: "container:plain"}, ""},
		"network of the host":     {container.HostConfig{NetworkMode: "container:nethost"}, policy.SettingHostNamespaces},
		"network by a hop":        {container.HostConfig{NetworkMode: "container:hop"}, policy.SettingHostNamespaces},
		"network in a circle":     {container.HostConfig{NetworkMode: "container:circle"}, policy.SettingHostNamespaces},
		"processes of the host":   {container.HostConfig{PidMode: "container:pidhost"}, policy.SettingHostNamespaces},
		"processes by a hop":      {container.HostConfig{PidMode: "container:hop"}, policy.SettingHostNamespaces},
		"processes in a circle":   {container.HostConfig{PidMode: "container:circle"}, policy.SettingHostNamespaces},
		"processes with powers":   {container.HostConfig{PidMode: "container:strong"}, policy.SettingPrivileged},
		"processes with files":    {container.HostConfig{PidMode: "container:socketed"}, policy.SettingPaths},
		"network only":            {container.HostConfig{NetworkMode: "container:socketed", IpcMode: "container:strong"}, ""},
		"files of another":        {container.HostConfig{VolumesFrom: []string{"plain", "socketed:ro"}}, policy.SettingPaths},
		"files of a plain one":    {container.HostConfig{VolumesFrom: []string{"plain:ro"}}, ""},
		"memory of a host's pids": {container.HostConfig{IpcMode: "container:pidhost"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, rules.Container(t.Context(), Subject{Host: &c.host}, ask), c.want)
		})
	}
	for _, h := range []container.HostConfig{{PidMode: "container:gone"}, {VolumesFrom: []string{"gone"}}, {NetworkMode: "container:silent"}} {
		for _, ask := range []Lookup{ask, nil} {
			err := rules.Container(t.Context(), Subject{Host: &h}, ask)
			if refused := new(Refusal); err == nil || errors.As(err, &refused) {
				t.Errorf("got %v, want an unanswered question", err)
			}
		}
	}
	check(t, rules.Container(t.Context(), Subject{Image: named(t, "a.io/top"), Host: &container.HostConfig{PidMode: "container:pidhost"}}, ask), "")
}

func TestExec(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, `{"except": {"a.io/agent": ["exec-privileged"]}}`), Options{})
	check(t, rules.Exec(false, nil), "")
	check(t, rules.Exec(true, nil), policy.SettingExecPrivileged)
	check(t, rules.Exec(true, named(t, "a.io/x")), policy.SettingExecPrivileged)
	check(t, rules.Exec(true, named(t, "a.io/agent:v2")), "")
}

func TestRefusalText(t *testing.T) {
	t.Parallel()
	rules := New(standard(t, "{}"), Options{})
	err := rules.Container(t.Context(), Subject{Image: named(t, "a.io/x:v1"), Host: &container.HostConfig{Binds: []string{"/run/docker.sock:/s:ro"}}}, nil)
	const want = `the bind of "/run/docker.sock" gives away /run, which holds the sockets by which the host is run, the engine's among them: protect.paths refuses it (to allow it, except the image: "protect": {"except": {"a.io/x": ["paths"]}})`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestEverySettingIsUsed holds the table against the settings there are.
func TestEverySettingIsUsed(t *testing.T) {
	t.Parallel()
	seen := map[policy.Setting]bool{policy.SettingPaths: true, policy.SettingBinds: true, policy.SettingExecPrivileged: true} // tables of their own
	for _, c := range configurations {
		seen[c.want] = true
	}
	delete(seen, "")
	got := slices.Sorted(maps.Keys(seen))
	want := slices.Sorted(slices.Values(policy.Settings))
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
