package authz

import (
	"net/http"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// fill puts names into a pattern's variables.
var fill = strings.NewReplacer("{name:.*}", "c1", "{id:.*}", "c1", "{name}", "c1", "{id}", "c1", "{checkpoint}", "cp")

// Every route of the table, asked with what a signed image needs and with
// what an unsigned one would send.
func TestEveryRouteHasItsDisposition(t *testing.T) {
	t.Parallel()
	pinned := func(d string) string { return `{"TaskTemplate":{"ContainerSpec":{"Image":"` + app + "@" + d + `"}}}` }
	bodies := map[engineapi.Use][2]string{ // signed, unsigned
		engineapi.Create:        {`{"Image":"` + app + `:v1"}`, `{"Image":"` + app + `:v2"}`},
		engineapi.ServiceCreate: {pinned(good.String()), pinned(evil.String())},
		engineapi.ServiceUpdate: {pinned(good.String()), pinned(evil.String())},
	}
	queries := map[engineapi.Use][2]string{
		engineapi.Pull: {"?fromImage=" + app + "&tag=v1", "?fromImage=" + app + "&tag=v2"},
	}
	want := map[engineapi.Use][2]bool{
		engineapi.Pass: {true, true}, engineapi.Create: {true, false}, engineapi.Start: {true, false},
		engineapi.Revive: {true, false}, engineapi.Alter: {true, false}, engineapi.Pull: {true, false},
		engineapi.ServiceCreate: {true, false}, engineapi.ServiceUpdate: {true, false},
		engineapi.Build: {false, false}, engineapi.Plugins: {false, false}, engineapi.Swarm: {false, false},
		engineapi.Checkpoint: {false, false},
		engineapi.Exec:       {true, true}, engineapi.ExecStart: {true, true}, // not privileged
		engineapi.Volume: {true, true}, engineapi.Copy: {true, true},
		engineapi.Read: {true, true}, engineapi.Network: {true, true},
	}
	content := [2]string{good.String(), evil.String()}
	for i, kind := range []string{"signed", "unsigned"} {
		engine := enginetest.Containerd()
		r := newRig(t, engine)
		engine.Add(made, "c1", content[i], app+":v1")
		for _, route := range engineapi.Routes() {
			t.Run(kind+" "+route.Method+" "+route.Pattern, func(t *testing.T) {
				allow, known := want[route.Use]
				if !known {
					t.Fatalf("use %d has no disposition here", route.Use)
				}
				body := bodies[route.Use][i]
				if route.Body && body == "" {
					body = "{}"
				}
				for _, version := range []string{"", "/v1.24", "/v1.56"} {
					req := post(version+fill.Replace(route.Pattern)+queries[route.Use][i], body)
					req.RequestMethod = route.Method
					wantVerdict(t, r.ask(t, requestPath, req), allow[i], "")
					r.ask(t, responsePath, failed(req))
					if !route.Body {
						continue
					}
					req.RequestBody = nil
					wantVerdict(t, r.ask(t, requestPath, req), false, "needs a body")
				}
			})
		}
	}
}

// failed is the question about the answer to a request that came to nothing.
func failed(req Request) Request {
	req.ResponseStatusCode = http.StatusInternalServerError
	return req
}

func TestReadingPasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
		wantVerdict(t, r.ask(t, requestPath, Request{RequestMethod: method, RequestURI: "/v9.99/whatever/there/is"}), true, "")
	}
	if asked := r.engine.Asked(); len(asked) != 0 {
		t.Errorf("the engine was asked: %v", asked)
	}
}

func TestUnknownMutatingRouteIsDenied(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd(), func(s *Settings) {
		s.Requests = policy.Requests{Pull: policy.Allow, Build: policy.Allow, Plugins: policy.Allow, SwarmJoin: policy.Allow}
	})
	requests := []Request{
		{RequestMethod: "POST", RequestURI: "/v1.99/wonders/create"},
		{RequestMethod: "PATCH", RequestURI: "/containers/x/start"},
		{RequestMethod: "PROPFIND", RequestURI: "/containers/json"},
		{RequestMethod: "get", RequestURI: "/containers/json"},
		{RequestMethod: "CONNECT", RequestURI: "/containers/json"},
		{RequestMethod: "PUT", RequestURI: "/containers/create"},
		{RequestMethod: "POST", RequestURI: "/containers/create/"},
		{RequestMethod: "POST", RequestURI: "/v1.41/v1.41/containers/create"},
		{RequestMethod: "POST", RequestURI: "//containers/create"},
		{RequestMethod: "POST", RequestURI: "*"},
	}
	for _, req := range requests {
		wantVerdict(t, r.ask(t, requestPath, req), false, "")
	}
	if !strings.Contains(r.records.String(), `"reason":"route-denied"`) {
		t.Errorf("no record:\n%s", r.records)
	}
}

func TestPolicyOpensClasses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		uri, key string
		open     policy.Requests
	}{
		{"/build", "build", policy.Requests{Build: policy.Allow}},
		{"/session", "build", policy.Requests{Build: policy.Allow}},
		{"/grpc", "build", policy.Requests{Build: policy.Allow}},
		{"/plugins/pull", "plugins", policy.Requests{Plugins: policy.Allow}},
		{"/plugins/a/b/c/enable", "plugins", policy.Requests{Plugins: policy.Allow}},
		{"/swarm/join", "swarm-join", policy.Requests{SwarmJoin: policy.Allow}},
		{"/images/create?fromImage=x&tag=y", "", policy.Requests{Pull: policy.Allow}},
	}
	for _, test := range tests {
		t.Run(test.uri, func(t *testing.T) {
			t.Parallel()
			closed := newRig(t, enginetest.Containerd())
			wantVerdict(t, closed.ask(t, requestPath, post(test.uri, "")), false, test.key)
			open := newRig(t, enginetest.Containerd(), func(s *Settings) { s.Requests = test.open })
			wantVerdict(t, open.ask(t, requestPath, post(test.uri, "")), true, "")
		})
	}
	denied := newRig(t, enginetest.Containerd(), func(s *Settings) { s.Requests.Pull = policy.Deny })
	wantVerdict(t, denied.ask(t, requestPath, post("/images/create?fromImage="+app+"&tag=v1", "")), false, "requests.pull")
}
