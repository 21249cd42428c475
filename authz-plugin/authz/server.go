package authz

import (
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readTimeout bounds a question from its first byte to its last.
	readTimeout = 10 * time.Second
	// writeTimeout is time to decide, to remove what must not exist, and to
	// answer.
	writeTimeout = 2*DecisionTimeout + 10*time.Second
)

// A Server answers the engine's questions on sockets that may outlive it.
type Server struct {
	http     *http.Server
	retiring atomic.Bool // each connection ends with its next answer

	mu    sync.Mutex
	conns map[net.Conn]connection // those that are open
	doors []*door
}

// NewServer makes the server for the engine's questions. It never closes an
// idle connection: an engine that writes to one just then repeats its
// question with an empty body, and would be denied.
func NewServer(h *Handler, log *slog.Logger) *Server {
	s := &Server{conns: map[net.Conn]connection{}}
	s.http = &http.Server{
		Handler:           s.retire(h),
		ConnState:         s.note,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       -1,
		MaxHeaderBytes:    16 << 10, // bytes; the engine sends three short headers
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

// Serve answers on a listener until Drain has ended, when it gives
// http.ErrServerClosed.
func (s *Server) Serve(listener net.Listener) error {
	patient, ok := listener.(waiter)
	if !ok {
		return s.http.Serve(listener)
	}
	d := &door{waiter: patient, note: s.note, parked: make(chan struct{}), opened: make(chan struct{}), ended: make(chan struct{})}
	s.mu.Lock()
	s.doors = append(s.doors, d)
	s.mu.Unlock()
	return s.http.Serve(d)
}
