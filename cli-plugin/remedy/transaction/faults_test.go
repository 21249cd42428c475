package transaction

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// leastWrites is how many writes a transaction of the world has at the least:
// the walks end at the first that is not reached.
const leastWrites = 60

// TestEveryWriteFails fails each write of a transaction in turn, once or from
// then on: every file is the old or the new one, and the next run completes
// the rollback.
func TestEveryWriteFails(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		err     error
		lasting bool
	}{{unix.ENOSPC, true}, {unix.EROFS, true}, {unix.EIO, false}} {
		t.Run(fault.err.Error(), func(t *testing.T) {
			t.Parallel()
			after := applied(t)
			for n := 1; failAt(t, n, fault.err, fault.lasting, after); n++ {
				if n > 10*leastWrites {
					t.Fatal("it never ends")
				}
			}
		})
	}
}

// failAt reports whether there is an nth write.
func failAt(t *testing.T, n int, fault error, lasting bool, after lay) bool {
	t.Helper()
	w := furnished(t)
	before := w.lay(t)
	count, lifted := 0, false
	r := w.runner(func(string, string) error {
		count++
		if !lifted && (count == n || lasting && count > n) {
			return fault
		}
		return nil
	})
	err := r.Apply(t.Context(), must(w.journal()), nil, nil)
	if count < n {
		if err != nil || n <= leastWrites {
			t.Errorf("without a fault, after %d writes: %v", count, err)
		}
		return false
	}
	if !errors.Is(err, fault) {
		t.Errorf("write %d: %v", n, err)
	}
	w.oldOrNew(t, n, before, after)
	back := new(RolledBack)
	if errors.As(err, &back) && back.Left == nil {
		w.isAs(t, n, before)
	}
	lifted = true
	if err := r.Recover(t.Context()); err != nil {
		t.Errorf("write %d, the next run: %v", n, err)
	}
	w.settled(t, n, before, after)
	if left, err := r.Store.Unfinished(); len(left) > 0 || err != nil {
		t.Errorf("write %d: %d transactions are left, %v", n, len(left), err)
	}
	return true
}

// TestKilledAtEveryWrite ends the process right before each write, of a
// transaction and of taking it back.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, work := range []string{"apply", "undo"} {
		t.Run(work, func(t *testing.T) {
			t.Parallel()
			after := applied(t)
			for n := 1; ; n++ {
				w := furnished(t)
				before := w.lay(t)
				if work == "undo" {
					if err := w.runner(nil).Apply(t.Context(), must(w.journal()), nil, nil); err != nil {
						t.Fatal(err)
					}
				}
				if !killAt(t, w.dir, work, n) {
					if n < 10 {
						t.Errorf("only %d writes", n-1)
					}
					return
				}
				w.oldOrNew(t, n, before, after)
				r := w.runner(nil)
				if err := r.Recover(t.Context()); err != nil {
					t.Fatalf("killed before write %d, the next run: %v", n, err)
				}
				w.settled(t, n, before, after)
			}
		})
	}
}

// killAt runs TestHelper in a process of its own, and reports whether it was
// killed.
func killAt(t *testing.T, dir, work string, n int) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHelper$")
	cmd.Env = append(os.Environ(), "STIG_HELPER="+work, "STIG_HELPER_DIR="+dir, "STIG_HELPER_AT="+strconv.Itoa(n))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	exited := new(exec.ExitError)
	if status, ok := syscall.WaitStatus(0), errors.As(err, &exited); ok {
		status, _ = exited.Sys().(syscall.WaitStatus)
		if status.Signaled() && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	t.Fatalf("the helper: %v\n%s", err, out)
	return false
}

// TestHelper is what killAt runs.
func TestHelper(t *testing.T) {
	work := os.Getenv("STIG_HELPER")
	if work == "" {
		t.Skip("it is for TestKilledAtEveryWrite")
	}
	at := must(strconv.Atoi(os.Getenv("STIG_HELPER_AT")))
	w := must(newWorld(os.Getenv("STIG_HELPER_DIR")))
	count := 0
	r := w.runner(func(string, string) error {
		if count++; count == at {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	if work == "apply" {
		if err := r.Apply(t.Context(), must(w.journal()), nil, nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	ids := must(r.Store.List())
	if err := r.Undo(t.Context(), must(r.Store.Read(ids[0])), false); err != nil {
		t.Fatal(err)
	}
}

func furnished(t *testing.T) *world {
	t.Helper()
	return must(newWorld(t.TempDir()))
}

// applied is how a world stands after its transaction.
func applied(t *testing.T) lay {
	t.Helper()
	w := furnished(t)
	if err := w.runner(nil).Apply(t.Context(), must(w.journal()), nil, nil); err != nil {
		t.Fatal(err)
	}
	return w.lay(t)
}

// oldOrNew wants every file whole: as it was, or as it was to be.
func (w *world) oldOrNew(t *testing.T, n int, before, after lay) {
	t.Helper()
	for name, now := range w.lay(t) {
		was, wanted := before[name], after[name]
		if now.Folder || strings.Contains(name, ".stig-") { // a file that is not yet in its place
			continue
		}
		if !now.Same(was) && !now.Same(wanted) && !ours(now, Step{Before: was, After: wanted}) {
			t.Errorf("write %d: %s is neither the old nor the new: %+v", n, name, now)
		}
	}
	for name, old := range before {
		if _, there := w.lay(t)[name]; !there && after[name].Exists && old.Exists {
			t.Errorf("write %d: %s is gone", n, name)
		}
	}
}

// settled wants all of the old, or all of the new where the journal says so.
func (w *world) settled(t *testing.T, n int, before, after lay) {
	t.Helper()
	r := w.runner(nil)
	ids := must(r.Store.List())
	if len(ids) == 0 || must(r.Store.Read(ids[0])).Phase != Applied {
		w.isAs(t, n, before)
		return
	}
	now := w.lay(t)
	for name, want := range after {
		if !now[name].Same(want) {
			t.Errorf("write %d: %s is not the new: %+v", n, name, now[name])
		}
	}
	if len(now) != len(after) {
		t.Errorf("write %d: %d files, want %d", n, len(now), len(after))
	}
}

func (w *world) isAs(t *testing.T, n int, want lay) {
	t.Helper()
	if diff := cmp.Diff(want, w.lay(t)); diff != "" {
		t.Errorf("write %d: it is not as it was:\n%s", n, diff)
	}
}
