// Package faults breaks what docker-stig-authz stands on, and the plugin
// itself, while clients ask a real engine for everything at once: the plugin is
// killed, stopped and hung, its policy replaced and spoiled, its disk filled,
// its trust server silenced and made to lie, its engine restarted.
//
// Three things are asked of each fault. No container of other than the signed
// content started: told by the engine's own events, which a witness follows,
// and by the state of every container, never by an answer. Nobody waited longer
// than a decision may take: every request of the load is timed. And afterwards
// the engine runs what is signed. That the load did what it is for, requests
// that are allowed, denied and cut, is asserted as well; a fault that met no
// request proves nothing.
//
// The tests stand in systemd's place as the packaged units describe it: the
// plugin's socket stays open across its deaths, and it is told of READY,
// RELOADING and WATCHDOG. What an attacker can do with requests alone is package
// bypass's.
package faults

import (
	"os"
	"testing"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// programs is the folder with what is under test.
var programs string

func TestMain(m *testing.M) { os.Exit(testbed.Main(m, &programs, testbed.AuthzPlugin)) }

// faults are all of them, in the order in which they meet an engine.
var faults = []struct {
	name string
	test func(*testing.T, *bed)
}{
	{"the witness sees what starts", witnessSees},
	{"killed", killed},
	{"killed in the middle of a create", forgotten},
	{"told to stop", stopped},
	{"hung", hung},
	{"policy replaced", policyReplaced},
	{"trust server away, slow and lying", trustServer},
	{"engine restarted", engineRestarted},
	{"flooded", flooded},
	{"as light as before", asLight}, // the process that policies were replaced under
	{"started without a policy", startedWithoutPolicy},
	{"disk full", diskFull},
}

func TestFaultsOnDocker(t *testing.T) { //nolint:paralleltest // requests are timed: one engine at a time
	testFaults(t, testbed.Docker)
}

func TestFaultsOnMoby(t *testing.T) { //nolint:paralleltest // as above
	testFaults(t, testbed.Moby)
}

func testFaults(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			fault.test(t, b)
			b.nothingUnsigned(t)
			b.healthy(t)
		})
	}
}
