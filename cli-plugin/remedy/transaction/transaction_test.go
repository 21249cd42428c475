package transaction

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
)

func TestApplyAndUndo(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	r := w.runner(nil)
	j := must(w.journal())
	var done []string
	last := []Last{{Title: "for good", Do: func(context.Context) error {
		done = append(done, string(must(r.Store.Read(j.ID)).Phase))
		return nil
	}}}
	if err := r.Apply(t.Context(), j, func(context.Context) error { return nil }, last); err != nil {
		t.Fatal(err)
	}
	if w.engine.restarts != 1 || w.engine.reloads != 0 || w.engine.validated != "{\"debug\": false}\n" {
		t.Errorf("the engine was told %+v", w.engine)
	}
	if diff := cmp.Diff([]string{"applied"}, done); diff != "" {
		t.Errorf("what cannot be taken back was done in phase:\n%s", diff)
	}
	kept := must(r.Store.Read(j.ID))
	if kept.Phase != Applied || len(kept.Done) != 1 || string(kept.Steps[0].Before.Bytes) != "{\"debug\": true}\n" {
		t.Errorf("kept %+v", kept)
	}
	if info := must(os.Stat(r.Store.original(j.ID, 0))); info.Mode().Perm() != 0o600 {
		t.Errorf("a copy has mode %v", info.Mode())
	}
	if err := r.Undo(t.Context(), kept, false); err != nil {
		t.Fatal(err)
	}
	w.isAs(t, 0, before)
	if w.engine.restarts != 2 || must(r.Store.Read(j.ID)).Phase != Undone {
		t.Errorf("after undo: %+v, %s", w.engine, must(r.Store.Read(j.ID)).Phase)
	}
}

// TestRestartAsItIs has an engine judge the file that nobody changes before it
// is restarted with it.
func TestRestartAsItIs(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	w.engine.refuses = errors.New("refused")
	j := &Journal{Tell: change.Restart, Dockerd: &engine.Dockerd{}}
	err := w.runner(nil).Apply(t.Context(), j, nil, nil)
	if back := new(RolledBack); !errors.As(err, &back) || w.engine.validated != "its own" || w.engine.restarts != 0 {
		t.Errorf("%v, and the engine was told %+v", err, w.engine)
	}
}

// TestSocketOfTheEngine is made anew by each restart, and gets its mode back
// all the same.
func TestSocketOfTheEngine(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	path := w.path("d.sock")
	listen := func(mode os.FileMode) {
		_ = os.Remove(path)
		listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
		if err == nil {
			t.Cleanup(func() { _ = listener.Close() })
			err = os.Chmod(path, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	listen(0o666)
	w.engine.restarted = func() { listen(0o660) }
	step := Step{Subject: path, Path: path, Before: must(disk.Look(path))}
	step.After = step.Before
	step.After.Mode = 0o660
	j := &Journal{Steps: []Step{step}, Tell: change.Restart, Dockerd: &engine.Dockerd{}}
	r := w.runner(nil)
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Undo(t.Context(), must(r.Store.Read(j.ID)), false); err != nil {
		t.Fatal(err)
	}
	if now := must(disk.Look(path)); now.Mode != 0o666 || w.engine.restarts != 2 {
		t.Errorf("it has mode %04o after %d restarts", now.Mode, w.engine.restarts)
	}
}

// TestApplyIsRolledBack spoils a transaction in several ways. Each has to leave
// everything as it was.
func TestApplyIsRolledBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil    func(t *testing.T, w *world)
		check    error
		want     string
		restarts int
	}{
		"the engine refuses the file":   {spoil: func(_ *testing.T, w *world) { w.engine.refuses = errors.New("no such driver") }, want: "no such driver"},
		"the engine does not come back": {spoil: func(_ *testing.T, w *world) { w.engine.fails = 1 }, want: "does not stay up", restarts: 2},
		"it did not help":               {check: errors.New("still open"), want: "still open", restarts: 2},
		"the program fails":             {spoil: occupied, want: "imported", restarts: 2},
		"the document breaks":           {spoil: func(_ *testing.T, w *world) { w.doc.breaks = []byte("old") }, want: "something else", restarts: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := furnished(t)
			if test.spoil != nil {
				test.spoil(t, w)
			}
			before := w.lay(t)
			j := must(w.journal())
			r := w.runner(nil)
			err := r.Apply(t.Context(), j, func(context.Context) error { return test.check }, nil)
			back := new(RolledBack)
			if !errors.As(err, &back) || back.Left != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q, and all rolled back", err, test.want)
			}
			w.isAs(t, 0, before)
			if w.engine.restarts != test.restarts || must(r.Store.Read(j.ID)).Phase != TakenBack {
				t.Errorf("%d restarts, phase %s", w.engine.restarts, must(r.Store.Read(j.ID)).Phase)
			}
		})
	}
}

// TestRollbackThatFails is finished by the next run, if the engine comes back
// then, and the document is as it was left.
func TestRollbackThatFails(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	w.engine.fails = 2
	r := w.runner(nil)
	err := r.Apply(t.Context(), must(w.journal()), nil, nil)
	back := new(RolledBack)
	if !errors.As(err, &back) || back.Left == nil {
		t.Fatalf("got %v, want something left", err)
	}
	if err := r.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.isAs(t, 0, before)

	w.doc.breaks = []byte("half of it")
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); !errors.As(err, &back) || back.Left == nil {
		t.Fatalf("got %v, want something left", err)
	}
	w.doc.breaks = nil
	if err := os.WriteFile(w.doc.path, []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "others have changed it") {
		t.Errorf("got %v, want others' change to stay", err)
	}
	if err := os.WriteFile(w.doc.path, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Recover(t.Context()); err != nil {
		t.Error(err)
	}
	w.isAs(t, 0, before)
}

func TestApplyRefusesWhatHasChanged(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	j := must(w.journal())
	if err := os.WriteFile(w.path("daemon.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := w.lay(t)
	err := w.runner(nil).Apply(t.Context(), j, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "was changed since the plan was made") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(string(before["/daemon.json"].Bytes), string(w.lay(t)["/daemon.json"].Bytes)); diff != "" {
		t.Error(diff)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := w.runner(nil).Apply(ctx, must(w.journal()), func(context.Context) error { cancel(); return nil }, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	w.isAs(t, 0, before)
}

// TestUndoLeavesOthersChanges says what is different, and takes back the rest
// if it is told to.
func TestUndoLeavesOthersChanges(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	r := w.runner(nil)
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("daemon.json"), []byte("{\"debug\": false, \"ours\": 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.path("key.pem"), 0o440); err != nil {
		t.Fatal(err)
	}
	changed := w.lay(t)
	err := r.Undo(t.Context(), j, false)
	refused := new(Changed)
	if !errors.As(err, &refused) || len(refused.Steps) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"with in /ours: compare it with ", "0440, and were left as"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	w.isAs(t, 0, changed)
	if err := r.Undo(t.Context(), must(r.Store.Read(j.ID)), true); err != nil {
		t.Fatal(err)
	}
	now := w.lay(t)
	if !now["/old.conf"].Same(before["/old.conf"]) || !now["/daemon.json"].Same(changed["/daemon.json"]) || !now["/key.pem"].Same(changed["/key.pem"]) {
		t.Errorf("got %+v", now)
	}
}

func TestReloadIsGivenTime(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	j := must(w.journal())
	j.Tell = change.Reload
	asked := 0
	r := w.runner(nil)
	if err := r.Apply(t.Context(), j, func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	if w.engine.reloads != 1 || w.engine.restarts != 0 || asked != 3 {
		t.Errorf("%+v after %d questions", w.engine, asked)
	}
}

func TestLastThatFails(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	r := w.runner(nil)
	j := must(w.journal())
	err := r.Apply(t.Context(), j, nil, []Last{{Title: "signing", Do: func(context.Context) error { return errors.New("no key") }}})
	if err == nil || !strings.Contains(err.Error(), "signing: no key; all other changes stay made") || must(r.Store.Read(j.ID)).Phase != Applied {
		t.Errorf("got %v, phase %s", err, must(r.Store.Read(j.ID)).Phase)
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	store := StoreIn(t.TempDir())
	unlock, err := store.Lock(t.Context(), "docker stig fix (process 7)", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Lock(t.Context(), "another", 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "docker stig fix (process 7) holds the lock") {
		t.Errorf("got %v", err)
	}
	waited := make(chan error, 1)
	go func() {
		second, err := store.Lock(t.Context(), "another", time.Minute)
		if err == nil {
			second()
		}
		waited <- err
	}()
	unlock()
	if err := <-waited; err != nil {
		t.Errorf("the second did not get it: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	r := w.runner(nil)
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "../x", "20261130T101501Z"} {
		if _, err := r.Store.Read(id); err == nil {
			t.Errorf("%q was read", id)
		}
	}
	if err := os.WriteFile(r.Store.original(j.ID, 0), []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Store.Read(j.ID); err == nil || !strings.Contains(err.Error(), "is not what was kept there") {
		t.Errorf("a spoilt copy: %v", err)
	}
	if err := os.WriteFile(r.Store.path(j.ID, "journal.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Store.Read(j.ID); err == nil || !strings.Contains(err.Error(), "put them back by hand") {
		t.Errorf("a spoilt journal: %v", err)
	}
}
