package enforce

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// api answers as an engine does.
func api(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	_, _ = w.Write([]byte("OK"))
}

// TestListeners has this very process for an engine.
func TestListeners(t *testing.T) {
	t.Parallel()
	want := map[string]Door{}
	serveTCP := func(door Door, secure bool, clients tls.ClientAuthType, most uint16, handler http.HandlerFunc) {
		server := httptest.NewUnstartedServer(handler)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		if secure {
			server.TLS = &tls.Config{ClientAuth: clients, MaxVersion: most, MinVersion: tls.VersionTLS12}
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		want[server.Listener.Addr().String()] = door
	}
	serveTCP(Open, false, 0, 0, api)
	serveTCP(Open, true, tls.NoClientCert, tls.VersionTLS13, api)
	serveTCP(Open, true, tls.RequestClientCert, tls.VersionTLS13, api)
	serveTCP(Certified, true, tls.RequireAnyClientCert, tls.VersionTLS13, api)
	serveTCP(Certified, true, tls.RequireAnyClientCert, tls.VersionTLS12, api)
	serveTCP(Open, false, 0, 0, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"authorization denied by plugin other: no"}`, http.StatusForbidden)
	})
	serveTCP(NoAPI, false, 0, 0, http.NotFound) // metrics
	want[answering(t, "tcp", "127.0.0.1:0", "\x00\x00\x00\x04\x00\x00\x00\x00\x00")] = NoAPI
	want[answering(t, "tcp", "127.0.0.1:0", "")] = NoAPI
	want[listenOnly(t, "tcp", "127.0.0.1:0")] = NoAPI // keeps a port taken, and accepts nobody
	public := serve(t, api)
	want[public] = Open
	want[answering(t, "unix", filepath.Join(t.TempDir(), "s"), "")] = NoAPI
	silent := accepting(t)

	list, err := (&Dockerd{PID: os.Getpid(), Socket: public}).Listeners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range list {
		if one.Address == silent && (one.Err == nil || !strings.Contains(one.Err.Error(), "no answer in time")) {
			t.Errorf("one that says nothing is %q, %v", one.Door, one.Err)
		}
		door, mine := want[one.Address]
		if mine && (one.Err != nil || one.Door != door) {
			t.Errorf("%s is %q, want %q (%v)", one.Address, one.Door, door, one.Err)
		}
		delete(want, one.Address)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func listenOnly(t *testing.T, network, address string) string {
	t.Helper()
	return listen(t, network, address).Addr().String()
}

// answering says one thing to whoever says anything, and closes.
func answering(t *testing.T, network, address, answer string) string {
	t.Helper()
	listener := listen(t, network, address)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(conn).ReadByte()
			_, _ = conn.Write([]byte(answer))
			time.AfterFunc(10*time.Millisecond, func() { _ = conn.Close() })
		}
	}()
	return listener.Addr().String()
}

// accepting takes connections, and says nothing.
func accepting(t *testing.T) string {
	t.Helper()
	listener := listen(t, "tcp", "127.0.0.1:0")
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return listener.Addr().String()
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"0.0.0.0:2375": "127.0.0.1:2375", "[::]:2375": "[::1]:2375 127.0.0.1:2375",
		"192.0.2.1:2375": "192.0.2.1:2375", "@abstract": "@abstract",
	} {
		if got := strings.Join(reachable(address), " "); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
