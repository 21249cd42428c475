package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestTransactionOnDocker(t *testing.T) { testTransaction(t, testbed.Docker) }

func TestTransactionOnMoby(t *testing.T) { testTransaction(t, testbed.Moby) }

// oddConfig is a daemon.json with white space of an administrator's own.
const oddConfig = "{ \"labels\":\n\t[\"site=a\"] ,\n\t\"experimental\" : true,\"insecure-registries\":[ \"old.example.com:5000\" ]}\n\n"

// A workshop is an engine with a daemon.json, and a folder for transactions.
type workshop struct {
	*testbed.Testbed
	runner transaction.Runner
}

// restarting restarts the testbed's engine, which no systemd runs.
type restarting struct {
	*engine.Dockerd
	bed *testbed.Testbed
}

func (r restarting) CanRestart() error                 { return nil }
func (r restarting) Restart(ctx context.Context) error { return r.bed.RestartEngine(ctx, nil) }

func newWorkshop(t *testing.T, tb *testbed.Testbed) *workshop {
	t.Helper()
	return &workshop{Testbed: tb, runner: transaction.Runner{
		Store:   transaction.StoreIn(t.TempDir()),
		Now:     time.Now,
		Engine:  func(d *engine.Dockerd) transaction.Engine { return restarting{d, tb} },
		Program: remedy.RunProgram,
		Talk:    func(text string) { t.Log(text) },
	}}
}

// option is a wish for daemon.json; a nil value takes the key out.
func (w *workshop) option(t *testing.T, rule, pointer string, value any) change.Change {
	t.Helper()
	if value == nil {
		return change.RemoveOption(w.DaemonJSON(), pointer, stig.ID(rule))
	}
	c, err := change.SetOption(w.DaemonJSON(), pointer, value, stig.ID(rule))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plan is what a host is to be changed by.
func (w *workshop) plan(t *testing.T, allowRestart bool, wishes ...change.Change) remedy.Plan {
	t.Helper()
	plan, err := w.make(t, t.Context(), allowRestart, wishes)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func (w *workshop) make(t *testing.T, ctx context.Context, allowRestart bool, wishes []change.Change) (remedy.Plan, error) { //nolint:revive // it is a test's helper first
	t.Helper()
	return remedy.Compose(ctx, hostOf(t, w.Testbed), wishes, remedy.Options{Named: true, AllowRestart: allowRestart, RestartWith: []string{"the testbed"}, Now: time.Now})
}

// apply carries a plan out and checks again by planning once more.
func (w *workshop) apply(t *testing.T, plan remedy.Plan, wishes ...change.Change) (*transaction.Journal, error) {
	t.Helper()
	j, _, err := plan.Apply(t.Context(), w.runner, func(ctx context.Context) (remedy.Plan, error) { return w.make(t, ctx, true, wishes) }, remedy.Options{})
	return j, err
}

// state is how daemon.json stands, and which process the engine is.
func (w *workshop) state(t *testing.T) (disk.State, int) {
	t.Helper()
	s, err := disk.Look(w.DaemonJSON())
	if err != nil {
		t.Fatal(err)
	}
	pid, err := w.EnginePID()
	if err != nil {
		t.Fatal(err)
	}
	return s, pid
}

func (w *workshop) restart(t *testing.T) {
	t.Helper()
	if err := w.RestartEngine(t.Context(), []byte(oddConfig)); err != nil {
		t.Fatal(err)
	}
}

func testTransaction(t *testing.T, kind testbed.Engine) {
	t.Helper()
	tb := testbed.Start(t, kind)
	t.Run("restarted once, and undone", func(t *testing.T) { restartedOnce(t, newWorkshop(t, tb)) })
	t.Run("read again", func(t *testing.T) { readAgain(t, newWorkshop(t, tb)) })
	t.Run("it does not come back", func(t *testing.T) { doesNotComeBack(t, newWorkshop(t, tb)) })
	t.Run("it did not help", func(t *testing.T) { didNotHelp(t, newWorkshop(t, tb)) })
	t.Run("contradictions", func(t *testing.T) { contradictions(t, newWorkshop(t, tb)) })
	refusal := "did not take its new configuration"
	if kind == testbed.Moby { // older ones have no --validate
		refusal = "dockerd --validate refuses"
	}
	t.Run("the engine refuses the file", func(t *testing.T) { refusesTheFile(t, newWorkshop(t, tb), refusal) })
}

func restartedOnce(t *testing.T, w *workshop) {
	t.Helper()
	w.restart(t)
	if err := os.Chmod(w.DaemonJSON(), 0o640); err != nil {
		t.Fatal(err)
	}
	before, pid := w.state(t)
	wishes := []change.Change{
		w.option(t, "DKER-EE-001830", "/userland-proxy", false),
		w.option(t, "DKER-EE-001840", "/experimental", false),
		w.option(t, "DKER-EE-001800", "/insecure-registries", nil),
	}
	without := w.plan(t, false, wishes...)
	if !without.Empty() || len(without.LeftOut) != 3 {
		t.Errorf("without --allow-restart: %+v", without)
	}
	plan := w.plan(t, true, wishes...)
	j, err := w.apply(t, plan, wishes...)
	if err != nil {
		t.Fatal(err)
	}
	after, newPID := w.state(t)
	if want := "{ \"userland-proxy\": false, \"labels\":\n\t[\"site=a\"] ,\n\t\"experimental\" : false}\n\n"; string(after.Bytes) != want {
		t.Errorf("daemon.json is %q, want %q", after.Bytes, want)
	}
	if newPID == pid || after.Mode != 0o640 {
		t.Errorf("process %d became %d, mode %04o", pid, newPID, after.Mode)
	}
	h := hostOf(t, w.Testbed)
	for _, want := range []wantOption{
		{"userland-proxy", "false", "daemon.json", ""}, {"experimental", "false", host.FromEngine, ""}, {"insecure-registries", "nothing", host.FromEngine, ""},
	} {
		want.hold(t, h)
	}
	if again := w.plan(t, true, wishes...); !again.Empty() {
		t.Errorf("a second plan wants %+v", again.Changes)
	}

	read, err := w.runner.Store.Read(j.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.runner.Undo(t.Context(), read, false); err != nil {
		t.Fatal(err)
	}
	back, lastPID := w.state(t)
	if !back.Same(before) || !bytes.Equal(back.Bytes, []byte(oddConfig)) || lastPID == newPID {
		t.Errorf("undone: %+v, process %d", back, lastPID)
	}
	wantOption{"experimental", "true", host.FromEngine, ""}.hold(t, hostOf(t, w.Testbed))
}

func readAgain(t *testing.T, w *workshop) {
	t.Helper()
	w.restart(t)
	_, pid := w.state(t)
	wishes := []change.Change{
		w.option(t, "DKER-EE-001800", "/insecure-registries", []string{}), w.option(t, "DKER-EE-000000", "/live-restore", true),
	}
	j, err := w.apply(t, w.plan(t, false, wishes...), wishes...)
	if err != nil {
		t.Fatal(err)
	}
	if _, now := w.state(t); now != pid {
		t.Errorf("process %d became %d: the engine was restarted", pid, now)
	}
	h := hostOf(t, w.Testbed)
	wantOption{"insecure-registries", "nothing", host.FromEngine, ""}.hold(t, h)
	wantOption{"live-restore", "true", host.FromEngine, ""}.hold(t, h)

	// live-restore was not in the file: only a restart takes it from the engine.
	w.runner.AllowRestart = true
	if err := w.runner.Undo(t.Context(), j, false); err != nil {
		t.Fatal(err)
	}
	h = hostOf(t, w.Testbed)
	wantOption{"insecure-registries", "old.example.com:5000", host.FromEngine, ""}.hold(t, h)
	wantOption{"live-restore", "false", host.FromEngine, ""}.hold(t, h)
}

// doesNotComeBack sets what every check passes, and the engine ends on.
func doesNotComeBack(t *testing.T, w *workshop) {
	t.Helper()
	w.restart(t)
	before, _ := w.state(t)
	wish := w.option(t, "DKER-EE-000000", "/seccomp-profile", filepath.Join(t.TempDir(), "there-is-none.json"))
	j, err := w.apply(t, w.plan(t, true, wish), wish)
	w.rolledBack(t, j, err, before)
}

func didNotHelp(t *testing.T, w *workshop) {
	t.Helper()
	w.restart(t)
	before, _ := w.state(t)
	wish := w.option(t, "DKER-EE-001830", "/userland-proxy", false)
	j, _, err := w.plan(t, true, wish).Apply(t.Context(), w.runner, func(context.Context) (remedy.Plan, error) {
		return remedy.Plan{}, errors.New("still open")
	}, remedy.Options{})
	w.rolledBack(t, j, err, before)
}

func refusesTheFile(t *testing.T, w *workshop, refusal string) {
	t.Helper()
	w.restart(t)
	before, pid := w.state(t)
	wish := w.option(t, "DKER-EE-000000", "/max-concurrent-downloads", -5)
	j, err := w.apply(t, w.plan(t, true, wish), wish)
	w.rolledBack(t, j, err, before)
	if err == nil || !strings.Contains(err.Error(), refusal) {
		t.Errorf("got %v", err)
	}
	if _, now := w.state(t); now != pid {
		t.Error("the engine was restarted although nothing was changed")
	}
}

// rolledBack wants an engine that works on its old file.
func (w *workshop) rolledBack(t *testing.T, j *transaction.Journal, err error, before disk.State) {
	t.Helper()
	back := new(transaction.RolledBack)
	if !errors.As(err, &back) || back.Left != nil || j.Phase != transaction.TakenBack {
		t.Fatalf("got %v, phase %s", err, j.Phase)
	}
	t.Logf("rolled back: %v", err)
	after, _ := w.state(t)
	if !after.Same(before) || !bytes.Equal(after.Bytes, before.Bytes) {
		t.Errorf("daemon.json is %q, want %q", after.Bytes, before.Bytes)
	}
	wantOption{"experimental", "true", host.FromEngine, ""}.hold(t, hostOf(t, w.Testbed))
}

// contradictions are never tried.
func contradictions(t *testing.T, w *workshop) {
	t.Helper()
	w.restart(t)
	for name, wishes := range map[string][]change.Change{
		"hosts beside -H": {w.option(t, "A", "/hosts", []string{"unix:///run/other.sock"})},
		"remote logs that rotate": {
			w.option(t, "A", "/log-driver", "syslog"), w.option(t, "B", "/log-opts/max-size", "10m"),
		},
		"two values": {w.option(t, "A", "/userland-proxy", false), w.option(t, "B", "/userland-proxy", true)},
	} {
		plan := w.plan(t, true, wishes...)
		if !plan.Empty() || len(plan.Contradictions) != 1 || len(plan.Contradictions[0].Rules) != len(wishes) || !slices.Contains(plan.Contradictions[0].Rules, "A") {
			t.Errorf("%s: %+v", name, plan)
		}
	}
}
