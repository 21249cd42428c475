package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/metrics"
)

// metrics makes the numbers of this daemon. They are collected from memory.
func (l *loader) metrics() *metrics.Metrics {
	return metrics.New(metrics.Build{Version: version, Commit: commit}, metrics.Sources{
		Passed:     func() uint64 { return l.records.Passed() },
		Lost:       func() uint64 { return l.records.Lost() },
		Suppressed: func() uint64 { return l.records.Suppressed() },
		Policy:     func() metrics.Policy { return *l.reading.Load() },
		Trust:      l.trust,
		Approvals:  l.approvals.Len,
		Allowances: func() int { return len(l.allowances.Holding(time.Now())) },
		Sweep:      func() metrics.Sweep { return *l.swept.Load() },
	})
}

func (l *loader) trust() metrics.Trust {
	f := l.inForce.Load()
	if f == nil {
		return metrics.Trust{}
	}
	stats := f.verifier.Stats()
	known := metrics.Trust{Repositories: stats.Repositories, Bytes: stats.Bytes}
	for pattern, fresh := range stats.Scopes {
		known.Scopes = append(known.Scopes, metrics.Scope{Pattern: pattern, Verified: fresh.Verified, RefusedFrom: fresh.Until})
	}
	return known
}

// serveMetricsAfter serves the numbers once those of the policy before are not
// served any more: both may be at the same place. The channel it gives is
// closed when its own are not.
func (l *loader) serveMetricsAfter(ctx context.Context, before <-chan struct{}, where string) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-before
		if ctx.Err() == nil {
			serveMetrics(ctx, l.numbers, where, l.log)
		}
	}()
	return done
}

// serveMetrics serves the numbers where the policy wants them, until ctx is
// done. Without them the daemon decides as well.
func serveMetrics(ctx context.Context, m *metrics.Metrics, where string, log *slog.Logger) {
	address, err := metrics.ParseAddress(where)
	if err == nil && address.IsZero() {
		return
	}
	if err != nil {
		log.Error("metrics are not served", "error", err)
		return
	}
	listener, err := metrics.Listen(ctx, address)
	if err != nil {
		log.Error("metrics are not served", "error", err)
		return
	}
	if err := m.Serve(ctx, listener, log); err != nil {
		log.Error("metrics are not served any more", "error", err)
	}
}
