// Package bypass tries to get around docker-stig-authz. Each attempt is a small
// program with a name, for somebody who may call every endpoint of the engine's
// API; it runs against real engines, through the raw socket where no client
// would send such a request.
//
// What an attempt came to is told by the world and never by the answers: the
// program in a container leaves a file that names the attempt, and the file is
// looked for on the host, in all that the engine keeps; and the engine is asked
// which containers started, and of what. The file counts if it holds anything
// but the marker of the one image that is signed, so signed content that ran in
// the place of the unsigned is no success.
//
// Every attempt runs twice. First without the plugin, where it must succeed:
// an attempt that is broken proves nothing. Then with it, where it must fail
// because the plugin said no. What the machine cannot do even without the
// plugin, because root here lacks a capability for one, is shown as skipped in
// the first run and judged by the no alone in the second. Ways that are not
// tried are in list needNone, with the reason.
package bypass

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// programs is the folder with the program under test.
var programs string

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, &programs, testbed.AuthzPlugin)) }

// attempts are all of them, in the order in which they run.
var attempts = slices.Concat(
	namesAttempts, decodeAttempts, bodyAttempts, pathAttempts, timeAttempts,
	takeoverAttempts, namespaceAttempts, capabilityAttempts, volumeAttempts, mountedAttempts, logAttempts, driverAttempts, plantedAttempts, execAttempts,
	buildAttempts, pluginAttempts, swarmAttempts, rollbackAttempts, managerAttempts, h2Attempts,
)

func TestBypassOnDocker(t *testing.T) {
	t.Parallel()
	testBypass(t, testbed.Docker)
}

func TestBypassOnMoby(t *testing.T) {
	t.Parallel()
	testBypass(t, testbed.Moby)
}

func testBypass(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	b.attempt(t, "without the plugin", succeeds)
	b.attempt(t, "with the plugin", fails)
}

// A run is one of the two of an attempt.
type phase int

const (
	succeeds phase = iota // without the plugin
	fails                 // with it
)

// attempt runs all attempts for which this engine is one. Those that need the
// engine to restart share one restart.
func (b *bed) attempt(t *testing.T, name string, p phase) {
	t.Helper()
	var now, late, slow []*try
	for _, a := range attempts {
		if len(a.on) != 0 && !slices.Contains(a.on, b.kind) {
			continue
		}
		if a.late {
			late = append(late, b.try(a))
			continue
		}
		now = append(now, b.try(a))
	}
	if p == fails {
		for _, a := range slices.Concat(now, late) {
			a.prepare(t, p)
		}
		b.enforce(t)
	}
	t.Run(name, func(t *testing.T) {
		for _, a := range now {
			t.Run(a.name, func(t *testing.T) {
				if a.moot != nil && a.moot(b) != "" {
					t.Skip("no attempt here: " + a.moot(b))
				}
				a.act(t, p)
				a.judge(t, p)
				if p == fails && a.slow {
					slow = append(slow, a)
					return
				}
				a.clean(t)
			})
		}
		if len(slow) != 0 {
			t.Run("what is slow, some time later", func(t *testing.T) { b.later(t, slow) })
		}
		for _, a := range late {
			t.Run(a.name, func(t *testing.T) { a.act(t, p) })
		}
		if len(late) != 0 {
			if err := b.RestartEngine(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range late {
			t.Run(a.name+", engine restarted", func(t *testing.T) {
				a.judge(t, p)
			})
		}
		for _, a := range late {
			a.clean(t)
		}
	})
	if p == fails {
		b.nothingLater(t, slices.Concat(now, late))
	}
	b.leaveSwarm(t)
}

// later looks, for as long as slow successes take, for those of attempts that
// have come to nothing so far, and ends the attempts.
func (b *bed) later(t *testing.T, slow []*try) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Second) {
		for _, a := range slow {
			if !a.through && a.shows(t, 0) {
				a.through = true
				t.Errorf("%s GOT THROUGH", a.name)
			}
		}
	}
	if started := b.strangers(t); len(started) != 0 {
		t.Errorf("the engine started %s", strings.Join(started, "; "))
	}
	for _, a := range slow {
		a.clean(t)
	}
}

// nothingLater looks once more, after everything, for what an attempt left.
func (b *bed) nothingLater(t *testing.T, tries []*try) {
	t.Helper()
	found := b.proofs(t)
	for _, a := range tries {
		if proof, ok := found[a.nonce]; ok && !a.through {
			t.Errorf("%s got through in the end: %q", a.name, proof)
		}
		if a.proof == nil || a.through || !a.acted {
			continue
		}
		if proof := a.proof(t.Context(), a); proof != "" {
			t.Errorf("%s got through in the end: %q", a.name, proof)
		}
	}
}

// leaveSwarm ends the swarm that attempts have made.
func (b *bed) leaveSwarm(t *testing.T) {
	t.Helper()
	_, _ = b.call(t.Context(), http.MethodPost, "/swarm/leave?force=1", nil) // there may be none
}
