package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docker/go-plugins-helpers/authorization"

	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

// An allowAll is the plugin to compare with.
type allowAll struct{}

func (allowAll) AuthZReq(authorization.Request) authorization.Response {
	return authorization.Response{Allow: true}
}

func (allowAll) AuthZRes(authorization.Request) authorization.Response {
	return authorization.Response{Allow: true}
}

// A peer is a plugin behind a unix socket, asked as the engine asks.
type peer struct {
	client *http.Client
	took   []time.Duration
}

func newPeer(b *testing.B, serve func(net.Listener) error) *peer {
	b.Helper()
	path := filepath.Join(b.TempDir(), "p")
	listener, err := new(net.ListenConfig).Listen(b.Context(), "unix", path)
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = serve(listener) }()
	b.Cleanup(func() { _ = listener.Close() })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &peer{client: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

func (p *peer) ask(b *testing.B, path string, question []byte) {
	b.Helper()
	start := time.Now()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://plugin"+path, bytes.NewReader(question))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", contentType)
	resp, err := p.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var answer Response
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || !answer.Allow {
		b.Fatalf("answer %+v, %v", answer, err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	p.took = append(p.took, time.Since(start))
}

func (p *peer) quantile(q float64) float64 {
	slices.Sort(p.took)
	return float64(p.took[int(q*float64(len(p.took)-1))])
}

// BenchmarkAuthZ asks both plugins in turn, so that what else the machine does
// falls on both, and reports how many times as long ours takes.
func BenchmarkAuthZ(b *testing.B) {
	headers := map[string]string{"User-Agent": "Docker-Client/28.2.2 (linux)", "Accept": "*/*"}
	create := `{"Hostname":"","User":"","AttachStdout":true,"Env":["A=1","B=2"],"Cmd":["sh","-c","true"],"Image":"` + app + `:v1","Volumes":{},"Labels":{"a":"b"},
		"HostConfig":{"Binds":null,"NetworkMode":"default","PortBindings":{},"RestartPolicy":{"Name":"no","MaximumRetryCount":0},"LogConfig":{"Type":"","Config":{}},"Memory":0,"NanoCpus":0,"CapAdd":null,"Dns":[],"Mounts":[]},
		"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,"Aliases":null}}}}`
	cases := []struct {
		name, path string
		req        Request
	}{
		{"PassRequest", requestPath, Request{RequestMethod: "GET", RequestURI: "/v1.41/containers/json", RequestHeaders: headers}},
		{"PassResponse", responsePath, Request{RequestMethod: "GET", RequestURI: "/v1.41/containers/json", RequestHeaders: headers, ResponseStatusCode: 200, ResponseBody: bytes.Repeat([]byte("[1]\n"), 500)}},
		{"Stop", requestPath, Request{RequestMethod: "POST", RequestURI: "/v1.41/containers/abc/stop", RequestHeaders: headers}},
		{"Create", requestPath, Request{RequestMethod: "POST", RequestURI: "/v1.41/containers/create?name=x", RequestHeaders: headers, RequestBody: []byte(create)}},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			log := slog.New(slog.NewJSONHandler(&records{}, nil)) // as written to a file
			ours := newPeer(b, NewServer(newRig(b, enginetest.Containerd()).Handler, log).Serve)
			theirs := newPeer(b, authorization.NewHandler(allowAll{}).Serve)
			question, err := json.Marshal(c.req)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				theirs.ask(b, c.path, question)
				ours.ask(b, c.path, question)
			}
			b.ReportMetric(ours.quantile(0.5)/theirs.quantile(0.5), "×p50")
			b.ReportMetric(ours.quantile(0.99)/theirs.quantile(0.99), "×p99")
			b.ReportMetric(ours.quantile(0.5)/1000, "µs-p50")
		})
	}
}
