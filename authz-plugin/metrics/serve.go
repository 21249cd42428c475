package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Whoever collects gets an answer within seconds or none: metrics are a few
// KiB from memory.
const (
	headerTimeout = 5 * time.Second
	writeTimeout  = 10 * time.Second
	idleTimeout   = 2 * time.Minute // Prometheus comes every minute, or sooner
	maxHeader     = 16 << 10        // bytes
	maxCollectors = 4               // at once
)

// Serve answers GET /metrics on listener until ctx is done, and closes it.
func (m *Metrics) Serve(ctx context.Context, listener net.Listener, log *slog.Logger) error {
	faults := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: faults, ErrorHandling: promhttp.ContinueOnError, // what is known is better than nothing
		DisableCompression: true, MaxRequestsInFlight: maxCollectors, Timeout: writeTimeout / 2,
	}))
	server := &http.Server{
		Handler: mux, ErrorLog: faults, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics on %s: %w", listener.Addr(), err)
	}
	return nil
}
