package bench

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/docker/go-plugins-helpers/authorization"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

const (
	requestPath  = "/AuthZPlugin.AuthZReq"
	responsePath = "/AuthZPlugin.AuthZRes"

	app  = "registry.example.com/prod/app"
	held = digest.Digest("sha256:1111111111111111111111111111111111111111111111111111111111111111")
)

// A question is one of the engine's.
type question struct {
	name, path string
	request    authorization.Request
}

func questions(b *testing.B) []question {
	b.Helper()
	// headers are those that a docker client's request has at the engine.
	headers := map[string]string{"User-Agent": "Docker-Client/28.2.2 (linux)", "Content-Type": "application/json", "Content-Length": "1800", "Accept-Encoding": "gzip"}
	list := authorization.Request{RequestMethod: http.MethodGet, RequestURI: "/v1.41/containers/json", RequestHeaders: headers}
	listed := list
	listed.ResponseStatusCode, listed.ResponseBody = http.StatusOK, bytes.Repeat([]byte("[1]\n"), 500)
	stop := authorization.Request{RequestMethod: http.MethodPost, RequestURI: "/v1.41/containers/abc/stop", RequestHeaders: headers}
	create := authorization.Request{RequestMethod: http.MethodPost, RequestURI: "/v1.41/containers/create?name=web", RequestHeaders: headers, RequestBody: createBody(b, app+":v1")}
	return []question{
		{"PassRequest", requestPath, list},
		{"PassResponse", responsePath, listed},
		{"Stop", requestPath, stop},
		{"Create", requestPath, create},
	}
}

func encoded(b *testing.B, q authorization.Request) []byte {
	b.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		b.Fatal(err)
	}
	return body
}

// BenchmarkQuestion asks both plugins in turn, as an engine asks, and reports
// how many times as long ours takes. The repository is known: its signatures
// come from a Notary server once.
func BenchmarkQuestion(b *testing.B) {
	server := trusttest.NewNotary(b)
	repo := server.NewRepository(b, data.GUN(app))
	repo.Delegate("targets/releases")
	for _, tag := range []string{"v1", "v2", "v3"} {
		repo.Sign(tag, held, "targets/releases")
	}
	repo.Publish()
	dir := b.TempDir()
	policy := filepath.Join(dir, "policy.json")
	writeJSON(b, policy, object{
		"content-trust": object{"mode": "enforced", "trust-pinning": object{"root-keys": object{app: []string{repo.RootKeyID()}}}},
		"notary":        object{"servers": object{"registry.example.com": []string{server.URL}}, "ca": object{"registry.example.com": server.CA}, "refresh": "1h"},
		"requests":      object{"start": "recorded"},
		"engine":        enginetest.Containerd().Start(b).URL(),
	})
	we, they := ours(b, policy, filepath.Join(dir, "we")), theirs(b, filepath.Join(dir, "they"))
	for _, q := range questions(b) {
		b.Run(q.name, func(b *testing.B) { compare(b, q, we, they) })
	}
}

func compare(b *testing.B, q question, we, they *plugin) {
	b.Helper()
	asked := encoded(b, q.request)
	// What a create began has to end, so that the next one finds the plugin
	// as this one did.
	q.request.ResponseStatusCode = http.StatusConflict
	ended, last := encoded(b, q.request), newAsker(b, we.socket)
	our, their := newAsker(b, we.socket), newAsker(b, they.socket)
	for b.Loop() {
		for range 500 { // a question takes 0.1 ms: less would be few to take a p99 of
			allowed(b, their.ask(b, http.MethodPost, q.path, asked))
			allowed(b, our.ask(b, http.MethodPost, q.path, asked))
			if q.path == requestPath {
				allowed(b, last.ask(b, http.MethodPost, responsePath, ended))
			}
		}
	}
	b.ReportMetric(quantile(our.took, 0.5)/quantile(their.took, 0.5), "×p50")
	b.ReportMetric(quantile(our.took, 0.99)/quantile(their.took, 0.99), "×p99")
	b.ReportMetric(quantile(our.took, 0.5), "µs-p50")
}

func allowed(b *testing.B, answer []byte) {
	b.Helper()
	var got authorization.Response
	if err := json.Unmarshal(answer, &got); err != nil || !got.Allow {
		b.Fatalf("answer %s, %v", answer, err)
	}
}

type object = map[string]any

func writeJSON(b *testing.B, path string, v object) {
	b.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		b.Fatal(err)
	}
}
