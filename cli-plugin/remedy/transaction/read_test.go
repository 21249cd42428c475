package transaction

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// applyOnce makes a transaction in a world of its own.
func applyOnce(t *testing.T) (Runner, *Journal) {
	t.Helper()
	w := furnished(t)
	r := w.runner(nil)
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	return r, j
}

// TestFinishedOnesBlockNothing spoils a transaction that is over: what was cut
// off is taken back all the same.
func TestFinishedOnesBlockNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, r Runner, j *Journal){
		"a copy rots": func(t *testing.T, r Runner, j *Journal) {
			t.Helper()
			replace(t, r.Store.original(j.ID, 0), []byte("rot"))
		},
		"another version": func(t *testing.T, r Runner, j *Journal) {
			t.Helper()
			replace(t, r.Store.path(j.ID, "journal.json"), []byte(`{"version": 99, "id": "`+j.ID+`", "phase": "applied", "steps": "something else"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, j := applyOnce(t)
			spoil(t, r, j)
			if err := r.Recover(t.Context()); err != nil {
				t.Errorf("recovering: %v", err)
			}
			if head, _ := r.Store.Head(j.ID); head == nil || head.Phase != Applied {
				t.Errorf("its head is %+v", head)
			}
			if _, err := r.Store.Read(j.ID); err == nil {
				t.Error("it can be read")
			}
		})
	}
}

// TestUnfinishedOfAnotherVersion is left to that version.
func TestUnfinishedOfAnotherVersion(t *testing.T) {
	t.Parallel()
	r, j := applyOnce(t)
	replace(t, r.Store.path(j.ID, "journal.json"), []byte(`{"version": 99, "id": "`+j.ID+`", "phase": "halfway"}`))
	if err := r.Recover(t.Context()); err == nil || !strings.Contains(err.Error(), "take it back with that one") {
		t.Errorf("got %v", err)
	}
}

func replace(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOthersMayWriteIt refuses a store that somebody else could have written
// into: a journal says what is written, and what is run.
func TestOthersMayWriteIt(t *testing.T) {
	t.Parallel()
	places := map[string]func(s Store, id string) string{
		"the state":       func(s Store, _ string) string { return filepath.Dir(s.Dir) },
		"all of them":     func(s Store, _ string) string { return s.Dir },
		"the one":         func(s Store, id string) string { return s.path(id, "") },
		"its journal":     func(s Store, id string) string { return s.path(id, "journal.json") },
		"what it was":     func(s Store, id string) string { return s.original(id, 0) },
		"what it is then": func(s Store, id string) string { return s.planned(id, 0) },
	}
	spoils := map[string]func(path string) error{
		"a group":       func(path string) error { return os.Chmod(path, 0o770) },
		"everybody":     func(path string) error { return os.Chmod(path, 0o702) },
		"another owner": func(path string) error { return os.Chown(path, 65534, -1) },
		"a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		},
	}
	for place, at := range places {
		for name, spoil := range spoils {
			t.Run(place+", "+name, func(t *testing.T) {
				t.Parallel()
				r, j := applyOnce(t)
				err := spoil(at(r.Store, j.ID))
				if errors.Is(err, os.ErrPermission) {
					t.Skip("only root gives files away")
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Store.Read(j.ID); err == nil {
					t.Error("it was read")
				}
			})
		}
	}
}

func TestLockRefusesFolderOfOthers(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	if err := os.Chmod(state, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := StoreIn(state).Lock(t.Context(), "docker stig fix", time.Second); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("got %v", err)
	}
}

// TestStateBehindLink takes a state folder that its administrator has moved.
func TestStateBehindLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("disk", filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	unlock, err := StoreIn(filepath.Join(dir, "state")).Lock(t.Context(), "docker stig fix", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func FuzzDecode(f *testing.F) {
	const id = "20261130T101500Z"
	raw, err := json.Marshal(Journal{Version: journalVersion, ID: id, Phase: Applied, Steps: []Step{{Subject: "x"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"version": 99, "id": "20261130T101500Z", "phase": "applied"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		j, err := decode(id, raw)
		if err == nil && (j.Version != journalVersion || j.ID != id) {
			t.Errorf("%q: %+v", raw, j)
		}
	})
}
