package rerun

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// TestCompose holds the keys that are written, and that they are YAML.
func TestCompose(t *testing.T) {
	t.Parallel()
	const labels = `, "Labels": {"com.docker.compose.service": "web", "com.docker.compose.project.config_files": "/srv/compose.yaml\n  x: y"}`
	before := read(t, web(labels, `"Privileged": true, "PidMode": "host", "CapAdd": ["A", "B"], "SecurityOpt": ["seccomp={\"a\": 1}", "label=disable"],
		"Binds": ["/a:/b", "/c:/d"], "Ulimits": [{"Name": "core", "Soft": 1, "Hard": 1}, {"Name": "nofile", "Soft": 1, "Hard": 2}],
		"PortBindings": {"80/tcp": [{"HostPort": "80"}]}, "DeviceRequests": [{"Driver": "x", "Count": 1, "Capabilities": [["gpu"]]}, {"Driver": "cdi", "DeviceIDs": ["v/c=1"]}]`, ""))
	after := read(t, web(labels+`, "User": "$UID:GID", "Healthcheck": {"Test": ["CMD-SHELL", "COMMAND"]}`, `"CapAdd": ["A"], "SecurityOpt": ["seccomp={\"a\": 1}", "no-new-privileges"], "ReadonlyRootfs": true,
		"Binds": ["/a:/b:ro", "/c:/d"], "Ulimits": [{"Name": "core", "Soft": 1, "Hard": 1}],
		"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
		"Mounts": [{"Type": "bind", "Source": "/x", "Target": "/y", "ReadOnly": true, "BindOptions": {"Propagation": "rprivate"}}]`, ""))
	got := strings.Join(Compose(before, after, "mem_limit: SIZE"), "\n")
	const want = `# /srv/compose.yaml   x: y
services:
  "web":
    # without privileged
    # without pid
    read_only: true
    user: "$$UID:GID"
    healthcheck: {"test":["CMD-SHELL","COMMAND"]}
    # cap_add:
      # without "B"
    security_opt:
      # without "label=disable"
      - "no-new-privileges"
    # without devices
    # without gpus
    # ulimits:
      # without "nofile": {"soft": 1, "hard": 2}
    ports:
      # without "80:80"
      - "127.0.0.1:8080:80"
    volumes:
      # without "/a:/b"
      - "/a:/b:ro"
      - {"bind":{"propagation":"rprivate"},"read_only":true,"source":"/x","target":"/y","type":"bind"}
    mem_limit: SIZE`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var parsed struct {
		Services map[string]map[string]any
	}
	if err := yaml.Unmarshal([]byte(got), &parsed); err != nil {
		t.Fatal(err)
	}
	if web := parsed.Services["web"]; len(web) != 7 || web["read_only"] != true {
		t.Errorf("read back: %v", parsed)
	}
	if lines := Compose(before, before); lines != nil {
		t.Errorf("nothing differs, and got %q", lines)
	}
}

// TestService holds the options, and what there is none for.
func TestService(t *testing.T) {
	t.Parallel()
	const labels = `, "Labels": {"com.docker.swarm.service.name": "shop_web"}`
	before := read(t, web(labels, `"NetworkMode": "host", "UTSMode": "host", "CapAdd": ["A"], "Ulimits": [{"Name": "core"}],
		"PortBindings": {"80/tcp": [{"HostPort": "80"}], "81/udp": [{"HostPort": "81"}]}, "Mounts": [{"Type": "bind", "Target": "/a"}, {"Type": "bind", "Target": "/b"}, {"Type": "bind", "Target": "/c"}]`, ""))
	after := read(t, web(labels+`, "User": "1", "Healthcheck": {"Test": ["CMD-SHELL", "a b"]}`, `"ReadonlyRootfs": true, "Memory": 7, "PidsLimit": 8,
		"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}, "Mounts": [{"Type": "bind", "Target": "/a", "ReadOnly": true}, {"Type": "bind", "Target": "/c"}]`, ""))
	line := Service(before, after, "--limit-memory", "SIZE")
	const want = "docker service update --user 1 --read-only=true --cap-drop A --limit-memory 7 --limit-pids 8 --health-cmd 'a b' --network-rm host " +
		"--mount-add type=bind,target=/a,readonly=true --mount-rm /b --ulimit-rm core --publish-rm 80/tcp --publish-add mode=host,target=80,protocol=tcp,published=8080 --publish-rm 81/udp --limit-memory SIZE shop_web"
	if diff := cmp.Diff(want, Quote(line.Argv)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if notes := strings.Join(line.Notes, "\n"); len(line.Notes) != 2 || !strings.Contains(notes, "80/tcp on all addresses") || !strings.Contains(notes, "no option for uts") {
		t.Errorf("got notes %q", line.Notes)
	}
	if line := Service(before, before); line.Argv != nil || line.Notes != nil {
		t.Errorf("nothing differs, and got %q", line)
	}
}

func TestStepwise(t *testing.T) {
	t.Parallel()
	line := Line{Argv: strings.Fields("docker run --detach --name web shop"), After: [][]string{{"x"}}}.Stepwise()
	if diff := cmp.Diff(Line{Argv: strings.Fields("docker create --name web shop"), After: [][]string{{"x"}, {"docker", "start", "web"}}}, line); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if again := line.Stepwise(); !cmp.Equal(again, line) {
		t.Errorf("got %q", again)
	}
}
