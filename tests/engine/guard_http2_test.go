package engine

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// http2 wants nothing of HTTP/2 to be served through the guard. An engine that
// has it serves it on its own socket, which shows that the requests are good.
func (g *guardProcess) http2(t *testing.T, bare *bed, engine testbed.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for name, test := range map[string]struct{ method, path, contentType string }{
		"API":  {http.MethodGet, "/_ping", ""},
		"gRPC": {http.MethodPost, "/grpc.health.v1.Health/Check", "application/grpc"},
	} {
		t.Run(name, func(t *testing.T) {
			without, err := askHTTP2(ctx, g.bare(), test.method, test.path, test.contentType)
			if served := err == nil && without == "HTTP/2.0 200 OK"; served != (engine == testbed.Moby) {
				t.Errorf("without the guard: %q, %v", without, err)
			}
			if with, err := askHTTP2(ctx, g.socket, test.method, test.path, test.contentType); err == nil {
				t.Errorf("with it: %q", with)
			}
		})
	}
	g.awaitLog(t, "HTTP/2 on the engine's socket")
	t.Run("later on a connection", func(t *testing.T) {
		for _, then := range []string{
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
			"PRI * HTTP/2.0\r\nHost: engine\r\nContent-Type: application/grpc\r\n\r\n",
			"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: engine\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		} {
			answers := rawAnswers(t, g.socket, "GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n"+then)
			statuses := regexp.MustCompile(`HTTP/1\.1 \d+`).FindAllString(answers, -1)
			if len(statuses) != 2 || statuses[0] != "HTTP/1.1 200" || strings.HasPrefix(statuses[1], "HTTP/1.1 2") {
				t.Errorf("%q is answered with %q", then, answers)
			}
			if strings.Contains(answers, "\x04\x00\x00\x00\x00\x00") {
				t.Errorf("%q is answered with frames: %q", then, answers)
			}
		}
	})
	if out := bare.docker(t, "ps"); out.code != 0 {
		t.Errorf("the engine afterwards: %s", out.stderr)
	}
}

func askHTTP2(ctx context.Context, socket, method, path, contentType string) (string, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DialContext: dialer(socket)}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, strings.NewReader(strings.Repeat("\x00", 5))) // an empty message
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Proto + " " + resp.Status, nil
}

func dialer(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

// rawAnswers sends a text and gives all that comes back for a moment.
func rawAnswers(t *testing.T, socket, text string) string {
	t.Helper()
	conn, err := dialer(socket)(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if unixConn, ok := conn.(*net.UnixConn); ok {
		_ = unixConn.CloseWrite()
	}
	answers, _ := io.ReadAll(conn)
	return string(answers)
}
