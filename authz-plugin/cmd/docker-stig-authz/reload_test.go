package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

// TestReloadsLeaveNothingBehind: no goroutine, and no connection to an engine,
// the same or another one, or to a trust server. It counts what the whole
// process has, so no other test runs beside it.
func TestReloadsLeaveNothingBehind(t *testing.T) {
	fleets := []*fleet{newFleet(t, containerID(1)), newFleet(t, containerID(1))}
	server := trusttest.NewNotary(t)
	repo := server.NewRepository(t, "example.com/app")
	repo.Publish()
	text := func(f *fleet) string {
		return fmt.Sprintf(`{
			"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"example.com/app": [%q]}}}, "engine": %q,
			"notary": {"servers": {"example.com": [%q]}, "ca": {"example.com": %q}}
		}`, repo.RootKeyID(), f.host, server.URL, server.CA)
	}
	l, handler := loaded(t, text(fleets[0]), slog.New(slog.DiscardHandler))
	turn := func(i int) {
		if err := os.WriteFile(l.path, []byte(text(fleets[i/2%2])), 0o600); err != nil {
			t.Fatal(err)
		}
		reloadPolicy(t.Context(), handler, l, l.log)
		if !l.sweep(t.Context(), map[string]string{}) {
			t.Fatal("the sweep came to nothing")
		}
		if asked := server.Requests(); !strings.HasSuffix(strings.Join(asked, " "), ".json") {
			t.Fatalf("the trust server was asked for %q", asked)
		}
	}
	for i := range 4 {
		turn(i)
	}
	const turns, spare = 100, 12
	goroutines, files := inUse(t)
	for i := range turns {
		turn(i)
	}
	var g, f int
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { // they end by themselves
		if g, f = inUse(t); g <= goroutines+spare && f <= files+spare {
			t.Logf("%d reloads: from %d goroutines and %d files to %d and %d", turns, goroutines, files, g, f)
			return
		}
	}
	t.Errorf("%d reloads: from %d goroutines and %d files to %d and %d", turns, goroutines, files, g, f)
}

func inUse(t *testing.T) (goroutines, files int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return runtime.NumGoroutine(), len(list)
}
