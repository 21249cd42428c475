package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// An asker keeps one connection to a unix socket, and the time that answers
// took.
type asker struct {
	client *http.Client
	took   []time.Duration
}

func newAsker(b *testing.B, socket string) *asker {
	b.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	b.Cleanup(transport.CloseIdleConnections)
	return &asker{client: &http.Client{Transport: transport}}
}

// ask gives the answer, in full, to a request that has to succeed.
func (a *asker) ask(b *testing.B, method, path string, body []byte) []byte {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, "http://unix"+path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := a.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	a.took = append(a.took, time.Since(start))
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		b.Fatalf("%s %s: %s, %v: %s", method, path, resp.Status, err, answer)
	}
	return answer
}

// quantile is in microseconds.
func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[int(q*float64(len(took)-1))]) / 1e3
}

// createBody is that of docker run -it --rm -e A=1 -p 8080:80 IMAGE, as
// Docker's client writes it.
func createBody(b *testing.B, image string) []byte {
	b.Helper()
	http80 := network.MustParsePort("80/tcp")
	body, err := json.Marshal(container.CreateRequest{
		Config: &container.Config{
			AttachStdin: true, AttachStdout: true, AttachStderr: true, Tty: true, OpenStdin: true, StdinOnce: true,
			Env: []string{"A=1"}, Image: image, Labels: map[string]string{}, ExposedPorts: network.PortSet{http80: {}},
		},
		HostConfig: &container.HostConfig{
			AutoRemove: true, NetworkMode: "none", RestartPolicy: container.RestartPolicy{Name: "no"},
			LogConfig:    container.LogConfig{Config: map[string]string{}},
			PortBindings: network.PortMap{http80: {{HostPort: "8080"}}},
		},
		NetworkingConfig: &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return body
}
