// Package guard stands on the public socket of an engine and passes on what
// the engine asks its authorization plugins about.
//
// An engine from 29.2 on serves native gRPC to a connection without TLS that
// begins with HTTP/2's preface (RFC 9113, 3.4), before any authorization. Go's
// server looks for the preface once, before its first HTTP/1 request
// (conn.serve calls maybeServeUnencryptedHTTP2 ahead of its loop, net/http of
// Go 1.26), and knows no upgrade of its own: /grpc and /session are handlers
// of the engine, behind authorization. So the first bytes of a connection
// decide, and they are the same bytes for the guard and for the engine, since
// each connection here has exactly one there.
//
// The guard decides by the first four bytes, and which connection is to wait
// or to go when there are too many. What requests mean it leaves to the
// engine and its plugins: it reads none, changes none and keeps none.
// Turned down: reading requests with net/http and proxying them, which would
// have to know every stream of the API; and looking for the preface alone,
// which lets through what some later server may take for another protocol.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// firstBytesWithin is how long a connection may take to say what it is.
	// The engine gives the head of a request as long (daemon/command of moby).
	firstBytesWithin = 5 * time.Minute
	// partingWithin is how long a client that is turned away may go on
	// sending, so that it reads the answer instead of failing to write.
	partingWithin = time.Second
	// quietFor is how long nothing moves on a connection that waits for no
	// answer before a guard that is to stop closes it.
	quietFor = time.Second
	// acceptPause grows to acceptPauseMost while connections cannot be
	// accepted, as net/http has it.
	acceptPause     = 5 * time.Millisecond
	acceptPauseMost = time.Second
)

// A Guard passes connections on to an engine.
type Guard struct {
	engine string // path of the engine's private socket
	log    *slog.Logger
	places *places
	self   int // process whose connections are our own, come round in a circle

	firstBytesWithin, quietFor time.Duration

	mu   sync.Mutex
	open map[*connection]struct{}
}

// New makes a guard for the engine that listens on the unix socket at path.
func New(path string, log *slog.Logger) *Guard {
	return &Guard{
		engine:           path,
		log:              log,
		places:           newPlaces(descriptors(), log),
		self:             os.Getpid(),
		firstBytesWithin: firstBytesWithin,
		quietFor:         quietFor,
		open:             map[*connection]struct{}{},
	}
}

// Serve accepts connections until the listener is closed. No other error of
// accept ends it: one that lasts is logged and tried again.
func (g *Guard) Serve(ctx context.Context, listener net.Listener) error {
	pause := acceptPause
	for {
		accepted, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			g.log.Error("no connection can be accepted; trying again", "error", err, "pause", pause.String())
			if !wait(ctx, pause) {
				return nil
			}
			pause = min(2*pause, acceptPauseMost)
			continue
		}
		pause = acceptPause
		client, ok := accepted.(*net.UnixConn)
		if !ok {
			_ = accepted.Close()
			return fmt.Errorf("guarding %s: it is no unix socket", listener.Addr())
		}
		conn := &connection{client: client}
		g.track(conn)
		go g.handle(ctx, conn)
	}
}

// handle sees to one connection from its first byte to its last.
func (g *Guard) handle(ctx context.Context, conn *connection) {
	defer g.forget(conn)
	peer, err := peerOf(conn.client)
	if err != nil {
		g.log.Warn("connection closed: the kernel does not tell whose it is", "error", err)
		return
	}
	log := g.log.With("uid", peer.uid, "gid", peer.gid, "pid", peer.pid)
	if peer.pid == g.self {
		log.Error("connection closed: the engine's socket leads back to the guard; set --engine to where the engine listens", "engine", g.engine)
		return
	}
	if !g.places.take(peer.uid) {
		return
	}
	defer g.places.leave()

	first, err := conn.look(g.firstBytesWithin)
	if err != nil {
		if !errors.Is(err, errSilent) {
			log.Warn("connection closed: it did not begin", "error", err)
		}
		return
	}
	if begins := judge(first); begins != http1 {
		log.Warn("connection closed: it does not begin as HTTP/1", "because", refusals[begins].because, "begins", fmt.Sprintf("%q", first[:]))
		turnAway(conn.client, refusals[begins].answer)
		return
	}
	engine, err := dial(ctx, g.engine)
	if err != nil {
		log.Error("connection closed: the engine does not answer", "engine", g.engine, "error", err)
		turnAway(conn.client, unavailable(g.engine, first))
		return
	}
	if !conn.join(engine) { // told to stop in between
		return
	}
	log.Info("connection passed on")
	if err := conn.run(); err != nil {
		log.Error("connection closed: its bytes cannot be passed on", "error", err)
	}
}

func (g *Guard) track(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[c] = struct{}{}
}

func (g *Guard) forget(c *connection) {
	c.close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.open, c)
}

// Shutdown lets connections come to their end, once the listeners are closed:
// one on which nothing moves, and which waits for no answer of the engine, is
// closed soon, the others when ctx is done. It tells how many those were.
func (g *Guard) Shutdown(ctx context.Context) int {
	for {
		_, left := g.end((*connection).quiet)
		if left == 0 {
			return 0
		}
		if !wait(ctx, g.quietFor) {
			cut, _ := g.end(func(*connection) bool { return true })
			return cut
		}
	}
}

// end closes the connections that are to be closed, and counts them and the
// others.
func (g *Guard) end(which func(*connection) bool) (closed, left int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		if !which(c) {
			left++
			continue
		}
		c.close()
		closed++
	}
	return closed, left
}

// dial connects to the engine. While its queue is full, as that of an engine
// that is just starting may be, it waits; a client would be told to try again.
func dial(ctx context.Context, path string) (*net.UnixConn, error) {
	const (
		patience = 5 * time.Second
		pause    = 10 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if errors.Is(err, unix.EAGAIN) && wait(ctx, pause) {
			continue
		}
		if err != nil {
			return nil, err
		}
		engine, ok := conn.(*net.UnixConn)
		if !ok {
			_ = conn.Close()
			return nil, fmt.Errorf("%s is no unix socket", path)
		}
		return engine, nil
	}
}

// wait reports whether a time has passed before ctx was done.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
