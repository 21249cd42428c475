package authz

import (
	"net/http"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// TestWhatReachesTheHostIsDenied asks for the host in every way there is a
// route for: with a container that has it since before the plugin, and anew.
func TestWhatReachesTheHostIsDenied(t *testing.T) {
	t.Parallel()
	exec := map[string]any{"ID": other, "ContainerID": made, "ProcessConfig": map[string]any{"privileged": false}}
	privileged := map[string]any{"ID": other, "ContainerID": "c2", "ProcessConfig": map[string]any{"privileged": true}}
	tests := []struct {
		name string
		req  Request
		say  string
	}{
		{"start", post("/containers/x/start", ""), "protect.privileged"},
		{"exec", post("/containers/x/exec", `{"Cmd":["sh"]}`), "protect.privileged"},
		{"exec prepared before", post("/exec/e1/start", "{}"), "protect.privileged"},
		{"copy out", read(http.MethodGet, "/containers/x/archive?path=/"), "protect.privileged"},
		{"look at", read(http.MethodHead, "/v1.41/containers/x/archive?path=/"), "protect.privileged"},
		{"copy in", read(http.MethodPut, "/containers/x/archive?path=/"), "protect.privileged"},
		{"copy out, old", post("/v1.20/containers/x/copy", `{"Resource":"/"}`), "protect.privileged"},
		{"create", post("/containers/create", `{"Image":"`+app+`:v1","HostConfig":{"Privileged":true}}`), "protect.privileged"},
		{"privileged exec", post("/containers/y/exec", `{"Cmd":["sh"],"Privileged":true}`), "protect.exec-privileged"},
		{"privileged exec prepared before", post("/exec/e2/start", "{}"), "protect.exec-privileged"},
		{"device by update", post("/containers/y/update", `{"Devices":[{"PathOnHost":"/dev/mem"}]}`), "protect.devices"},
		{"disk as volume", post("/volumes/create", `{"Driver":"local","DriverOpts":{"type":"ext4","device":"/dev/vda"}}`), "protect.devices"},
		{"network driver by path", post("/networks/create", `{"Name":"n","Driver":"../../../tmp/x"}`), "../../../tmp/x"},
		{"address driver by path", post("/networks/create", `{"Name":"n","IPAM":{"Driver":"/tmp/x"}}`), "/tmp/x"},
		{"service", post("/services/create", `{"TaskTemplate":{"ContainerSpec":{"Image":"`+app+"@"+good.String()+`","CapabilityAdd":["SYS_ADMIN"]}}}`), "protect.capabilities"},
		{"tokens of the swarm", read(http.MethodGet, "/swarm"), "requests.swarm-join"},
		{"key of the swarm", read(http.MethodGet, "/swarm/unlockkey"), "requests.swarm-join"},
		{"authority of the swarm", post("/swarm/update?version=1", "{}"), "requests.swarm-join"},
		{"role of a node", post("/nodes/n/update?version=1", "{}"), "requests.swarm-join"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			engine := enginetest.Containerd()
			engine.Execs = map[string]any{"e1": exec, "e2": privileged}
			for _, open := range []bool{false, true} {
				r := newRig(t, engine, func(s *Settings) {
					if open {
						s.Requests.SwarmJoin = policy.Allow
						s.Protect = admission.NewProtection(everything(), s.Judge.Engine, admission.Host{Now: time.Now})
						s.Judge.Protect = s.Protect
					}
				})
				if !open {
					engine.Add(made, "x", good.String(), app+":v1")
					engine.Add("c2", "y", good.String(), app+":v1")
					engine.Privilege(made)
				}
				got := r.ask(t, requestPath, test.req)
				if isPath := test.say[0] == '.' || test.say[0] == '/'; isPath && open {
					continue // no policy opens it
				}
				wantVerdict(t, got, open, map[bool]string{false: test.say, true: ""}[open])
			}
		})
	}
}

// TestOrdinaryContainersAreReached: a container that has nothing of the host is
// worked with as ever, whatever its image is.
func TestOrdinaryContainersAreReached(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	engine.Execs = map[string]any{"e1": map[string]any{"ID": "e1", "ContainerID": made, "ProcessConfig": map[string]any{}}}
	r := newRig(t, engine)
	engine.Add(made, "x", evil.String(), app+":v1")
	for _, req := range []Request{
		post("/containers/x/exec", `{"Cmd":["sh"]}`), post("/exec/e1/start", "{}"), post("/exec/gone/start", "{}"),
		read(http.MethodGet, "/containers/x/archive?path=/"), read(http.MethodPut, "/containers/x/archive?path=/"),
		read(http.MethodGet, "/containers/gone/archive?path=/"),
		post("/networks/create", `{"Name":"n","Driver":"bridge","IPAM":{"Driver":"default","Config":[{"Subnet":"10.1.0.0/16"}]}}`),
		post("/networks/create", `{"Name":"n","Driver":"vendor/net:1.2","IPAM":null}`),
	} {
		wantVerdict(t, r.ask(t, requestPath, req), true, "")
	}
}

// TestCopyingIntoWhatDoesNotRun is for the policy to close.
func TestCopyingIntoWhatDoesNotRun(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	r := newRig(t, engine, func(s *Settings) { s.Requests.Copy = policy.Deny })
	engine.Add(made, "x", good.String(), app+":v1")
	wantVerdict(t, r.ask(t, requestPath, read(http.MethodPut, "/containers/x/archive?path=/")), false, "requests.copy")
	wantVerdict(t, r.ask(t, requestPath, read(http.MethodGet, "/containers/x/archive?path=/")), true, "")
}

// read is a request whose body, if it has one, is no JSON.
func read(method, uri string) Request {
	return Request{RequestMethod: method, RequestURI: uri}
}

// everything opens what a policy can open.
func everything() policy.Protect {
	return policy.Protect{
		Privileged: policy.Allow, HostNamespaces: policy.Allow, Devices: policy.Allow, ExecPrivileged: policy.Allow,
		Capabilities: []string{"ALL"}, SecurityOptions: policy.Allow,
	}
}
