package guard

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A guarded engine.
type guarded struct {
	*Guard
	*engine
	public   string
	listener net.Listener
	log      *syncBuffer
	served   chan error
}

// start puts a guard before an engine. change is called before it serves.
func start(tb testing.TB, change func(*guarded)) *guarded {
	tb.Helper()
	dir := tb.TempDir()
	g := &guarded{engine: newEngine(tb, dir), public: filepath.Join(dir, "public"), log: &syncBuffer{}, served: make(chan error, 1)}
	g.listener = listenAt(tb, g.public)
	g.Guard = New(g.path, slog.New(slog.NewJSONHandler(g.log, nil)))
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

func TestBytesAndEndsPassBothWays(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	client := connect(t, g.public)
	send(t, client, "POST /attach")
	there := g.accept(t)
	want(t, there, "POST /attach")
	send(t, there, "hello")
	want(t, client, "hello")

	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest := wantEnd(t, there); rest != "" {
		t.Errorf("the engine got %q", rest)
	}
	send(t, there, "output after the input's end")
	want(t, client, "output after the input's end")
	if err := there.Close(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, client)
}

func TestTheEngineMayEndFirst(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	client := connect(t, g.public)
	send(t, client, "POST /exec")
	there := g.accept(t)
	want(t, there, "POST /exec")
	if err := there.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, client)
	send(t, client, "input after the output's end")
	want(t, there, "input after the output's end")
}

// TestWhoIsGoneIsGone: a side that closed altogether is not half open for the
// other, as it would not be without the guard.
func TestWhoIsGoneIsGone(t *testing.T) {
	t.Parallel()
	for name, pick := range map[string]func(client, there *net.UnixConn) (goes, stays *net.UnixConn){
		"client": func(client, there *net.UnixConn) (*net.UnixConn, *net.UnixConn) { return client, there },
		"engine": func(client, there *net.UnixConn) (*net.UnixConn, *net.UnixConn) { return there, client },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, nil)
			client := connect(t, g.public)
			send(t, client, "GET /")
			there := g.accept(t)
			want(t, there, "GET /")
			goes, stays := pick(client, there)
			send(t, goes, "last words")
			if err := goes.Close(); err != nil {
				t.Fatal(err)
			}
			if got := wantEnd(t, stays); got != "last words" {
				t.Errorf("got %q", got)
			}
			for deadline := time.Now().Add(soon); !gone(stays); runtime.Gosched() {
				if time.Now().After(deadline) {
					t.Fatal("half open")
				}
			}
		})
	}
}

// TestAnAnswerDuringAnUploadArrives: an engine that refuses a long body
// answers, and hangs up without having read it.
func TestAnAnswerDuringAnUploadArrives(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	for range 50 {
		client := connect(t, g.public)
		sent := make(chan error, 1)
		go func() {
			_, err := client.Write(append([]byte("POST /build"), make([]byte, 4<<20)...))
			sent <- err
		}()
		there := g.accept(t)
		want(t, there, "POST /build")
		send(t, there, "HTTP/1.1 403 Forbidden")
		if err := there.Close(); err != nil {
			t.Fatal(err)
		}
		if got := wantEnd(t, client); got != "HTTP/1.1 403 Forbidden" {
			t.Fatalf("the client reads %q", got)
		}
		if err := <-sent; err == nil {
			t.Error("all of it was taken")
		}
	}
}

func TestMuchBothWays(t *testing.T) {
	t.Parallel()
	const size = 32 << 20 // bytes
	g := start(t, nil)
	client := connect(t, g.public)
	send(t, client, "POST")
	there := g.accept(t)
	want(t, there, "POST")
	sums := make(chan [2][32]byte, 2)
	for _, ends := range [][2]*net.UnixConn{{client, there}, {there, client}} {
		sent := make(chan [32]byte, 1)
		go func() {
			data := make([]byte, size)
			_, _ = rand.Read(data)
			_, _ = ends[0].Write(data)
			_ = ends[0].CloseWrite()
			sent <- sha256.Sum256(data)
		}()
		go func() {
			sum := sha256.New()
			_, _ = io.Copy(sum, ends[1])
			sums <- [2][32]byte{<-sent, [32]byte(sum.Sum(nil))}
		}()
	}
	for range 2 {
		if sum := <-sums; sum[0] != sum[1] {
			t.Error("what arrived is not what was sent")
		}
	}
}

func TestStarts(t *testing.T) {
	t.Parallel()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	for name, test := range map[string]struct {
		pieces []string
		answer string // part of it; "" is passed on
		log    string
	}{
		"GET":                       {pieces: []string{"GET /_ping"}},
		"HEAD":                      {pieces: []string{"HEAD /_ping"}},
		"POST":                      {pieces: []string{"POST /containers/create"}},
		"PUT":                       {pieces: []string{"PUT /containers/a/archive"}},
		"DELETE":                    {pieces: []string{"DELETE /containers/a"}},
		"OPTIONS":                   {pieces: []string{"OPTIONS /"}},
		"a byte at a time":          {pieces: strings.Split("POST /build", "")},
		"as the preface, at first":  {pieces: []string{"P", "U", "T", " /"}},
		"upgrade":                   {pieces: []string{"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"}},
		"preface":                   {[]string{preface}, "by an upgrade of POST /grpc", "HTTP/2 on the engine's socket"},
		"preface, a byte at a time": {strings.Split(preface, ""), "by an upgrade of POST /grpc", "HTTP/2 on the engine's socket"},
		"preface with a request":    {[]string{preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"}, "by an upgrade of POST /grpc", "HTTP/2"},
		"preface without its end":   {[]string{"PRI * HTTP/1.1\r\n\r\n"}, "by an upgrade of POST /grpc", "HTTP/2"},
		"preface behind a line":     {[]string{"\r\n" + preface}, "400 Bad Request", "no HTTP/1 request"},
		"request behind a line":     {[]string{"\r\nGET / HTTP/1.1\r\n\r\n"}, "400 Bad Request", "no HTTP/1 request"},
		"lower case":                {[]string{"get / HTTP/1.1\r\n\r\n"}, "400 Bad Request", "no HTTP/1 request"},
		"frames without a preface":  {[]string{"\x00\x00\x00\x04\x00\x00\x00\x00\x00"}, "400 Bad Request", "no HTTP/1 request"},
		"TLS":                       {[]string{"\x16\x03\x01\x02\x00\x01"}, "400 Bad Request", "no HTTP/1 request"},
		"a method without routes":   {[]string{"CONNECT x:1 HTTP/1.1\r\n\r\n"}, "400 Bad Request", "no HTTP/1 request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, nil)
			client := connect(t, g.public)
			for _, piece := range test.pieces {
				if _, err := io.WriteString(client, piece); err != nil && test.answer == "" {
					t.Fatal(err)
				}
				runtime.Gosched()
			}
			if test.answer == "" {
				want(t, g.accept(t), strings.Join(test.pieces, ""))
				g.logged(t, "connection passed on")
				return
			}
			_ = client.CloseWrite()
			if got := wantEnd(t, client); !strings.Contains(got, test.answer) {
				t.Errorf("the client reads %q, want %q in it", got, test.answer)
			}
			g.logged(t, test.log)
			g.wantNothing(t)
		})
	}
}

func TestBeginningsThatDoNotCome(t *testing.T) {
	t.Parallel()
	impatient := func(g *guarded) { g.firstBytesWithin = 30 * time.Millisecond }
	for name, test := range map[string]struct {
		change func(*guarded)
		sends  string
		ends   bool
		log    string
	}{
		"nothing":               {change: impatient},
		"too little":            {change: impatient, sends: "GE", log: "2 bytes came"},
		"nothing and its end":   {ends: true},
		"too little and an end": {sends: "PRI", ends: true, log: "3 bytes came"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, test.change)
			client := connect(t, g.public)
			if test.sends != "" {
				send(t, client, test.sends)
			}
			if test.ends {
				_ = client.CloseWrite()
			}
			if got := wantEnd(t, client); got != "" {
				t.Errorf("the client reads %q", got)
			}
			g.wantNothing(t)
			if test.log != "" {
				g.logged(t, test.log)
			}
		})
	}
}

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

func TestAFloodIsBounded(t *testing.T) {
	t.Parallel()
	log := &syncBuffer{}
	p := &places{most: 8, forOthers: 7, log: slog.New(slog.NewJSONHandler(log, nil))}
	taken := 0
	for range 100 {
		if p.take(1000) {
			taken++
		}
	}
	if taken != 7 {
		t.Errorf("a user took %d places, want 7", taken)
	}
	if !p.take(0) {
		t.Error("root is locked out")
	}
	if p.take(0) {
		t.Error("there is no bound for root")
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines of log, want 1:\n%s", lines, log)
	}
	for range 5 {
		p.leave()
	}
	if !p.take(1000) || !strings.Contains(log.String(), `"turned_away":94`) {
		t.Errorf("no room again:\n%s", log)
	}
}

func TestPlacesFitTheDescriptors(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[uint64]int{10: 1, 1024: 128, 65536: mostConnections, unix.RLIM_INFINITY: mostConnections} {
		if got := newPlaces(descriptors, nil); got.most != want || got.forOthers > got.most {
			t.Errorf("%d descriptors: %+v, want %d places", descriptors, got, want)
		}
	}
}

func TestTooManyAreClosed(t *testing.T) {
	t.Parallel()
	g := start(t, func(g *guarded) { g.places.most, g.places.forOthers = 2, 2 })
	for range 2 {
		send(t, connect(t, g.public), "GET /")
		g.accept(t)
	}
	wantEnd(t, connect(t, g.public))
	g.logged(t, "too many connections")
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

func TestShutdown(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	idle, silent, owed := connect(t, g.public), connect(t, g.public), connect(t, g.public)
	send(t, idle, "GET /")
	engineIdle := g.accept(t)
	want(t, engineIdle, "GET /")
	send(t, engineIdle, "answer")
	want(t, idle, "answer")
	send(t, owed, "POST /containers/a/wait")
	engineOwed := g.accept(t)
	want(t, engineOwed, "POST /containers/a/wait")

	_ = g.listener.Close()
	if err := <-g.served; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cut := make(chan int, 1)
	go func() { cut <- g.Shutdown(ctx) }()
	wantEnd(t, idle)
	wantEnd(t, engineIdle)
	wantEnd(t, silent)
	select {
	case <-cut:
		t.Fatal("one that was owed an answer was not waited for")
	default:
	}
	send(t, engineOwed, "answer")
	want(t, owed, "answer")
	wantEnd(t, owed)
	if n := <-cut; n != 0 {
		t.Errorf("%d connections were cut", n)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	g := start(t, nil)
	stream := connect(t, g.public)
	send(t, stream, "GET /events")
	g.accept(t)
	g.logged(t, "connection passed on")
	_ = g.listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if n := g.Shutdown(ctx); n != 1 {
		t.Errorf("%d connections were cut, want 1", n)
	}
	wantEnd(t, stream)
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
