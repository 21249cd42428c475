package engine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/rerun"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// A remade container is one that the line written down for it is to make again.
type remade struct {
	options []string
	rich    bool // of the image that says something of everything
	command []string
	start   bool
	only    testbed.Engine // "": both
	notes   string         // what one of the notes says
}

// containersRemade are the shapes, by name.
func containersRemade() map[string]remade {
	words := func(text string) []string { return strings.Fields(text) }
	return map[string]remade{
		"nothing":     {},
		"rich":        {rich: true},
		"rich-more":   {rich: true, options: words("--env MODE=other --env MORE=1 --env EMPTY= --label shop=other --user 7 --workdir /tmp --expose 90/udp --volume /other --health-interval 7s --stop-signal SIGINT"), command: words("other words"), notes: "MODE, MORE from the environment"},
		"rich-entry":  {rich: true, options: words("--entrypoint /bin/echo"), command: words("a b")},
		"rich-same":   {rich: true, options: words("--entrypoint /bin/sh")},
		"rich-no":     {rich: true, options: []string{"--entrypoint", "", "--no-healthcheck"}, command: words("/bin/ls -l")},
		"rich-volume": {rich: true, notes: "a volume without a name"},
		"odd": {
			options: []string{"--env", "A=it's\ttwo\nlines $HOME `id`", "--env", "B.c=\"x\"", "--label", "a=c 'd' \"e\" $f `g`\nh\x1b[31m", "--label", "b", "--hostname", "shop", "--domainname", "example.com"},
			command: []string{"sh", "-c", "echo \"$A\" 'it'\\''s' > /tmp/x; sleep 1000", "", "-x", "--", "ä€\u202e", "\x01"},
		},
		"secret":     {options: words("--env PASSWORD=canary --log-driver syslog --log-opt tag=x"), notes: "PASSWORD from the environment"},
		"terminal":   {options: words("--interactive --tty --attach stdout --stop-timeout 3")},
		"attached":   {options: words("--attach stderr")},
		"behind":     {start: true, options: words("--detach --network none --init --restart on-failure:3 --pids-limit 50")},
		"behind-in":  {start: true, options: words("--detach --interactive --network none")},
		"limits":     {options: words("--memory 64m --memory-reservation 32m --memory-swap 100m --cpu-shares 512 --cpus 0.5 --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 20 --blkio-weight 300 --oom-score-adj 500 --shm-size 1m --ulimit nofile=10:20 --ulimit core=0 --ulimit memlock=-1")},
		"limits-too": {options: words("--memory 64m --memory-swap -1 --cpu-period 50000 --cpu-quota 20000 --oom-kill-disable --memory-swappiness 0 --device-read-bps /dev/null:1mb --device-write-iops /dev/null:7 --pids-limit -1")},
		"power":      {options: words("--cap-add NET_ADMIN --cap-drop ALL --group-add 7 --group-add audio --security-opt no-new-privileges --security-opt apparmor=unconfined --security-opt label=type:x_t --sysctl net.ipv4.ip_forward=1 --read-only --device /dev/null --device /dev/zero:/dev/z:r --device-cgroup-rule=c_1:3_rw --cgroup-parent /elsewhere --rm --init")},
		"privileged": {options: words("--privileged")},
		"open":       {options: words("--security-opt systempaths=unconfined --security-opt seccomp=unconfined")},
		"profile":    {options: words("--security-opt seccomp=PROFILE"), notes: "a seccomp profile of its own"},
		"host":       {options: words("--network host --pid host --ipc host --uts host --userns host --cgroupns host")},
		"shareable":  {options: words("--ipc shareable --network none")},
		"joins":      {options: words("--network container:nothing --pid container:nothing --ipc container:shareable")},
		"mounts":     {options: words("--volume /srv:/a:ro,rslave --volume data:/b:nocopy --volume /c --tmpfs /d --tmpfs /e:size=1m,mode=700 --volumes-from rich-volume:ro --mount type=bind,source=/srv,target=/f,readonly,bind-propagation=rprivate --mount type=volume,source=data,target=/g,volume-nocopy --mount type=tmpfs,target=/h,tmpfs-size=1048576,tmpfs-mode=1770 --mount type=volume,target=/i,volume-label=a=b")},
		"recursion":  {options: []string{"--mount", `type=bind,"source=FOLDER",target=/x,bind-recursive=disabled`}},
		"logs":       {options: words("--log-driver json-file --log-opt max-size=1m --log-opt max-file=2")},
		"policy":     {options: words("--restart unless-stopped --dns 10.0.0.1 --dns-search example.com --dns-option ndots:2 --add-host db:10.0.0.2")},
		"health":     {options: []string{"--health-cmd", "test -e '/x y'", "--health-interval", "1m30s", "--health-retries", "4", "--health-timeout", "2s", "--health-start-period", "3s"}},
		"ports":      {options: words("--network shop --publish 8080:80 --publish 127.0.0.1:8443:443 --publish [::1]::53/udp --publish 9000-9001:9000-9001 --publish 70 --expose 71 --publish-all")},
		"shop":       {options: words("--network shop --network-alias web --network-alias www --ip 10.77.0.7 --link nothing:db")},
		"running":    {start: true, options: words("--detach --network shop --network-alias again --publish 127.0.0.1:8081:80")},
		"two":        {options: words("--network shop --network-alias first")},
		"gpu":        {options: words("--gpus all")},
		"gpu-2":      {options: []string{"--gpus", `"device=0,1","capabilities=compute,utility"`}},
		"annotated":  {only: testbed.Moby, options: words("--mac-address 02:42:0a:4d:00:09 --annotation a=b --network name=shop,driver-opt=com.docker.network.endpoint.ifname=shop0,gw-priority=3 --device vendor.com/class=dev --health-start-interval 2s --health-cmd true --mount type=bind,source=/srv,target=/x,readonly,bind-recursive=writable")},
	}
}

// TestRerun makes containers in many shapes, has a shell run the lines that are
// written down for them, and compares what the engine says of both.
func TestRerun(t *testing.T) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			b := newBed(t, engine)
			if err := b.RestartEngine(t.Context(), []byte(`{"userland-proxy": false, "live-restore": true}`)); err != nil {
				t.Fatal(err) // each engine wants a docker-proxy of its own version
			}
			plain := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
			b.tell(t, "network", "create", "--subnet", "10.77.0.0/24", "shop")
			b.tell(t, "network", "create", "--subnet", "10.78.0.0/24", "back")
			b.tell(t, "create", "--name", "base", plain)
			commit := []string{"commit"}
			for _, change := range []string{
				"ENV MODE=own WORDS=\"a b\"", "LABEL shop=own", "USER 1000", "WORKDIR /srv", "EXPOSE 80 81/udp", "VOLUME /kept",
				`ENTRYPOINT ["/bin/sh", "-c"]`, `CMD ["sleep 1000"]`, "HEALTHCHECK --interval=5s --retries=2 CMD true",
			} {
				commit = append(commit, "--change", change)
			}
			b.tell(t, append(commit, "base", "rich:1")...)
			profile := filepath.Join(b.Dir(), "profile.json")
			if err := os.WriteFile(profile, []byte("{\n\"defaultAction\": \"SCMP_ACT_ALLOW\", \"x\": \"it's\"}"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(b.Dir()+"/a,b", 0o700); err != nil {
				t.Fatal(err)
			}
			shapes := containersRemade()
			names := slices.Sorted(maps.Keys(shapes))
			for _, name := range slices.Concat([]string{"nothing", "rich-volume", "shareable"}, names) {
				shape := shapes[name]
				if shape.only != "" && shape.only != engine || b.docker(t, "container", "inspect", name).code == 0 {
					continue
				}
				b.create(t, name, shape, plain, profile)
			}
			b.tell(t, "network", "connect", "--alias", "second", "--ip", "10.78.0.9", "back", "two")
			for _, name := range names {
				if shape := shapes[name]; shape.only == "" || shape.only == engine {
					t.Run(name, func(t *testing.T) { b.remake(t, name, shape) })
				}
			}
		})
	}
}

// create makes a container as the docker client does.
func (b *bed) create(t *testing.T, name string, shape remade, plain, profile string) {
	t.Helper()
	args := []string{"create", "--name", name}
	if shape.start {
		args[0] = "run"
	}
	for _, option := range shape.options {
		args = append(args, strings.NewReplacer("PROFILE", profile, "c_1:3_rw", "c 1:3 rw", "FOLDER", b.Dir()+"/a,b").Replace(option))
	}
	image, command := plain, shape.command
	if shape.rich {
		image = "rich:1"
	} else if command == nil {
		command = []string{"sleep", "1000"}
	}
	if out := b.docker(t, slices.Concat(args, []string{image}, command)...); out.code != 0 {
		t.Errorf("%s cannot be made: %s", name, out.stderr)
	}
}

// remake makes a container once more, by its line, and compares.
func (b *bed) remake(t *testing.T, name string, shape remade) {
	t.Helper()
	api := b.api(t)
	before := inspected(t, api, name)
	line, err := rerun.Run(before, originOf(t, api, before))
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(line.Notes, "\n"); !strings.Contains(notes, shape.notes) {
		t.Errorf("notes lack %q:\n%s", shape.notes, notes)
	}
	text := rerun.Quote(line.Argv)
	for _, words := range line.After {
		text += "\n" + rerun.Quote(words)
	}
	if strings.Contains(text, "canary") || strings.Contains(text, "\x1b") {
		t.Errorf("it is shown:\n%q", text)
	}
	b.tell(t, "rename", name, name+"-before")
	if shape.start {
		b.tell(t, "stop", "--time", "0", name+"-before")
	}
	for _, note := range line.Notes { // as a person would
		if _, command, ok := strings.Cut(note, "to a file first, with "); ok {
			b.shell(t, before, strings.ReplaceAll(command, "}}' "+name+" ", "}}' "+name+"-before "))
		}
	}
	b.shell(t, before, text)
	after := inspected(t, api, name)
	if diff := cmp.Diff(comparable(before), comparable(after), cmpopts.EquateComparable(network.Port{}, netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s\n-before +after:\n%s", text, diff)
	}
}

// shell runs lines as a person does who has set the container's environment.
func (b *bed) shell(t *testing.T, c container.InspectResponse, lines string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	script := `docker() { "$STIG_DOCKER" "$@"; }` + "\nset -e\n" + lines
	assignments := slices.DeleteFunc(slices.Clone(c.Config.Env), func(entry string) bool { return strings.HasPrefix(entry, "PATH=") })
	cmd := exec.CommandContext(ctx, "env", append(assignments, "sh", "-c", script)...)
	cmd.Dir = b.Dir()
	cmd.Env = append(os.Environ(), b.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", lines, err, out)
	}
}

func (b *bed) api(t *testing.T) *client.Client {
	t.Helper()
	api, err := client.New(client.WithHost(b.variable("DOCKER_HOST")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	return api
}

func inspected(t *testing.T, api *client.Client, name string) container.InspectResponse {
	t.Helper()
	got, err := api.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Container
}

func originOf(t *testing.T, api *client.Client, c container.InspectResponse) rerun.Origin {
	t.Helper()
	image, err := api.ImageInspect(t.Context(), c.Image)
	if err != nil {
		t.Fatal(err)
	}
	info, err := api.Info(t.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return rerun.Origin{Image: &image.InspectResponse, Engine: &info.Info}
}

// comparable is what of a container does not come with its ID, its name and its
// times, in one order.
func comparable(c container.InspectResponse) map[string]any {
	config, h := *c.Config, *c.HostConfig
	if config.Hostname == c.ID[:12] {
		config.Hostname = ""
	}
	config.Env = slices.Sorted(slices.Values(config.Env))
	h.Binds = slices.Sorted(slices.Values(h.Binds))
	h.ConsoleSize = [2]uint{}
	endpoints := map[string]any{}
	for name, e := range c.NetworkSettings.Networks {
		aliases := slices.DeleteFunc(slices.Clone(e.Aliases), func(a string) bool { return a == c.ID[:12] })
		asked := []any{aliases, e.Links, e.DriverOpts, e.GwPriority}
		if e.IPAMConfig != nil {
			asked = append(asked, fmt.Sprint(*e.IPAMConfig))
		}
		if !c.State.Running {
			asked = append(asked, e.MacAddress.String())
		}
		endpoints[name] = asked
	}
	return map[string]any{"Config": config, "HostConfig": h, "Networks": endpoints, "Path": c.Path, "Args": c.Args}
}

// TestCorrectedLines makes containers that rules find fault with, has a shell
// run what the fix prints for each, and asks the rule again.
func TestCorrectedLines(t *testing.T) {
	unfixable := map[string]string{
		"ssh":       "the program is in the image",
		"ill":       "its check is there, and fails",
		"ipc-joins": "the container that it joins is not shareable any more",
		"net-joins": "the container that it joins has to be made anew first",
		"pid-joins": "the container that it joins has to be made anew first",
		"service":   "a swarm makes it",
		"runs":      "its first check comes after 30 s, later than a test waits",
	}
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			b := newBed(t, engine)
			image := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
			if err := b.RestartEngine(t.Context(), []byte(`{"userland-proxy": false, "live-restore": true}`)); err != nil {
				t.Fatal(err)
			}
			b.tell(t, "network", "create", "shop")
			b.tell(t, "volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", "device=/etc", "v-etc")
			shapes := containersMade(b)
			b.make(t, image, shapes)
			for _, name := range slices.Sorted(maps.Keys(shapes)) {
				ids := slices.Sorted(maps.Keys(shapes[name].want))
				for id := range shapes[name].unsaid {
					ids = append(ids, id)
				}
				if len(ids) > 0 && unfixable[name] == "" {
					t.Run(name, func(t *testing.T) { b.correct(t, name, ids) })
				}
			}
		})
	}
}

// correct has a shell run the block of a container, with a person's values in
// it, and wants nothing to be found any more.
func (b *bed) correct(t *testing.T, name string, ids []stig.ID) {
	t.Helper()
	const nothing = "containers: {ports: [], capabilities: [], devices: [], cgroup-parents: [], ulimits: []}\n"
	h := b.onlyContainer(t, name, nothing)
	wanted, err := rules.FixContainers(t.Context(), h, ids...)
	if err != nil {
		t.Fatal(err)
	}
	if len(wanted.Person) != 1 || len(wanted.Changes) > 0 {
		t.Fatalf("want one block, got %d and %d changes:\n%s", len(wanted.Person), len(wanted.Changes), strings.Join(wanted.Person, "\n\n"))
	}
	block := strings.NewReplacer("SIZE", "64m", "SHARES", "512", "COUNT", "50", "UID:GID", "1000:1000", "COMMAND", "true").Replace(wanted.Person[0])
	b.shell(t, inspected(t, b.api(t), name), block)
	for _, id := range ids {
		b.await(t, b.onlyContainer(t, name, nothing), name, id, stig.NotAFinding, "")
	}
	if t.Failed() {
		t.Log(block)
	}
	again, err := rules.FixContainers(t.Context(), b.onlyContainer(t, name, nothing), ids...)
	if err != nil || len(again.Person) > 0 {
		t.Errorf("a second time: %v %q", err, again.Person)
	}
}
