package authz

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"
)

const (
	// settleTimeout is how long Drain waits for a moment in which nothing is
	// being decided: the longest decision.
	settleTimeout = DecisionTimeout
	// retireTime is how long idle connections get to be used once more, and
	// so to be ended by an answer: one that is closed while the engine writes
	// to it costs a request. Engines use their few idle connections first.
	retireTime = 500 * time.Millisecond
	// firstByte is how long after its beginning a connection brings its
	// question. One that does not is a spare: Go's client opens one that it
	// then does not need, and keeps it.
	firstByte = 100 * time.Millisecond
	// settlePause is how often Drain looks.
	settlePause = 2 * time.Millisecond
)

// Drain lets decisions under way come to their end, and stops. A decision asks
// the engine, and the engine asks about that in turn, on a new connection: who
// stopped accepting at once would leave those questions to a successor that
// waits for him, and the decision would run out of time. So questions are
// taken until none is under way; whoever comes then waits in the socket's
// queue, if somebody keeps it.
func (s *Server) Drain(ctx context.Context) error {
	s.retiring.Store(true)
	settled, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	s.settle(settled)
	for _, d := range s.all() {
		close(d.ended)
	}
	s.closeSpares() // Shutdown would wait 5 s for each
	return s.http.Shutdown(ctx)
}

// settle comes to a moment in which nothing is accepted and nothing that was
// accepted is unanswered, or to the end of ctx.
func (s *Server) settle(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		if s.quiet(began) {
			s.pause(ctx)
			if s.quiet(began) {
				return
			}
			s.resume(ctx)
		}
		select {
		case <-ctx.Done():
		case <-time.After(settlePause):
		}
	}
}

// quiet reports whether no question is on its way, and no connection left that
// may yet be retired.
func (s *Server) quiet(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if c.busy() || time.Since(began) < retireTime {
			return false
		}
	}
	return true
}

func (s *Server) closeSpares() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, c := range s.conns {
		if c.state == http.StateNew && !c.busy() {
			_ = conn.Close()
		}
	}
}

// A connection is one that is open, and since when it is in its state.
type connection struct {
	state http.ConnState
	since time.Time
}

// busy reports whether a question is on its way.
func (c connection) busy() bool {
	return c.state == http.StateActive || (c.state == http.StateNew && time.Since(c.since) < firstByte)
}

// retire ends each connection with its answer once the server is to stop.
func (s *Server) retire(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.retiring.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// note keeps count of connections.
func (s *Server) note(conn net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(s.conns, conn)
		return
	}
	s.conns[conn] = connection{state, time.Now()}
}

func (s *Server) all() []*door {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doors
}

// longAgo ends a wait at once.
var longAgo = time.Unix(1, 0)

func (s *Server) pause(ctx context.Context) {
	for _, d := range s.all() {
		if d.SetDeadline(longAgo) != nil {
			continue // it is closed
		}
		select {
		case <-d.parked:
		case <-ctx.Done():
		}
	}
}

func (s *Server) resume(ctx context.Context) {
	for _, d := range s.all() {
		if d.SetDeadline(time.Time{}) != nil {
			continue
		}
		select {
		case d.opened <- struct{}{}:
		case <-ctx.Done():
		}
	}
}

// A waiter is a listener whose Accept can be interrupted, as that of a unix
// socket.
type waiter interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// A door is a listener that can stop accepting for a while, and knows of each
// connection before the next one.
type door struct {
	waiter

	note   func(net.Conn, http.ConnState)
	parked chan struct{} // the door says that it accepts nothing
	opened chan struct{} // it accepts again
	ended  chan struct{} // closed when it will not again
}

// Accept waits for a connection.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.waiter.Accept()
		if err == nil {
			d.note(conn, http.StateNew)
			return conn, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
		select {
		case d.parked <- struct{}{}:
		case <-d.opened: // nobody waits for it to be parked any more
			continue
		case <-d.ended:
			return nil, err
		}
		select {
		case <-d.opened:
		case <-d.ended:
			return nil, err
		}
	}
}
