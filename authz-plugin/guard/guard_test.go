package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEngineAway(t *testing.T) {
	t.Parallel()
	g := start(t, func(g *guarded) { g.Guard.engine = g.path + "-elsewhere" })
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", g.public)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	for method, body := range map[string]io.Reader{
		http.MethodGet:  http.NoBody,
		http.MethodHead: http.NoBody,
		http.MethodPost: bytes.NewReader(make([]byte, 8<<20)), // more than the sockets hold
	} {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://engine/_ping", body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s, %v", method, resp.Status, err)
		}
		var answer struct{ Message string }
		if method == http.MethodHead {
			continue
		}
		if err := json.Unmarshal(text, &answer); err != nil || !strings.Contains(answer.Message, "systemctl status docker") {
			t.Errorf("%s: %q, %v", method, text, err)
		}
	}
	g.logged(t, "the engine does not answer")
}

func TestPeerIsLogged(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	send(t, connect(t, g.public), "GET /")
	var record struct{ UID, GID, PID int }
	if err := json.Unmarshal([]byte(g.logged(t, "connection passed on")), &record); err != nil {
		t.Fatal(err)
	}
	if record.UID != os.Geteuid() || record.GID != os.Getegid() || record.PID != os.Getpid() {
		t.Errorf("logged %+v of user %d, group %d, process %d", record, os.Geteuid(), os.Getegid(), os.Getpid())
	}
}

func TestACircleEnds(t *testing.T) {
	t.Parallel()
	g := start(t, func(g *guarded) {
		g.Guard.engine = g.public
		g.self = os.Getpid()
	})
	wantEnd(t, connect(t, g.public))
	g.logged(t, "leads back to the guard")
}

// A poorListener has no descriptors left at first.
type poorListener struct {
	net.Listener
	left int
}

func (l *poorListener) Accept() (net.Conn, error) {
	if l.left > 0 {
		l.left--
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsEndNothing(t *testing.T) {
	t.Parallel()
	g := start(t, func(g *guarded) { g.listener = &poorListener{g.listener, 3} })
	send(t, connect(t, g.public), "GET /")
	g.accept(t)
	g.logged(t, `"pause":"20ms"`)
	_ = g.listener.Close()
	if err := <-g.served; err != nil {
		t.Error(err)
	}
}

// TestIdleIsCheap: a connection that waits costs stacks and descriptors, and
// no buffer.
func TestIdleIsCheap(t *testing.T) {
	const many = 1000
	g := start(t, nil)
	clients := make([]*net.UnixConn, many)
	before, goroutines := inUse(), runtime.NumGoroutine()
	for i := range clients {
		clients[i] = connect(t, g.public)
		send(t, clients[i], "GET /")
		there := g.accept(t)
		want(t, there, "GET /")
		send(t, there, "answer")
		want(t, clients[i], "answer")
	}
	each := (inUse() - before) / many
	t.Logf("%d bytes for each idle connection, of which the test's own ends are part", each)
	if each > 32<<10 { // a buffer for each direction would be 64 KiB
		t.Errorf("%d bytes for each idle connection, want 32 KiB at most", each)
	}
	if made := runtime.NumGoroutine() - goroutines; made > 2*many+10 {
		t.Errorf("%d goroutines for %d connections, want two each", made, many)
	}
	if n := len(spare); n > 4 {
		t.Errorf("%d pipes for connections that followed one another", n)
	}
	for _, client := range clients {
		_ = client.Close()
	}
	for deadline := time.Now().Add(soon); runtime.NumGoroutine() > goroutines+10; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left", runtime.NumGoroutine()-goroutines)
		}
	}
}

func inUse() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapInuse + stats.StackInuse
}
