package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

// headers are those that a docker client's request has at the engine.
var headers = map[string]string{
	"User-Agent": "Docker-Client/28.2.2 (linux)", "Content-Type": "application/json", "Content-Length": "1800", "Accept-Encoding": "gzip",
}

// benchQuestions are asked in the order of the list.
func benchQuestions(b *testing.B) []question {
	b.Helper()
	get := Request{RequestMethod: "GET", RequestURI: "/v1.41/containers/json", RequestHeaders: headers}
	stop := Request{RequestMethod: "POST", RequestURI: "/v1.41/containers/abc/stop", RequestHeaders: headers}
	create := Request{RequestMethod: "POST", RequestURI: "/v1.41/containers/create?name=web", RequestHeaders: headers, RequestBody: createBody(b)}
	return []question{
		{name: "PassRequest", path: requestPath, ask: get},
		{name: "PassResponse", path: responsePath, ask: answerTo(get, http.StatusOK, string(bytes.Repeat([]byte("[1]\n"), 500)))},
		{name: "Stop", path: requestPath, ask: stop},
		{name: "Create", path: requestPath, ask: create},
		{name: "CreateResponse", path: responsePath, ask: answerTo(create, http.StatusCreated, `{"Id":"`+made+`","Warnings":[]}`)},
	}
}

type question struct {
	name, path string
	ask        Request
}

// createBody is that of docker run -it --rm -e A=1 -p 8080:80 IMAGE, as
// Docker's client writes it.
func createBody(b *testing.B) []byte {
	b.Helper()
	http80 := network.MustParsePort("80/tcp")
	body, err := json.Marshal(container.CreateRequest{
		Config: &container.Config{
			AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, OpenStdin: true, StdinOnce: true,
			Env: []string{"A=1"}, Image: app + ":v1", Labels: map[string]string{},
			ExposedPorts: network.PortSet{http80: {}},
		},
		HostConfig: &container.HostConfig{
			AutoRemove: true, NetworkMode: "default", LogConfig: container.LogConfig{Config: map[string]string{}}, RestartPolicy: container.RestartPolicy{Name: "no"},
			PortBindings: network.PortMap{http80: {{HostIP: netip.Addr{}, HostPort: "8080"}}},
		},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{"default": {}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// knowing is a verifier by a Notary server, which vouches for app:v1.
func knowing(tb testing.TB) *policy.Verifier {
	tb.Helper()
	server := trusttest.NewNotary(tb)
	repo := server.NewRepository(tb, data.GUN(app))
	repo.Delegate("targets/releases")
	for _, tag := range []string{"v1", "v2", "v3"} {
		repo.Sign(tag, good, "targets/releases")
	}
	repo.Publish()
	ref, err := reference.ParseNormalizedNamed(app + ":v1")
	if err != nil {
		tb.Fatal(err)
	}
	host := reference.Domain(ref)
	p := &policy.Policy{}
	p.ContentTrust.TrustPinning.RootKeys = map[string][]string{app: {repo.RootKeyID()}}
	p.Notary.Servers = map[string][]string{host: {server.URL}}
	p.Notary.CA = map[string]string{host: server.CA}
	p.Notary.Refresh, p.Notary.Timeout = policy.Duration(time.Hour), policy.Duration(20*time.Second)
	verifier := policy.NewVerifier(p, policy.Options{Now: time.Now, StateDir: tb.TempDir()})
	if _, err := verifier.Verify(tb.Context(), trust.Question{Ref: ref}); err != nil {
		tb.Fatal(err)
	}
	return verifier
}

// benchHandler is the plugin as it runs: it verifies by a Notary server and
// writes its records to a file.
func benchHandler(b *testing.B) *Handler {
	b.Helper()
	verifier := knowing(b)
	fake := enginetest.Containerd()
	fake.Add(made, "web", good.String(), app+":v1")
	r := newRig(b, fake, func(s *Settings) { s.Judge.Verifier = verifier })
	r.Handler.records = audit.Open(audit.Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), File: filepath.Join(b.TempDir(), "log", "authz.log")})
	b.Cleanup(func() { _ = r.Handler.records.Close(context.WithoutCancel(b.Context())) })
	return r.Handler
}

func (q question) encoded(b *testing.B) []byte {
	b.Helper()
	body, err := json.Marshal(q.ask)
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// end ends what a create began, so that the next one finds the plugin as this
// one did.
func (q question) end(h *Handler, s *Settings) {
	if q.name == "Create" {
		h.response(context.Background(), s, answerTo(q.ask, http.StatusConflict, ""), func(Decision) {})
	}
}

// BenchmarkHandler is what a question costs without its way over the socket.
// What it costs beside another plugin, tests/bench tells.
func BenchmarkHandler(b *testing.B) {
	for _, q := range benchQuestions(b) {
		b.Run(q.name, func(b *testing.B) {
			handler := benchHandler(b)
			encoded := q.encoded(b)
			settings := handler.settings.Load()
			b.ReportAllocs()
			for b.Loop() {
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, httptest.NewRequestWithContext(b.Context(), http.MethodPost, q.path, bytes.NewReader(encoded)))
				q.end(handler, settings)
			}
		})
	}
}
