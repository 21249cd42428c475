package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// watch tells systemd that the daemon lives, twice in each interval that the
// unit's WatchdogSec allows, for as long as alive says so. A daemon that
// decides nothing any more is then killed and started anew; its socket stays,
// and the engine's questions wait there.
func watch(ctx context.Context, alive func(context.Context) error, log *slog.Logger) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("systemd's watchdog is set to something that cannot be read", "error", err)
	}
	if interval <= 0 {
		return
	}
	watchEvery(ctx, interval/2, alive, log, func() { notify(log, daemon.SdNotifyWatchdog) })
}

func watchEvery(ctx context.Context, interval time.Duration, alive func(context.Context) error, log *slog.Logger, tell func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			probe, cancel := context.WithTimeout(ctx, interval)
			err := alive(probe)
			cancel()
			if err != nil {
				log.Error("the daemon does not decide any more; systemd is not told that it lives", "error", err)
				continue
			}
			tell()
		}
	}
}
