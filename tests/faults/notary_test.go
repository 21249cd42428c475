package faults

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A mood is how a trust server treats those who ask.
type mood func(n *notary, w http.ResponseWriter, r *http.Request)

// A notary stands before the testbed's trust server. It is honest until told
// otherwise, and remembers what it said of each file when it was told to.
type notary struct {
	url    string
	honest http.Handler

	mu    sync.Mutex
	mood  mood
	past  map[string][]byte // path to body
	asked int
	gone  chan struct{} // closed at the end, for those who are kept waiting
}

func startNotary(t *testing.T, b *bed) *notary {
	t.Helper()
	upstream, err := url.Parse(b.NotaryURL())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(b.CA())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	n := &notary{mood: honest, past: map[string][]byte{}, gone: make(chan struct{})}
	n.honest = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) }, Transport: transport, ErrorLog: log.New(io.Discard, "", 0)}
	pair, err := tls.LoadX509KeyPair(filepath.Join(b.Dir(), "srv.crt"), filepath.Join(b.Dir(), "srv.key"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(n)
	server.Config.IdleTimeout = time.Second             // what nobody uses any more does not count as the plugin's
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // that those who ask are killed is no news
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	n.url = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	t.Cleanup(func() { close(n.gone); server.Close(); transport.CloseIdleConnections() })
	return n
}

func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	mood := n.mood
	n.asked++
	n.mu.Unlock()
	mood(n, w, r)
}

// become changes the server's mood.
func (n *notary) become(m mood) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mood = m
}

func (n *notary) questions() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

func honest(n *notary, w http.ResponseWriter, r *http.Request) { n.honest.ServeHTTP(w, r) }

// recording is honest, and keeps what it says.
func recording(n *notary, w http.ResponseWriter, r *http.Request) {
	heard := httptest.NewRecorder()
	n.honest.ServeHTTP(heard, r)
	n.mu.Lock()
	if heard.Code == http.StatusOK {
		n.past[r.URL.Path] = heard.Body.Bytes()
	}
	n.mu.Unlock()
	w.WriteHeader(heard.Code)
	_, _ = w.Write(heard.Body.Bytes())
}

// older plays back what it said while it was recording: signed, and older
// than what it has said since.
func older(n *notary, w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	said, ok := n.past[r.URL.Path]
	n.mu.Unlock()
	if !ok {
		n.honest.ServeHTTP(w, r)
		return
	}
	_, _ = w.Write(said)
}

// silent takes the question and never answers.
func silent(n *notary, _ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-n.gone:
	}
}

// slow answers a byte a second.
func slow(n *notary, w http.ResponseWriter, r *http.Request) {
	heard := httptest.NewRecorder()
	n.honest.ServeHTTP(heard, r)
	w.WriteHeader(heard.Code)
	for _, octet := range heard.Body.Bytes() {
		if _, err := w.Write([]byte{octet}); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		case <-n.gone:
			return
		}
	}
}

func failing(_ *notary, w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no", http.StatusInternalServerError)
}

func garbage(_ *notary, w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte(`{"signed":{"_type":"Root","version":-1},"signatures":[{"keyid":"` + strings.Repeat("00", 1<<16) + `"`))
}

// hangingUp closes every connection over the question.
func hangingUp(_ *notary, w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}
