package guard

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// newerEngine is a server as engines from 29.2 on have it: HTTP/1 and HTTP/2,
// without TLS, told apart by the preface. It answers with the protocol that it
// took a request for.
func newerEngine(tb testing.TB, path string) {
	tb.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Method+" "+r.Proto)
		}),
		Protocols:         &protocols,
		ReadHeaderTimeout: soon,
	}
	listener := listenAt(tb, path)
	go func() { _ = server.Serve(listener) }()
	tb.Cleanup(func() { _ = server.Close() })
}

func overHTTP2(ctx context.Context, path string) (string, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

// TestHTTP2GetsNowhere, although the engine behind would serve it.
func TestHTTP2GetsNowhere(t *testing.T) {
	t.Parallel()
	g := start(t, func(g *guarded) { g.Guard.engine = g.path + "-newer" })
	newerEngine(t, g.Guard.engine)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if got, err := overHTTP2(ctx, g.Guard.engine); err != nil || got != "GET HTTP/2.0" {
		t.Fatalf("without the guard: %q, %v", got, err)
	}
	if got, err := overHTTP2(ctx, g.public); err == nil {
		t.Errorf("through the guard: %q", got)
	}
	g.logged(t, "HTTP/2 on the engine's socket")
}

// TestNoOtherWayToHTTP2 holds what the guard rests on: Go's server looks for
// the preface when a connection begins and never again, and honours no
// "Upgrade: h2c". Each case is sent behind a first request on one connection.
func TestNoOtherWayToHTTP2(t *testing.T) {
	t.Parallel()
	g := start(t, func(g *guarded) { g.Guard.engine = g.path + "-newer" })
	newerEngine(t, g.Guard.engine)
	const first = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, then := range map[string]string{
		"preface later":                   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"preface later, behind a newline": "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
		"upgrade":                         "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, g.public)
			send(t, client, first+then)
			_ = client.CloseWrite()
			answers := wantEnd(t, client)
			if !strings.HasPrefix(answers, "HTTP/1.1 200 OK\r\n") {
				t.Fatalf("the first request failed: %q", answers)
			}
			// HTTP/2 begins with a frame of type SETTINGS (4).
			if strings.Contains(answers, "\x04\x00\x00\x00\x00\x00") || strings.Contains(answers, "101 Switching") {
				t.Errorf("HTTP/2 answers: %q", answers)
			}
		})
	}
}

// TestGoAwayReads: a client of HTTP/2 is told in its own language. Go's shows
// the code, gRPC's the text, too.
func TestGoAwayReads(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := overHTTP2(ctx, g.public); err == nil || !strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
		t.Errorf("the client says %v", err)
	}
}

// FuzzBeginnings sends anything in two pieces. The engine gets all of it or
// nothing, and never what begins as HTTP/2 does.
func FuzzBeginnings(f *testing.F) {
	for _, seed := range []string{"", "P", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "POST /", "\r\nPRI * HTTP/2.0", "\x16\x03\x01", "PUT "} {
		f.Add([]byte(seed), 1)
		f.Add([]byte(seed), 100)
	}
	g := start(f, nil)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if len(data) > 64<<10 {
			return // what follows the first bytes is not looked at
		}
		cut = min(max(cut, 0), len(data))
		client := connect(t, g.public)
		_, _ = client.Write(data[:cut])
		_, _ = client.Write(data[cut:])
		_ = client.CloseWrite()
		answer := make(chan []byte, 1)
		go func() {
			got, _ := io.ReadAll(client)
			answer <- got
		}()
		select {
		case there := <-g.accepted:
			defer there.Close()
			got, err := io.ReadAll(bufio.NewReader(within(t, there)))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("the engine got %q, %v of %q", got, err, data)
			}
			if !isRequest(got) {
				t.Errorf("the engine got %q", got)
			}
		case got := <-answer:
			if isRequest(data) {
				t.Errorf("%q was answered with %q", data, got)
			}
		case <-time.After(soon):
			t.Errorf("%q hangs", data)
		}
	})
}

// isRequest is what may be passed on, said another way than by the guard.
func isRequest(data []byte) bool {
	for _, method := range []string{"GET ", "HEAD", "POST", "PUT ", "DELE", "OPTI", "PATC"} {
		if bytes.HasPrefix(data, []byte(method)) {
			return true
		}
	}
	return false
}
