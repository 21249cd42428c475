package authz

import (
	"log/slog"
	"net/http"
	"time"
)

const (
	// readTimeout bounds a question from its first byte to its last.
	readTimeout = 10 * time.Second
	// writeTimeout is time to decide, to remove what must not exist, and to
	// answer.
	writeTimeout = 2*DecisionTimeout + 10*time.Second
)

// NewServer makes the server for the engine's questions. It never closes an
// idle connection: an engine that writes to one just then repeats its
// question with an empty body, and would be denied.
func NewServer(h *Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       -1,
		MaxHeaderBytes:    16 << 10, // bytes; the engine sends three short headers
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
