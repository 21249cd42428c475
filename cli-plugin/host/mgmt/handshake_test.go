package mgmt

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// speaking is a TLS server of these versions, and a Conn to it.
func speaking(t *testing.T, low, high uint16, handler http.HandlerFunc) *Conn {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{MinVersion: low, MaxVersion: high}
	server.Config.ErrorLog = nil
	server.StartTLS()
	t.Cleanup(server.Close)
	return connTo(t, server.URL, nil)
}

func connTo(t *testing.T, url string, change func(*Options)) *Conn {
	t.Helper()
	opts := Options{URL: url, Username: "admin", Password: testPassword, Timeout: 2 * time.Second}
	if change != nil {
		change(&opts)
	}
	conn, err := New(testService, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestAccepts(t *testing.T) {
	t.Parallel()
	versions := []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13}
	for _, low := range versions {
		for _, high := range versions {
			if high < low {
				continue
			}
			conn := speaking(t, low, high, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
			for _, version := range versions {
				got, err := conn.Accepts(t.Context(), version)
				if want := low <= version && version <= high; err != nil || got != want {
					t.Errorf("a server of %s to %s accepts %s: %v, %v", tls.VersionName(low), tls.VersionName(high), tls.VersionName(version), got, err)
				}
			}
			if shown, err := conn.Certificates(t.Context()); err != nil || len(shown) != 1 {
				t.Errorf("certificates: %v, %v", shown, err)
			}
		}
	}
}

// TestHandshakeOfAStranger: what does not speak TLS says neither yes nor no.
func TestHandshakeOfAStranger(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		does func(net.Conn)
		kind Kind
	}{
		"hangs up":      {func(c net.Conn) { _ = c.Close() }, Unreachable},
		"speaks HTTP":   {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, Handshake},
		"says nothing":  {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, Silent},
		"another alert": {func(c net.Conn) { _, _ = c.Write([]byte{21, 3, 1, 0, 2, 2, 40}) }, Handshake}, // handshake_failure
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					serving.Go(func() {
						defer c.Close()
						if name != "says nothing" {
							_, _ = c.Read(make([]byte, 4096))
						}
						test.does(c)
					})
				}
			})
			t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
			conn := connTo(t, "https://"+listener.Addr().String(), func(o *Options) { o.Timeout = 300 * time.Millisecond })
			got, err := conn.Accepts(t.Context(), tls.VersionTLS12)
			if got || !errors.Is(err, test.kind) {
				t.Errorf("accepted %v, %v, want kind %q", got, err, test.kind)
			}
			wantKind(t, err, test.kind)
		})
	}
}

// TestParallel: never more questions under way than Options say, and a waiting
// one leaves with its context.
func TestParallel(t *testing.T) {
	t.Parallel()
	var now, peak atomic.Int32
	release := make(chan struct{})
	conn := serve(t, func(http.ResponseWriter, *http.Request) {
		peak.Store(max(peak.Load(), now.Add(1)))
		<-release
		now.Add(-1)
	}, func(o *Options) { o.Parallel = 3 })
	if conn.Parallel() != 3 {
		t.Errorf("%d at once, want 3", conn.Parallel())
	}
	var asking sync.WaitGroup
	for range 12 {
		asking.Go(func() { _, _ = conn.Do(t.Context(), get()) })
	}
	for now.Load() < 3 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 4 {
		_, err := conn.Do(ctx, get())
		wantKind(t, err, Interrupted)
	}
	close(release)
	asking.Wait()
	if peak.Load() != 3 {
		t.Errorf("%d questions were under way at once, want 3", peak.Load())
	}
	for _, wrong := range []int{-1, MaxParallel + 1} {
		if _, err := New(testService, Options{URL: "https://x", Username: "a", Password: testPassword, Parallel: wrong}); err == nil || !strings.Contains(err.Error(), "give 1 to") {
			t.Errorf("%d at once: %v", wrong, err)
		}
	}
}

func TestNamesThatLeaveThePath(t *testing.T) {
	t.Parallel()
	conn := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }, nil)
	for _, segment := range []string{"", ".", ".."} {
		_, err := conn.Do(t.Context(), Request{Method: http.MethodGet, Path: []string{"accounts", segment, "teams"}})
		wantKind(t, err, Malformed)
	}
}

func TestMemo(t *testing.T) {
	t.Parallel()
	var memo Memo[int]
	asked := 0
	ask := func() (int, error) { asked++; return asked, errors.New("x") }
	for range 3 {
		if got, err := memo.Get(ask); got != 1 || err == nil {
			t.Errorf("got %d, %v", got, err)
		}
	}
	memo.Forget()
	if got, _ := memo.Get(ask); got != 2 {
		t.Errorf("got %d behind Forget", got)
	}
}

func TestReadCertificates(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(nil)
	server.Close()
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCertificates(pipe); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a pipe: %v", err)
	}
	for name, test := range map[string]struct {
		content []byte
		count   int
	}{
		"two, and a key": {append(append([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), one...), one...), 2},
		"nothing":        {[]byte("x"), 0},
		"no X.509":       {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0},
		"too large":      {make([]byte, maxCAFile+1), 0},
	} {
		file := filepath.Join(t.TempDir(), "x.pem")
		if err := os.WriteFile(file, test.content, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadCertificates(file)
		if len(got) != test.count || (err == nil) != (test.count > 0) {
			t.Errorf("%s: %d certificates, %v", name, len(got), err)
		}
	}
}

func FuzzParseCertificates(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseCertificates(raw)
		if (err == nil) != (len(found) > 0) {
			t.Errorf("%d certificates, %v", len(found), err)
		}
	})
}
