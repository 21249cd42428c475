package transaction

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// occupied has the program of the world fail, for good.
func occupied(t *testing.T, w *world) {
	t.Helper()
	if err := os.WriteFile(w.path("imported"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestProgramThatCannotBeTakenBack is in the way of all that comes, says what to
// do about it, and can be let be, or be taken back by hand.
func TestProgramThatCannotBeTakenBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		see  func(t *testing.T, w *world, r Runner, id string) error
		left bool
	}{
		"let be": {func(t *testing.T, _ *world, r Runner, id string) error {
			t.Helper()
			return r.Undo(t.Context(), must(r.Store.Read(id)), true)
		}, true},
		"taken back by hand": {func(t *testing.T, w *world, r Runner, _ string) error {
			t.Helper()
			return errors.Join(os.RemoveAll(w.path("imported")), r.Recover(t.Context()))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := furnished(t)
			before := w.lay(t)
			r := w.runner(nil)
			var said []string
			r.Talk = func(text string) { said = append(said, text) }
			j := must(w.journal())
			if err := r.Apply(t.Context(), j, nil, nil); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(w.path("imported"), "of others"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{
				"undo": r.Undo(t.Context(), must(r.Store.Read(j.ID)), false), "the next run": r.Recover(t.Context()),
			} {
				if err == nil || !strings.Contains(err.Error(), "rmdir") || !strings.Contains(err.Error(), "docker stig undo --leave-changed "+j.ID) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := test.see(t, w, r, j.ID); err != nil {
				t.Fatal(err)
			}
			now := must(r.Store.Read(j.ID))
			if now.Phase != Undone || now.Steps[4].Kept != test.left {
				t.Errorf("it is %s, and the step %+v", now.Phase, now.Steps[4])
			}
			if told := strings.Contains(strings.Join(said, "\n"), "stays as it is"); told != test.left {
				t.Errorf("said %q", said)
			}
			if err := errors.Join(r.Recover(t.Context()), os.RemoveAll(w.path("imported"))); err != nil {
				t.Error(err)
			}
			w.isAs(t, 0, before)
		})
	}
}

// TestProgramTakenBackByHand has nothing left to take back.
func TestProgramTakenBackByHand(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	r := w.runner(nil)
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(w.path("imported")), r.Undo(t.Context(), j, false)); err != nil {
		t.Fatal(err)
	}
	w.isAs(t, 0, before)
}

// TestDoneByOthers is not taken from them.
func TestDoneByOthers(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	j := must(w.journal())
	if err := os.Mkdir(w.path("imported"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := w.lay(t)
	r := w.runner(nil)
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Undo(t.Context(), must(r.Store.Read(j.ID)), false); err != nil {
		t.Fatal(err)
	}
	w.isAs(t, 0, before)
}

// TestWhetherDoneIsUnknown refuses to run what it could not tell from others'
// doing afterwards.
func TestWhetherDoneIsUnknown(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	j := must(w.journal())
	j.Steps[4].Done = []string{w.path("no program")}
	err := w.runner(nil).Apply(t.Context(), j, nil, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left != nil || !strings.Contains(err.Error(), "whether it is done cannot be told") {
		t.Errorf("got %v", err)
	}
	w.isAs(t, 0, before)
}

// TestProgramThatDoesNotTell is of a journal whose program failed, and that does
// not say how one sees whether it had done anything before.
func TestProgramThatDoesNotTell(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	occupied(t, w)
	before := w.lay(t)
	r := w.runner(nil)
	j := must(w.journal())
	j.Steps[4].Done = nil
	err := r.Apply(t.Context(), j, nil, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left == nil || !strings.Contains(err.Error(), "--leave-changed "+j.ID) {
		t.Errorf("got %v", err)
	}
	if err := r.Undo(t.Context(), must(r.Store.Read(j.ID)), true); err != nil {
		t.Fatal(err)
	}
	if err := r.Recover(t.Context()); err != nil {
		t.Error(err)
	}
	w.isAs(t, 0, before)
}
