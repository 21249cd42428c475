package faults

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// kills is how often the plugin dies under load. What an engine does about it
// is the same on both; the second gets fewer for the time it takes.
var kills = map[testbed.Engine]int{testbed.Docker: 200, testbed.Moby: 40}

// killed kills the plugin again and again, each time once it has answered a
// little and at a moment that nobody chose.
func killed(t *testing.T, b *bed) {
	t.Helper()
	l := b.begin(t)
	kills, busy, began := kills[b.kind], 0, time.Now()
	for range kills {
		l.answered(t, 1+rand.Int64N(8))
		time.Sleep(rand.N(10 * time.Millisecond))
		if l.underway.Load() > 0 {
			busy++
		}
		b.plugin.kill(t)
		b.plugin.start(t)
	}
	t.Logf("%d kills in %v, %d of them with requests under way", kills, time.Since(began).Round(time.Millisecond), busy)
	l.answered(t, 2*clients)
	l.end(t)
	if busy < kills/2 || l.cut.Load() == 0 {
		t.Errorf("%d kills met a request and %d questions were cut: that proves too little", busy, l.cut.Load())
	}
}

// stops is how often the plugin is told to stop under load, as an upgrade does.
const stops = 6

// stopped stops the plugin as systemd does and starts another on the socket.
// Nobody who asks for what is signed or harmless may notice.
func stopped(t *testing.T, b *bed) {
	t.Helper()
	l := b.begin(t)
	var slowest time.Duration
	for range stops {
		l.answered(t, 2*clients)
		slowest = max(slowest, b.plugin.stop(t))
		b.plugin.start(t)
	}
	l.answered(t, 2*clients)
	l.end(t)
	l.nothingRefused(t)
	if l.cut.Load() != 0 {
		t.Errorf("%d questions were cut", l.cut.Load())
	}
	t.Logf("%d stops, the slowest took %v", stops, slowest.Round(time.Millisecond))
}

// hung stops the plugin's process, which the engine waits for without end.
// First it goes on; then it is killed, as systemd does when it hears nothing.
func hung(t *testing.T, b *bed) {
	t.Helper()
	l := b.begin(t)
	l.answered(t, 2*clients)
	b.plugin.signal(t, syscall.SIGSTOP)
	b.waits(t, l)
	b.plugin.signal(t, syscall.SIGCONT)
	l.answered(t, 2*clients)
	l.nothingRefused(t)

	b.plugin.tells(t, "WATCHDOG=1", func() {})
	b.plugin.signal(t, syscall.SIGSTOP)
	b.waits(t, l)
	b.deadByWatchdog(t)
	b.plugin.kill(t)
	b.plugin.start(t)
	l.answered(t, 2*clients)
	b.plugin.tells(t, "WATCHDOG=1", func() {})
	l.end(t)
}

// waits waits until all clients of a load wait for the plugin, which is the
// engine's design and not ours.
func (b *bed) waits(t *testing.T, l *load) {
	t.Helper()
	quiet := l.requests.Load()
	for still := time.Now(); time.Since(still) < 500*time.Millisecond; time.Sleep(10 * time.Millisecond) {
		if now := l.requests.Load(); now != quiet {
			quiet, still = now, time.Now()
		}
	}
	if underway := l.underway.Load(); underway != clients {
		t.Errorf("%d of %d clients wait for a plugin that hangs", underway, clients)
	}
}

// deadByWatchdog waits until systemd would take the plugin for dead: it has
// said nothing for as long as it may.
func (b *bed) deadByWatchdog(t *testing.T) {
	t.Helper()
	said, since := b.plugin.count("WATCHDOG=1"), time.Now()
	await(t, "the plugin's silence", func() bool {
		if now := b.plugin.count("WATCHDOG=1"); now != said {
			said, since = now, time.Now()
		}
		return time.Since(since) > watchdog
	})
}
