package engine

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// containerIDs are the requirements about containers.
var containerIDs = []stig.ID{
	"DKER-EE-001190", "DKER-EE-001240", "DKER-EE-001250", "DKER-EE-001930", "DKER-EE-001940", "DKER-EE-001950", "DKER-EE-001960",
	"DKER-EE-001970", "DKER-EE-001990", "DKER-EE-003560", "DKER-EE-002000", "DKER-EE-002010", "DKER-EE-002020", "DKER-EE-002030",
	"DKER-EE-002040", "DKER-EE-002050", "DKER-EE-002060", "DKER-EE-002070", "DKER-EE-002100", "DKER-EE-002110", "DKER-EE-002120",
	"DKER-EE-002130", "DKER-EE-002150", "DKER-EE-002160", "DKER-EE-002770", "DKER-EE-002780", "DKER-EE-003200", "DKER-EE-004030",
	"DKER-EE-004040",
}

// faultless are the options of docker create that leave nothing to find.
var faultless = map[string]string{
	"network": "none", "user": "1000:1000", "read-only": "true", "memory": "64m", "cpu-shares": "512", "pids-limit": "50",
	"cap-drop": "ALL", "security-opt": "no-new-privileges", "ipc": "private", "restart": "on-failure:5",
}

// A made container is a faultless one with changes, and what is to be said of
// it: nothing of the requirements that are not named.
type made struct {
	options map[string]string // "" takes one away
	more    []string          // further arguments
	start   bool
	command []string
	want    map[stig.ID]string // Open, and what is said among others
	unsaid  map[stig.ID]string // Not_Reviewed: the site's list is missing
}

type says = map[stig.ID]string

func one(id stig.ID, text string) says { return says{"DKER-EE-" + id: text} }

// containersMade are the shapes, by name.
func containersMade(b *bed) map[string]made {
	ports := func(text string) says {
		return says{"DKER-EE-001990": text, "DKER-EE-003560": text}
	}
	return map[string]made{
		"good":         {},
		"memory":       {options: map[string]string{"memory": ""}, want: one("002010", "Memory is 0")},
		"shares":       {options: map[string]string{"cpu-shares": ""}, want: one("002020", "CpuShares is 0")},
		"default":      {options: map[string]string{"cpu-shares": "1024"}, want: one("002020", "CpuShares is 1024")},
		"pids":         {options: map[string]string{"pids-limit": ""}, want: one("002780", "PidsLimit is")},
		"pids-endless": {options: map[string]string{"pids-limit": "-1"}, want: one("002780", "PidsLimit is")},
		"writable":     {options: map[string]string{"read-only": ""}, want: one("002030", "is writable")},
		"root":         {options: map[string]string{"user": ""}, want: one("003200", "User is empty")},
		"root-0":       {options: map[string]string{"user": "0:1000"}, want: one("003200", "User is 0:1000")},
		"restart":      {options: map[string]string{"restart": "no"}},
		"always":       {options: map[string]string{"restart": "always"}, want: one("004030", "policy always")},
		"unless":       {options: map[string]string{"restart": "unless-stopped"}, want: one("004030", "policy unless-stopped")},
		"endless":      {options: map[string]string{"restart": "on-failure"}, want: one("004030", "no number of tries")},
		"often":        {options: map[string]string{"restart": "on-failure:6"}, want: one("004030", "restarted 6 times")},
		"gain":         {options: map[string]string{"security-opt": ""}, want: one("002110", "has no no-new-privileges")},
		"gain-false":   {options: map[string]string{"security-opt": "no-new-privileges=false"}, want: one("002110", "no-new-privileges=false")},
		"keep-true":    {options: map[string]string{"security-opt": "no-new-privileges:true"}},
		"calls":        {more: []string{"--security-opt", "seccomp=unconfined"}, want: one("002070", "not filtered")},
		"calls-colon":  {more: []string{"--security-opt", "seccomp:unconfined"}, want: one("002070", "not filtered")},
		"privileged": {
			more: []string{"--privileged"}, want: says{"DKER-EE-001960": "it is privileged", "DKER-EE-002070": "gives a privileged container no seccomp profile"},
			unsaid: one("001950", "capability ALL"),
		},
		"pid":        {more: []string{"--pid", "host"}, want: one("001240", "PID namespace: make pid anew")},
		"pid-joins":  {more: []string{"--pid", "container:pid"}, want: one("001240", "through container pid")},
		"pid-other":  {more: []string{"--pid", "container:good"}},
		"ipc":        {options: map[string]string{"ipc": "host"}, want: one("001250", "IPC namespace: make ipc anew")},
		"ipc-joins":  {options: map[string]string{"ipc": "container:ipc"}, want: one("001250", "through container ipc")},
		"ipc-offers": {options: map[string]string{"ipc": "shareable"}, want: one("001250", "IpcMode is shareable")},
		"net":        {options: map[string]string{"network": "host"}, want: one("002000", "network namespace: make net anew")},
		"net-joins":  {options: map[string]string{"network": "container:net"}, want: one("002000", "through container net")},
		"uts":        {more: []string{"--uts", "host"}, want: one("002060", "UTSMode is host")},
		"users":      {more: []string{"--userns", "host"}, want: one("002120", "UsernsMode is host")},
		"parent":     {more: []string{"--cgroup-parent", "/elsewhere"}, unsaid: one("002100", "cgroup parent /elsewhere")},
		"capability": {more: []string{"--cap-add", "NET_ADMIN", "--cap-add", "chown"}, unsaid: one("001950", "it has capability NET_ADMIN, and")},
		"ulimit":     {more: []string{"--ulimit", "nofile=1024:2048"}, unsaid: one("004040", "ulimit nofile=1024:2048")},
		"device":     {more: []string{"--device", "/dev/null:/dev/x:rw"}, unsaid: one("002040", "device /dev/null (rw)")},
		"rule":       {more: []string{"--device-cgroup-rule", "c 189:* rmw"}, unsaid: one("002040", "device rule c 189:* rmw")},
		"cards":      {more: []string{"--gpus", "all"}, unsaid: one("002040", "device request gpu")},
		"etc":        {more: []string{"--volume", "/etc:/host"}, want: one("001190", "/etc at /host (bind mount) is sensitive")},
		"etc-read":   {more: []string{"--volume", "/etc:/host:ro"}},
		"bin":        {more: []string{"--volume", "/bin:/host"}, want: one("001190", "lies in /usr")},
		"etc-volume": {more: []string{"--volume", "v-etc:/host"}, want: one("001190", "/etc at /host (volume v-etc) is sensitive")},
		"volume":     {more: []string{"--volume", "v:/data"}},
		"all": {more: []string{"--volume", "/:/host:rw"}, want: says{
			"DKER-EE-001190": "/ at /host (bind mount) is sensitive", "DKER-EE-002130": "/ at /host (bind mount), where",
		}},
		"shared":      {more: []string{"--volume", "/srv:/srv:shared"}, want: one("002050", "/srv (shared)")},
		"shared-all":  {more: []string{"--volume", "/srv:/srv:rshared"}, want: one("002050", "/srv (rshared)")},
		"slave":       {more: []string{"--volume", "/srv:/srv:rslave"}},
		"socket":      {more: []string{"--volume", b.Dir() + "/d.sock:/s"}, want: one("002130", "d.sock is")},
		"socket-ro":   {more: []string{"--volume", b.Dir() + ":/s:ro"}, want: one("002130", "d.sock is")},
		"socket-name": {more: []string{"--volume", "/srv/x:/var/run/docker.sock"}, want: one("002130", "/var/run/docker.sock")},
		"port-stopped": {
			options: map[string]string{"network": "shop"}, more: []string{"--publish", "80:80", "--publish", "8080:81", "--publish", "82"},
			want: one("002150", "it would publish ports of the host below 1024: 0.0.0.0:80->80/tcp: make"),
		},
		"runs":    {start: true, want: one("002770", "nothing checks its health")},
		"healthy": {start: true, more: []string{"--health-cmd", "true", "--health-interval", "1s"}},
		"ill":     {start: true, more: []string{"--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1"}, want: one("002770", "its health is unhealthy")},
		"ssh": {
			start: true, more: []string{"--tmpfs", "/tmp:exec,mode=1777", "--health-cmd", "true", "--health-interval", "1s"},
			command: []string{"sh", "-c", "echo '#!/bin/sh' >/tmp/sshd; echo 'sleep 1000; true' >>/tmp/sshd; /bin/busybox chmod +x /tmp/sshd; exec /tmp/sshd"},
			want:    one("001970", "an SSH server runs in it: sshd (process "),
		},
		"port": {
			start: true, options: map[string]string{"network": "shop"}, more: []string{"--publish", "127.0.0.1:8081:80", "--health-cmd", "true", "--health-interval", "1s"},
			unsaid: ports("published port 127.0.0.1:8081->80/tcp"),
		},
		"port-low": {
			start: true, options: map[string]string{"network": "shop"}, more: []string{"--publish", "127.0.0.1:83:80", "--health-cmd", "true", "--health-interval", "1s"},
			unsaid: ports("published port 127.0.0.1:83->80/tcp"), want: one("002150", "it publishes ports of the host below 1024: 127.0.0.1:83->80/tcp"),
		},
		"port-all": {
			start: true, options: map[string]string{"network": "shop"}, more: []string{"--publish", "80", "--health-cmd", "true", "--health-interval", "1s"},
			unsaid: ports("->80/tcp"), want: one("002160", "all addresses of the host: 0.0.0.0:"),
		},
		"service": {
			options: map[string]string{"user": ""}, more: []string{"--label", "com.docker.swarm.service.name=shop_web"},
			want: one("003200", "container service (service shop_web)"),
		},
	}
}

// allowing is a site.yaml with what containersMade has beyond the defaults.
const allowing = `containers:
  ports: [8081/tcp, "port-low:83/tcp", 32768-65535/tcp]
  capabilities: [NET_ADMIN]
  devices: ["/dev/null:rw", "c 189:* rmw", gpu]
  cgroup-parents: [/elsewhere]
  ulimits: ["ulimit:nofile=1024:2048"]
`

// TestContainerRules makes containers in every shape on real engines and asks
// each rule about each of them.
func TestContainerRules(t *testing.T) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			b := newBed(t, engine)
			image := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
			if err := b.RestartEngine(t.Context(), []byte(`{"userland-proxy": false, "live-restore": true}`)); err != nil {
				t.Fatal(err) // each engine wants a docker-proxy of its own version
			}
			b.tell(t, "network", "create", "shop")
			b.tell(t, "volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/etc", "v-etc")
			shapes := containersMade(b)
			b.make(t, image, shapes)
			for _, name := range slices.Sorted(maps.Keys(shapes)) {
				t.Run(name, func(t *testing.T) { b.judgeContainer(t, name, shapes[name]) })
			}
			t.Run("of Ubuntu", func(t *testing.T) { b.judgeAppArmor(t) })
			t.Run("engine's options", func(t *testing.T) { b.judgeEngineOptions(t, engine) })
		})
	}
}

// tell runs docker and wants it to do as told.
func (b *bed) tell(t *testing.T, args ...string) string {
	t.Helper()
	out := b.docker(t, args...)
	if out.code != 0 {
		t.Fatalf("docker %s: %s", strings.Join(args, " "), out.stderr)
	}
	return out.stdout
}

// make makes the containers. One that joins another's namespace is named
// behind that one.
func (b *bed) make(t *testing.T, image string, shapes map[string]made) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		shape := shapes[name]
		options := maps.Clone(faultless)
		maps.Copy(options, shape.options)
		args := []string{"create", "--name", name}
		for _, key := range slices.Sorted(maps.Keys(options)) {
			if options[key] != "" {
				args = append(args, "--"+key+"="+options[key])
			}
		}
		args = slices.Concat(args, shape.more, []string{image})
		if shape.command == nil {
			shape.command = []string{"sleep", "1000"}
		}
		b.tell(t, append(args, shape.command...)...)
		if shape.start {
			b.tell(t, "start", name)
		}
	}
}

// onlyContainer is a host that asks about one container.
func (b *bed) onlyContainer(t *testing.T, name, values string) *host.Host {
	t.Helper()
	address := b.variable("DOCKER_HOST")
	api, err := client.New(client.WithHost(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	parsed, err := site.Parse("site.yaml", []byte(values))
	if err != nil {
		t.Fatal(err)
	}
	return &host.Host{
		Engine: api, Address: address, Site: parsed, Files: host.NewDisk("/"), Now: time.Now,
		Narrow: func(s container.Summary) bool { return slices.Contains(s.Names, "/"+name) },
	}
}

// judgement is what a rule says of a host, as text.
func judgement(t *testing.T, id stig.ID, h *host.Host) (stig.Status, string) {
	t.Helper()
	rule, ok := rules.For(id)
	if !ok {
		t.Fatalf("no rule for %s", id)
	}
	findings, err := rule.Judge(t.Context(), h)
	if err != nil {
		return stig.NotReviewed, err.Error()
	}
	var text strings.Builder
	for _, f := range findings {
		text.WriteString(f.Object + ": " + f.Status.String() + ": " + f.Details + "\n")
	}
	return stig.Worst(findings), text.String()
}

// judgeContainer asks all rules about a container, without the site's values
// and with them.
func (b *bed) judgeContainer(t *testing.T, name string, shape made) {
	t.Helper()
	const nothing = "containers: {ports: [], capabilities: [], devices: [], cgroup-parents: [], ulimits: []}\n"
	unsaid, allowed, forbidden := b.onlyContainer(t, name, ""), b.onlyContainer(t, name, allowing), b.onlyContainer(t, name, nothing)
	for _, id := range containerIDs {
		switch {
		case id == "DKER-EE-001930" || id == "DKER-EE-001940":
			continue // see judgeAppArmor
		case shape.want[id] != "":
			b.await(t, unsaid, name, id, stig.Open, shape.want[id])
		case shape.unsaid[id] == "":
			b.await(t, unsaid, name, id, stig.NotAFinding, "")
		default:
			want := stig.NotAFinding
			if name == "privileged" {
				want = stig.Open // NET_ADMIN is not all
			}
			b.await(t, unsaid, name, id, stig.NotReviewed, shape.unsaid[id])
			b.await(t, allowed, name, id, want, "")
			b.await(t, forbidden, name, id, stig.Open, "container "+name)
		}
	}
}

// await asks a rule until it says what is wanted: a container that was just
// started has to come to it, and a host remembers what it has seen.
func (b *bed) await(t *testing.T, h *host.Host, name string, id stig.ID, want stig.Status, words string) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got, text := judgement(t, id, h)
		if got == want && strings.Contains(text, words) {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: got %v, want %v with %q:\n%s", id, got, want, words, text)
			return
		}
		fresh := b.onlyContainer(t, name, "")
		fresh.Site = h.Site
		h = fresh
	}
}

// judgeAppArmor puts the engine on a host that calls itself Ubuntu: whether
// containers have a profile follows from what the engine says it can.
func (b *bed) judgeAppArmor(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/os-release"), []byte("ID=ubuntu\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := b.onlyContainer(t, "runs", "")
	h.Files = host.NewDisk(root)
	want := stig.Open
	if strings.Contains(b.tell(t, "info", "--format", "{{.SecurityOptions}}"), "name=apparmor") {
		want = stig.NotAFinding
	}
	if got, text := judgement(t, "DKER-EE-001930", h); got != want {
		t.Errorf("AppArmor: got %v, want %v:\n%s", got, want, text)
	}
	if got, text := judgement(t, "DKER-EE-001940", h); got != stig.NotApplicable {
		t.Errorf("SELinux: got %v:\n%s", got, text)
	}
}

// judgeEngineOptions gives the engine options that concern all containers.
func (b *bed) judgeEngineOptions(t *testing.T, engine testbed.Engine) {
	t.Helper()
	profile := filepath.Join(b.Dir(), "seccomp.json")
	if err := os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ALLOW"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	restart := func(config string) {
		t.Helper()
		if err := b.RestartEngine(t.Context(), []byte(config)); err != nil {
			t.Fatal(err)
		}
	}
	restart(`{"live-restore": true, "no-new-privileges": true, "seccomp-profile": "` + profile + `"}`)
	b.await(t, b.onlyContainer(t, "gain", ""), "gain", "DKER-EE-002110", stig.Open, "covers it in effect")
	b.await(t, b.onlyContainer(t, "good", ""), "good", "DKER-EE-002070", stig.NotAFinding, profile)
	if engine == testbed.Docker {
		return // 20.10 takes unconfined for the name of a file
	}
	restart(`{"live-restore": true, "seccomp-profile": "unconfined"}`)
	b.await(t, b.onlyContainer(t, "gain", ""), "gain", "DKER-EE-002110", stig.Open, "has no no-new-privileges): make it anew")
	b.await(t, b.onlyContainer(t, "good", ""), "good", "DKER-EE-002070", stig.Open, "engine: Open: the engine's own seccomp profile is unconfined")
}
