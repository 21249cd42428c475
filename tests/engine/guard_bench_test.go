package engine

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// BenchmarkGuard asks an engine in turn without the guard and through it, so
// that what else the machine does falls on both, and reports what the guard
// adds to a ping and how many times as long docker save of a large image takes.
func BenchmarkGuard(b *testing.B) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		b.Run(string(engine), func(b *testing.B) {
			bed := testbed.Start(b, engine)
			g := startGuard(b, bed)
			bare, through := newAsker(b, g.bare()), newAsker(b, g.socket)
			b.Run("Ping", func(b *testing.B) {
				bare.took, through.took = nil, nil
				for b.Loop() {
					bare.ask(b, http.MethodGet, "/_ping", http.NoBody)
					through.ask(b, http.MethodGet, "/_ping", http.NoBody)
				}
				b.ReportMetric(through.median()-bare.median(), "µs-added-p50")
				b.ReportMetric(through.median(), "µs-p50")
			})
			b.Run("Save", func(b *testing.B) {
				bare.ask(b, http.MethodPost, "/images/create?fromSrc=-&repo=large&tag=1", bytes.NewReader(largeImage(b)))
				bare.took, through.took = nil, nil
				for b.Loop() {
					for range 3 { // one takes longer than a benchmark runs
						bare.ask(b, http.MethodGet, "/images/large:1/get", http.NoBody)
						through.ask(b, http.MethodGet, "/images/large:1/get", http.NoBody)
					}
				}
				b.ReportMetric(through.median()/bare.median(), "×p50")
				b.ReportMetric(through.median()/1e6, "s-p50")
			})
		})
	}
}

// largeImage is the archive of a file system of 256 MiB that nothing shrinks.
func largeImage(b *testing.B) []byte {
	b.Helper()
	const size = 256 << 20 // bytes
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "large", Mode: 0o644, Size: size}); err != nil {
		b.Fatal(err)
	}
	if _, err := io.CopyN(w, rand.Reader, size); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return archive.Bytes()
}

// An asker keeps one connection to a socket, and the time that answers took.
type asker struct {
	client *http.Client
	took   []time.Duration
}

func newAsker(b *testing.B, socket string) *asker {
	b.Helper()
	transport := &http.Transport{DialContext: dialer(socket)}
	b.Cleanup(transport.CloseIdleConnections)
	return &asker{client: &http.Client{Transport: transport}}
}

func (a *asker) ask(b *testing.B, method, path string, body io.Reader) {
	b.Helper()
	start := time.Now()
	req, err := http.NewRequestWithContext(b.Context(), method, "http://engine"+path, body)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := a.client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%s %s: %s, %v", method, filepath.Base(path), resp.Status, err)
	}
	a.took = append(a.took, time.Since(start))
}

// median is in microseconds.
func (a *asker) median() float64 {
	slices.Sort(a.took)
	return float64(a.took[len(a.took)/2]) / 1000
}
