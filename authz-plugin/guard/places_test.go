package guard

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/docker-stig/docker-stig/shared/logtest"
)

func TestAFloodIsBounded(t *testing.T) {
	t.Parallel()
	log := &logtest.Log{}
	p := &places{most: 8, forOthers: 7, log: log.Logger()}
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
