package guard

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/logtest"
)

const soon = 10 * time.Second // a test that waits longer has failed

// An engine is what stands behind a guard under test.
type engine struct {
	path     string
	accepted chan *net.UnixConn
}

func newEngine(tb testing.TB, dir string) *engine {
	tb.Helper()
	e := &engine{path: filepath.Join(dir, "engine"), accepted: make(chan *net.UnixConn, 2000)}
	listener := listenAt(tb, e.path)
	go func() {
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			e.accepted <- conn
		}
	}()
	return e
}

// accept gives the next connection that the guard passed on.
func (e *engine) accept(tb testing.TB) *net.UnixConn {
	tb.Helper()
	select {
	case conn := <-e.accepted:
		tb.Cleanup(func() { _ = conn.Close() })
		return within(tb, conn)
	case <-time.After(soon):
		tb.Fatal("nothing was passed on")
		return nil
	}
}

func (e *engine) wantNothing(tb testing.TB) {
	tb.Helper()
	select {
	case <-e.accepted:
		tb.Error("the engine was connected to")
	default:
	}
}

func listenAt(tb testing.TB, path string) *net.UnixListener {
	tb.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = listener.Close() })
	return listener
}

func connect(tb testing.TB, path string) *net.UnixConn {
	tb.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return within(tb, conn)
}

func within(tb testing.TB, conn *net.UnixConn) *net.UnixConn {
	tb.Helper()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

func send(tb testing.TB, conn net.Conn, text string) {
	tb.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		tb.Fatal(err)
	}
}

// want reads exactly a text.
func want(tb testing.TB, conn net.Conn, text string) {
	tb.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		tb.Fatalf("got %q, %v, want %q", got[:n], err, text)
	}
}

// wantEnd reads what is left, and wants the other side to end.
func wantEnd(tb testing.TB, conn net.Conn) string {
	tb.Helper()
	rest, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		tb.Fatalf("it does not end: %v after %q", err, rest)
	}
	return string(rest)
}

// A guarded engine.
type guarded struct {
	*Guard
	*engine
	public   string
	listener net.Listener
	log      *logtest.Log
	served   chan error
}

// start puts a guard before an engine. change is called before it serves.
func start(tb testing.TB, change func(*guarded)) *guarded {
	tb.Helper()
	dir := tb.TempDir()
	g := &guarded{engine: newEngine(tb, dir), public: filepath.Join(dir, "public"), log: &logtest.Log{}, served: make(chan error, 1)}
	g.listener = listenAt(tb, g.public)
	g.Guard = New(g.path, g.log.Logger())
	g.self = 0 // these tests are clients in the guard's own process
	g.quietFor = 20 * time.Millisecond
	if change != nil {
		change(g)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	go func() { g.served <- g.Serve(ctx, g.listener) }()
	tb.Cleanup(func() {
		_ = g.listener.Close()
		cancel()
		g.Shutdown(ctx)
	})
	return g
}

// logged waits for a line of the log with a text.
func (g *guarded) logged(tb testing.TB, text string) string {
	tb.Helper()
	for deadline := time.Now().Add(soon); ; runtime.Gosched() {
		for line := range strings.Lines(g.log.String()) {
			if strings.Contains(line, text) {
				return line
			}
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the log lacks %q:\n%s", text, g.log)
		}
	}
}
