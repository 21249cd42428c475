package rules_test

import (
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// shop is container web with more of Config, HostConfig and the rest.
func shop(config, host, more string) string {
	return `"Id": "0123456789abcdef", "Name": "/web", "Image": "sha256:aa", ` + runs + `, "Config": {"Image": "shop"` + config + `}, "HostConfig": {` + host + `}` + more
}

// ofShop is the image that it was made from.
var ofShop = hosttest.Machine{"engine/images/sha256:aa/json": `{"Id": "sha256:aa", "RepoTags": ["shop:latest"]}`}

// correctedShapes are containers, and what their blocks say. A line that begins
// with ! is not to be in any.
var correctedShapes = map[string]struct {
	container string
	more      hosttest.Machine
	ids       []stig.ID
	want      []string
}{
	"several at once": {
		shop("", `"Privileged": true, "PidMode": "host", "UTSMode": "host", "SecurityOpt": ["label=disable"], "RestartPolicy": {"Name": "always"}`, ""), ofShop,
		[]stig.ID{"DKER-EE-001960", "DKER-EE-001240", "DKER-EE-002060", "DKER-EE-002110", "DKER-EE-002030", "DKER-EE-003200", "DKER-EE-002010", "DKER-EE-004030"},
		[]string{
			"# container web: it is privileged", "(DKER-EE-001240)", "docker rename web web-before &&\ndocker create ", "&&\ndocker stop web-before &&\ndocker start web\n",
			"docker create --memory SIZE --memory-swap SIZE --name web --user UID:GID --security-opt no-new-privileges --read-only --restart on-failure:5 shop &&\n",
			"# put a number above 0", "docker rm web-before", "!\ndocker update", "!--privileged shop",
		},
	},
	"limits alone": {
		shop("", "", ""), ofShop,
		[]stig.ID{"DKER-EE-002010", "DKER-EE-002020", "DKER-EE-002780"},
		[]string{"\ndocker update --memory SIZE --memory-swap SIZE --cpu-shares SHARES --pids-limit COUNT web\n", "!docker create", "!rename"},
	},
	"other limits": {
		shop(`, "Cmd": ["run", "--cpu-shares", "1024"]`, `"Memory": -1, "MemorySwap": -1, "CpuShares": 1024, "PidsLimit": -1, "UTSMode": "host"`, ""), ofShop,
		[]stig.ID{"DKER-EE-002010", "DKER-EE-002020", "DKER-EE-002780", "DKER-EE-002060"},
		[]string{"docker create --memory SIZE --memory-swap SIZE --cpu-shares SHARES --pids-limit COUNT --name web shop run --cpu-shares 1024 &&\n"},
	},
	"limits of the site": {
		shop("", `"CpuShares": 1024, `+always, ""), planned,
		[]stig.ID{"DKER-EE-002010", "DKER-EE-002020", "DKER-EE-002780", "DKER-EE-004030"},
		[]string{
			"\ndocker update --memory 512m --memory-swap 512m --cpu-shares 512 --pids-limit 100 --restart on-failure:5 web\n",
			"# docker stig fix DKER-EE-002010 sets it in the container as it runs", "docker stig fix DKER-EE-004030", "!SIZE", "!docker create",
		},
	},
	"of compose": {
		shop(`, "Labels": {"com.docker.compose.project": "p", "com.docker.compose.service": "app", "com.docker.compose.project.config_files": "/srv/compose.yaml"}`,
			`"Privileged": true, "UsernsMode": "host", "CapAdd": ["CHOWN", "NET_ADMIN"], "Binds": ["/etc:/e:rw", "/srv:/s"]`,
			`, "Mounts": [{"Type": "bind", "Source": "/etc", "Destination": "/e", "RW": true}, {"Type": "bind", "Source": "/srv", "Destination": "/s", "RW": true}]`), settings("capabilities: []"),
		[]stig.ID{"DKER-EE-001960", "DKER-EE-002120", "DKER-EE-001950", "DKER-EE-001190", "DKER-EE-002780"},
		[]string{
			"#   # /srv/compose.yaml\n#   services:\n#     \"app\":\n", "#       # without privileged\n", "#       # without userns_mode\n", "#       # cap_add:\n#         # without \"NET_ADMIN\"\n",
			"#       volumes:\n#         # without \"/etc:/e:rw\"\n#         - \"/etc:/e:ro\"\n", "#       pids_limit: COUNT", "!docker create", "!/srv:/s",
		},
	},
	"of a swarm": {
		shop(`, "Labels": {"com.docker.swarm.service.name": "shop_web"}`, `"CapAdd": ["NET_ADMIN"], "Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/e"}]`,
			`, "Mounts": [{"Type": "bind", "Source": "/etc", "Destination": "/e", "RW": true}]`), settings("capabilities: []"),
		[]stig.ID{"DKER-EE-002030", "DKER-EE-001950", "DKER-EE-001190", "DKER-EE-002010", "DKER-EE-003200", "DKER-EE-002110"},
		[]string{"\ndocker service update --user UID:GID --read-only=true --cap-drop NET_ADMIN --mount-add type=bind,source=/etc,target=/e,readonly=true --limit-memory SIZE shop_web\n", "no option for security_opt", "!docker create"},
	},
	"of Kubernetes": {
		shop(`, "Labels": {"io.kubernetes.pod.name": "web-0"}`, `"Privileged": true`, ""), ofShop,
		[]stig.ID{"DKER-EE-001960"},
		[]string{"# Kubernetes makes it: change pod web-0", "!docker create"},
	},
	"of UCP": {
		shop(`, "Labels": {"com.docker.ucp.version": "3"}`, "", ""), ofShop, []stig.ID{"DKER-EE-002030"}, []string{"!#"},
	},
	"the socket": {
		shop("", `"Binds": ["/var/run/docker.sock:/s", "/srv:/t"]`, `, "Mounts": [{"Type": "bind", "Source": "/var/run/docker.sock", "Destination": "/s"}, {"Type": "bind", "Source": "/srv", "Destination": "/t"}]`), ofShop,
		[]stig.ID{"DKER-EE-002130"},
		[]string{"--name web --volume /srv:/t shop", "without /s now"},
	},
	"another's mount": {
		shop("", `"VolumesFrom": ["other"]`, `, "Mounts": [{"Type": "bind", "Source": "/etc", "Destination": "/e", "RW": true}]`), ofShop,
		[]stig.ID{"DKER-EE-001190"},
		[]string{"at /e comes from another container", "!docker create"},
	},
	"shared mount": {
		shop("", `"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "BindOptions": {"Propagation": "shared"}}]`, `, "Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "Propagation": "shared"}]`), ofShop,
		[]stig.ID{"DKER-EE-002050"},
		[]string{"--mount type=bind,source=/a,target=/b,bind-propagation=rprivate shop"},
	},
	"ports": {
		shop(`, "ExposedPorts": {"90/tcp": {}}`, `"PublishAllPorts": true, "PortBindings": {"80/tcp": [{"HostPort": "80"}], "81/udp": [{"HostIp": "::", "HostPort": "1000-1001"}]}`,
			`, "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}], "90/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}]}}`), ofShop,
		[]stig.ID{"DKER-EE-002150", "DKER-EE-002160"},
		[]string{"--publish 127.0.0.1:8080:80 --publish '[::1]:9000-9001:81/udp' --publish 127.0.0.1::90 shop", "!publish-all", "8080 in the place of port 80 is a proposal"},
	},
	"unlisted": {
		shop("", `"Devices": [{"PathOnHost": "/dev/a"}, {"PathOnHost": "/dev/b"}], "Ulimits": [{"Name": "core", "Soft": 1, "Hard": 1}], "CapAdd": ["SYS_TIME", "NET_ADMIN"], "PortBindings": {"80/tcp": [{"HostPort": "80"}], "81/tcp": [{"HostPort": "81"}]}`,
			`, "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "10.0.0.1", "HostPort": "80"}], "81/tcp": [{"HostIp": "10.0.0.1", "HostPort": "81"}]}}`),
		hosttest.Machine{"site.yaml": "containers: {devices: [/dev/b], ulimits: [], capabilities: [NET_ADMIN], ports: [81/tcp]}\n"},
		[]stig.ID{"DKER-EE-002040", "DKER-EE-004040", "DKER-EE-001950", "DKER-EE-003560"},
		[]string{"--name web --cap-add NET_ADMIN --device /dev/b --publish 81:81 shop"},
	},
	"the site says nothing": {
		shop("", `"CapAdd": ["NET_ADMIN"]`, ""), ofShop, []stig.ID{"DKER-EE-001950"}, []string{"container web: it has capability NET_ADMIN, and whether", "!docker"},
	},
	"unhealthy": {
		`"Id": "0123456789abcdef", "Name": "/web", "State": {"Running": true, "Health": {"Status": "unhealthy"}}, "Config": {"Image": "shop"}, "HostConfig": {}`, nil,
		[]stig.ID{"DKER-EE-002770"},
		[]string{"# container web: its health is unhealthy", "!docker create"},
	},
	"unchecked": {shop("", "", ""), ofShop, []stig.ID{"DKER-EE-002770"}, []string{"--health-cmd COMMAND shop", "# put a command"}},
	"seccomp":   {shop("", `"SecurityOpt": ["seccomp:unconfined", "no-new-privileges:false", "apparmor=x"]`, ""), ofShop, []stig.ID{"DKER-EE-002070", "DKER-EE-002110"}, []string{"--name web --security-opt apparmor=x --security-opt no-new-privileges shop"}},
	"IPC":       {shop("", `"IpcMode": "shareable"`, ""), ofShop, []stig.ID{"DKER-EE-001250"}, []string{"--name web --ipc private shop"}},
	"network": {
		shop(`, "Hostname": "host-1"`, `"NetworkMode": "host"`, `, "NetworkSettings": {"Networks": {"host": {}}}`), ofShop,
		[]stig.ID{"DKER-EE-002000"},
		[]string{"docker create --name web shop", "# add --network and --publish"},
	},
	"control characters": {
		shop(`, "Labels": {"a": "\u001b[2J"}`, `"UTSMode": "host", "Binds": ["/a\u001b\nx:/b"]`, ""), ofShop, []stig.ID{"DKER-EE-002060"}, []string{`'/a'"$(printf '\033')"'`, "!\x1b"},
	},
	"no such image":    {shop("", `"UTSMode": "host"`, ""), nil, []stig.ID{"DKER-EE-002060"}, []string{"# its image could not be asked"}},
	"it goes":          {shop("", `"UTSMode": "host", "AutoRemove": true`, ""), ofShop, []stig.ID{"DKER-EE-002060"}, []string{"--rm shop", "no way back", "!docker rm"}},
	"nothing is wrong": {shop("", "", ""), ofShop, []stig.ID{"DKER-EE-001960"}, []string{"!web"}},
}

// TestFixContainers holds what a person is told about each container.
func TestFixContainers(t *testing.T) {
	t.Parallel()
	for name, c := range correctedShapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wanted, err := rules.FixContainers(t.Context(), machine(c.container, c.more).Host(t), c.ids...)
			if err != nil {
				t.Fatal(err)
			}
			if len(wanted.Changes) > 0 || len(wanted.Person) > 1 {
				t.Errorf("want one block and no change, got %+v", wanted)
			}
			said(t, strings.Join(wanted.Person, "\n\n")+"\n", c.want)
		})
	}
}

// said wants texts in a block, and those that begin with ! not.
func said(t *testing.T, block string, want []string) {
	t.Helper()
	for _, text := range want {
		unwanted, not := strings.CutPrefix(text, "!")
		if strings.Contains(block, unwanted) == not {
			t.Errorf("%q:\n%s", text, block)
		}
	}
}

// TestFixContainersSilent holds that what cannot be asked is an error.
func TestFixContainersSilent(t *testing.T) {
	t.Parallel()
	h := hosttest.Machine{"silent": ""}.Host(t)
	if _, err := rules.FixContainers(t.Context(), h, "DKER-EE-001960"); err == nil || !strings.Contains(err.Error(), "DKER-EE-001960: ") {
		t.Errorf("got %v", err)
	}
	if _, err := rules.FixContainers(t.Context(), h, "DKER-EE-1"); err == nil || !strings.Contains(err.Error(), "no rule") {
		t.Errorf("got %v", err)
	}
}
