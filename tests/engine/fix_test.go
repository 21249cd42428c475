package engine

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestFixOnDocker(t *testing.T) { testFix(t, testbed.Docker) }

func TestFixOnMoby(t *testing.T) { testFix(t, testbed.Moby) }

// An outcome is what becomes of a requirement that is open.
type outcome struct {
	after stig.Status
	says  string // in the plan, why it is not met; "": it is
	// perhaps: whether it is open depends on the machine of the test.
	perhaps bool
}

// fixed are the requirements that are open on every failing host, and met when
// it is fixed.
var fixed = []stig.ID{
	"DKER-EE-001090", "DKER-EE-001800", "DKER-EE-001830", "DKER-EE-001840", "DKER-EE-003230", "DKER-EE-003320",
	"DKER-EE-005170", "DKER-EE-005180", "DKER-EE-005190", "DKER-EE-005200", "DKER-EE-005210", "DKER-EE-005220",
	"DKER-EE-005230", "DKER-EE-005240", "DKER-EE-005310", "DKER-EE-005320", "DKER-EE-005330", "DKER-EE-005340",
	"DKER-EE-005350", "DKER-EE-005360",
}

// fixedTLS are open besides where the engine has certificates, and fixedSwarm
// where it is in a swarm.
var (
	fixedTLS   = []stig.ID{"DKER-EE-005250", "DKER-EE-005260", "DKER-EE-005270", "DKER-EE-005280", "DKER-EE-005290", "DKER-EE-005300"}
	fixedSwarm = []stig.ID{"DKER-EE-002400", "DKER-EE-005080"}
)

// madeAnew are the requirements that only another container meets, which the
// plan writes the lines for, or a limit that the site has to decide on.
var madeAnew = []stig.ID{
	"DKER-EE-001190", "DKER-EE-001240", "DKER-EE-001250", "DKER-EE-001960", "DKER-EE-002000", "DKER-EE-002010",
	"DKER-EE-002020", "DKER-EE-002030", "DKER-EE-002060", "DKER-EE-002070", "DKER-EE-002110", "DKER-EE-002120",
	"DKER-EE-002130", "DKER-EE-002780", "DKER-EE-003200", "DKER-EE-004030",
}

// outcomes are those of all requirements that are open on every failing host.
func outcomes(more map[stig.ID]outcome, fixedToo []stig.ID) map[stig.ID]outcome {
	all := map[stig.ID]outcome{
		"DKER-EE-001070": {after: stig.Open, says: "FIPS mode, which takes a reboot", perhaps: true},
		"DKER-EE-001370": {after: stig.Open, says: "the engine does not start with both"}, // bounds of logs beside a remote driver
		"DKER-EE-001590": {after: stig.NotReviewed, says: "log-driver"},                   // the driver is set; the alarm is for a person to see
		"DKER-EE-001770": {after: stig.Open, says: "vendor", perhaps: true},
		"DKER-EE-001930": {after: stig.Open, says: "AppArmor", perhaps: true},
		"DKER-EE-002770": {after: stig.Open, says: "container shop"}, // health; loose does not run
		"DKER-EE-003310": {after: stig.Open, says: "the engine does not start with both"},
	}
	for _, id := range slices.Concat(fixed, fixedToo) {
		all[id] = outcome{after: stig.NotAFinding}
	}
	for _, id := range madeAnew {
		all[id] = outcome{after: stig.Open, says: "container loose"}
	}
	maps.Copy(all, more)
	return all
}

const logServer = "logging: {address: 'udp://192.0.2.1:514'}\n"

func testFix(t *testing.T, engine testbed.Engine) {
	t.Helper()
	t.Run("alone", func(t *testing.T) { fixAlone(t, engine) })
	t.Run("in a swarm", func(t *testing.T) { fixInSwarm(t, engine) })
}

// fixAlone has containers go on while the engine is restarted.
func fixAlone(t *testing.T, engine testbed.Engine) {
	t.Helper()
	h := newFailingHost(t, engine, logServer, func(h *failingHost) map[string]any {
		ca, cert, key := h.tlsFiles(t)
		return map[string]any{
			"insecure-registries": []string{"old.example.com:5000"}, "userland-proxy": true, "experimental": true, "live-restore": true,
			"hosts":     []string{h.variable("DOCKER_HOST"), fmt.Sprintf("tcp://127.0.0.1:%d", freePort(t))},
			"tlsverify": true, "tlscacert": ca, "tlscert": cert, "tlskey": key, "log-opts": map[string]string{"max-size": "5m"},
		}
	})
	h.containersToFix(t)
	process := h.tell(t, "inspect", "--format", "{{.State.Pid}} {{.State.StartedAt}}", "shop")
	h.wholeHost(t, outcomes(map[stig.ID]outcome{
		"DKER-EE-001050": {after: stig.Open, says: "who reaches the engine over TCP is cut off"},
	}, fixedTLS))
	if now := h.tell(t, "inspect", "--format", "{{.State.Pid}} {{.State.StartedAt}}", "shop"); now != process {
		t.Errorf("with live-restore, the container was %s and is %s", process, now)
	}
}

// fixInSwarm has a manager locked, which is done behind the restart. A swarm
// takes no live-restore.
func fixInSwarm(t *testing.T, engine testbed.Engine) {
	t.Helper()
	h := newFailingHost(t, engine, logServer+"swarm: {node-cert-expiry: 720h}\n", func(*failingHost) map[string]any {
		return map[string]any{"insecure-registries": []string{"old.example.com:5000"}, "userland-proxy": true, "experimental": true}
	})
	h.containersToFix(t)
	h.tell(t, "swarm", "init", "--listen-addr", "127.0.0.1:2377", "--advertise-addr", "127.0.0.1")
	h.wholeHost(t, outcomes(nil, fixedSwarm))
}

// containersToFix makes a container that does all that it should not, and one
// that runs.
func (h *failingHost) containersToFix(t *testing.T) {
	t.Helper()
	image := h.must(t)(h.UnsignedImage(t.Context(), "shop:1")).Ref
	h.tell(t, "create", "--name", "loose", "--privileged", "--network", "host", "--pid", "host", "--ipc", "host", "--uts", "host", "--userns", "host",
		"--security-opt", "seccomp=unconfined", "--restart", "always", "--volume", "/etc:/host", "--volume", "/var/run/docker.sock:/var/run/docker.sock", image, "true")
	h.tell(t, "run", "--detach", "--name", "shop", "--network", "none", "--restart", "unless-stopped", "--stop-signal", "KILL", image, "sleep", "100000")
}

// wholeHost plans, fixes, fixes again and takes back. Every requirement that is
// open is one of those wanted.
func (h *failingHost) wholeHost(t *testing.T, want map[stig.ID]outcome) {
	t.Helper()
	before, files := h.statuses(t), h.snapshot(t)
	plan := h.plan(t)
	if diff := cmp.Diff(files, h.snapshot(t)); diff != "" || h.restarts(t) > 0 {
		t.Errorf("a plan has changed something:\n%s", diff)
	}
	pid := h.process(t)
	h.stig(t, 2, h.withRestart(t, "fix", "--yes")...)
	h.came(t, want, plan, before, h.statuses(t))
	if now := h.process(t); h.restarts(t) != 1 || now == pid {
		t.Errorf("the engine was restarted %d times, process %d became %d", h.restarts(t), pid, now)
	}
	h.shopRuns(t)
	again := h.stig(t, 2, h.withRestart(t, "fix", "--yes")...) // what needs a person is still open
	if !strings.Contains(again.stdout, "There is nothing to change.") || h.restarts(t) != 1 {
		t.Errorf("a second fix, and %d restarts:\n%s", h.restarts(t), again.stdout)
	}
	h.stig(t, 0, h.withRestart(t, "undo", "--yes")...)
	h.wasTakenBack(t, files, before)
	if h.restarts(t) != 2 {
		t.Errorf("taken back with %d restarts in all", h.restarts(t))
	}
	h.shopRuns(t)
}

// came holds what became of each requirement, and what was said of it, against
// what is wanted.
func (h *failingHost) came(t *testing.T, want map[stig.ID]outcome, plan remedy.Plan, before, after map[stig.ID]row) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(before)) {
		is, o := after[id], want[id]
		_, known := want[id]
		serves := slices.ContainsFunc(plan.Changes, func(c remedy.Planned) bool { return slices.Contains(c.Serves, id) })
		switch {
		case before[id].Status != stig.Open && known && !o.perhaps:
			t.Errorf("%s is to be open on a host that fails, and is %v: %s", id, before[id].Status, before[id].Details)
		case before[id].Status != stig.Open && is.Status != before[id].Status:
			t.Errorf("%s was %v and is %v: %s", id, before[id].Status, is.Status, is.Details)
		case before[id].Status != stig.Open:
		case !known:
			t.Errorf("%s is open, and nobody knows what becomes of it: %s", id, before[id].Details)
		case is.Status != o.after:
			t.Errorf("%s is %v, want %v: %s", id, is.Status, o.after, is.Details)
		case o.says == "" && !serves:
			t.Errorf("%s is met, and no change served it", id)
		case !strings.Contains(saidOf(plan, id), o.says):
			t.Errorf("%s stays open, and the plan says %q, want %q", id, saidOf(plan, id), o.says)
		}
	}
}

// saidOf is all that a plan says of a requirement.
func saidOf(plan remedy.Plan, id stig.ID) string {
	var said []string
	for _, c := range plan.Changes {
		if slices.Contains(c.Serves, id) {
			said = append(said, c.Wish())
		}
	}
	for _, m := range slices.Concat(plan.Manual, plan.Unknown) {
		if m.StigID == id {
			said = append(said, m.Why)
		}
	}
	for _, l := range plan.LeftOut {
		if slices.Contains(l.Rules, id) {
			said = append(said, l.What+": "+l.Why)
		}
	}
	for _, c := range plan.Contradictions {
		if slices.Contains(c.Rules, id) {
			said = append(said, c.What)
		}
	}
	for _, note := range slices.Concat(plan.Notes, plan.Containers) {
		if strings.Contains(note, string(id)) {
			said = append(said, note)
		}
	}
	return strings.Join(said, "\n")
}

// wasTakenBack wants every file and every requirement as they were.
func (h *failingHost) wasTakenBack(t *testing.T, files map[string]string, before map[stig.ID]row) {
	t.Helper()
	now := h.snapshot(t)
	delete(now, "/etc/audit/audit.rules.prev") // augenrules' own copy of what it made last
	if diff := cmp.Diff(files, now); diff != "" {
		t.Errorf("taken back (-before +after):\n%s", diff)
	}
	for id, r := range h.statuses(t) {
		if r.Status != before[id].Status {
			t.Errorf("taken back, %s is %v, and was %v: %s", id, r.Status, before[id].Status, r.Details)
		}
	}
}

func (h *failingHost) shopRuns(t *testing.T) {
	t.Helper()
	await(t, "the container", func() bool {
		pid, err := strconv.Atoi(strings.TrimSpace(h.tell(t, "inspect", "--format", "{{.State.Pid}}", "shop")))
		return err == nil && pid > 0
	})
}
