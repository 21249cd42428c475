package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/shared/logtest"
)

// A daemon that is stuck must not be taken for one that lives: systemd hears
// nothing, until it decides again.
func TestWatchdogIsToldOfNoStuckDaemon(t *testing.T) {
	t.Parallel()
	log := &logtest.Log{}
	answers, pings := make(chan error), make(chan struct{})
	alive := func(context.Context) error { return <-answers }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		watchEvery(ctx, time.Millisecond, alive, log.Logger(), func() { pings <- struct{}{} })
	}()
	for _, stuck := range []bool{false, true, true, false} {
		if !stuck {
			answers <- nil
			<-pings
			continue
		}
		// A ping would block until somebody takes it, and the next answer
		// would never be asked for.
		answers <- errors.New("stuck")
	}
	cancel()
	close(answers) // the last question may be under way
	for open := true; open; {
		select {
		case <-pings:
		case <-done:
			open = false
		}
	}
	if !strings.Contains(log.String(), "does not decide any more") {
		t.Errorf("the log is silent about it:\n%s", log)
	}
}

// A probe that never comes back ends with its interval.
func TestWatchdogBoundsItsProbe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	probes := 0
	alive := func(probe context.Context) error {
		<-probe.Done()
		if probes++; probes == 3 {
			cancel()
		}
		return probe.Err()
	}
	watchEvery(ctx, time.Millisecond, alive, slog.New(slog.DiscardHandler), func() { t.Error("systemd is told that a stuck daemon lives") })
}

func TestWatchdogFollowsItsEnvironment(t *testing.T) {
	for _, test := range []struct{ name, usec, want string }{
		{name: "none", usec: ""},
		{name: "unreadable", usec: "soon", want: "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("WATCHDOG_USEC", test.usec)
			t.Setenv("WATCHDOG_PID", "")
			log := &logtest.Log{}
			watch(t.Context(), func(context.Context) error { t.Error("a probe"); return nil }, log.Logger())
			if got := log.String(); !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("the log: %q, want %q in it", got, test.want)
			}
		})
	}
}

// The daemon's own probe is the handler's, and systemd hears of it in half the
// time it allows.
func TestWatchdogHearsOfTheHandler(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	states, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer states.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "2000000")
	t.Setenv("WATCHDOG_PID", "")
	handler := authz.NewHandler(authz.Settings{}, nil, slog.New(slog.DiscardHandler))
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go watch(ctx, handler.Alive, slog.New(slog.DiscardHandler))
	r := &running{states: states}
	r.wait(t, "WATCHDOG=1")
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("a sign of life after %v, want half of 2 s", took)
	}
}
