package transaction

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/change/program"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A world is a folder with files, and a transaction over them: one is edited,
// one changes its mode, one is taken away, and one is made in new folders; a
// program makes a folder, and as rpm with a key, neither twice, nor takes it away
// twice; and a document is put.
type world struct {
	dir    string
	engine *fakeEngine
	doc    *fakeDocument
}

// newWorld furnishes a folder, unless that was done before.
func newWorld(dir string) (*world, error) {
	w := &world{dir: dir, engine: &fakeEngine{}, doc: &fakeDocument{path: filepath.Join(dir, "api")}}
	if _, err := os.Stat(w.path("daemon.json")); err == nil {
		return w, nil
	}
	for name, file := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"daemon.json": {"{\"debug\": true}\n", 0o640},
		"key.pem":     {"a key\n", 0o644},
		"old.conf":    {"old\n", 0o600},
		"api":         {"old", 0o600},
	} {
		if err := os.WriteFile(w.path(name), []byte(file.content), file.mode); err != nil {
			return nil, err
		}
		if err := os.Chmod(w.path(name), file.mode); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// journal is the transaction as a plan would make it.
func (w *world) journal() (*Journal, error) {
	j := &Journal{Rules: []stig.ID{"X"}, Tell: change.Restart, Then: []change.Then{"nothing"}, Dockerd: &engine.Dockerd{}}
	for _, edit := range []struct {
		name string
		edit func(disk.State) disk.State
	}{
		{"daemon.json", func(s disk.State) disk.State { return s.With([]byte("{\"debug\": false}\n")) }},
		{"key.pem", func(s disk.State) disk.State { s.Mode, s.GID = 0o400, ownGroup(s.GID); return s }},
		{"old.conf", func(disk.State) disk.State { return disk.State{} }},
		{"new/unit.d/stig.conf", func(s disk.State) disk.State { s.Mode = 0o644; return s.With([]byte("new\n")) }},
	} {
		path := w.path(edit.name)
		before, err := disk.Look(path)
		if err != nil {
			return nil, err
		}
		step := Step{Subject: path, Path: path, Serves: j.Rules, Before: before, After: edit.edit(before), Folders: disk.MissingFolders(path)}
		step.Config = edit.name == "daemon.json"
		j.Steps = append(j.Steps, step)
	}
	j.Steps = append(j.Steps, w.program())
	before, err := w.doc.Read(context.Background())
	if err != nil {
		return nil, err
	}
	j.Steps = append(j.Steps, Step{
		Subject: "the document", Target: "doc", Serves: j.Rules,
		Before: disk.State{}.With(before), After: disk.State{}.With([]byte("new")),
	})
	return j, nil
}

// program is the step that makes the folder.
func (w *world) program() Step {
	made := w.path("imported")
	return Step{Subject: "the folder", Serves: []stig.ID{"X"}, Run: []string{"mkdir", made}, Back: []string{"rmdir", made}, Done: []string{"test", "-d", made}}
}

// runs runs the programs of a transaction, which may fail before they have done
// anything, and after.
func runs(before func(step, path string) error) func(context.Context, []string) error {
	if before == nil {
		before = func(string, string) error { return nil }
	}
	return func(ctx context.Context, argv []string) error {
		if argv[0] == "nothing" {
			return nil
		}
		if err := before("run", argv[0]); err != nil {
			return err
		}
		if out, err := program.Run(ctx, argv...); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
		}
		return before("ran", argv[0])
	}
}

// ownGroup is another group, where one may be given.
func ownGroup(gid int) int {
	if os.Geteuid() == 0 {
		return gid + 1
	}
	return gid
}

// runner carries out, and is spoilt by before.
func (w *world) runner(before func(step, path string) error) Runner {
	w.doc.before = before
	return Runner{
		Store:     Store{Dir: filepath.Join(w.dir, "transactions"), Before: before},
		Now:       func() time.Time { return time.Date(2026, 11, 30, 10, 15, 0, 0, time.UTC) },
		Engine:    func(*engine.Dockerd) Engine { return w.engine },
		Documents: func(string) (Document, error) { return w.doc, nil },
		Program:   runs(before),
		Talk:      func(string) {},
	}
}

// lay is how all files of the world stand.
type lay map[string]disk.State

func (w *world) lay(t *testing.T) lay {
	t.Helper()
	all := lay{}
	err := filepath.WalkDir(w.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path == w.path("transactions") {
			return filepath.SkipDir
		}
		s, err := disk.Look(path)
		if s.Folder {
			s.Modified, s.Links = time.Time{}, 0
		}
		if path == w.doc.path {
			s.Modified = time.Time{}
		}
		all[strings.TrimPrefix(path, w.dir)] = s
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// fakeEngine counts what it was told.
type fakeEngine struct {
	reloads, restarts int
	validated         string
	refuses           error // --validate
	fails             int   // restarts that it does not come back from
	down              bool
	since             time.Time // it runs
	restarted         func()    // what else happens then
}

func (e *fakeEngine) Validate(_ context.Context, config string) error {
	if config == "" {
		e.validated = "its own"
		return e.refuses
	}
	raw, err := os.ReadFile(config)
	e.validated = string(raw)
	return errors.Join(e.refuses, err)
}

func (e *fakeEngine) Reload(context.Context) error { e.reloads++; return nil }
func (e *fakeEngine) CanRestart() error            { return nil }

func (e *fakeEngine) Restart(context.Context) error {
	e.restarts++
	e.down = e.restarts <= e.fails
	if e.restarted != nil {
		e.restarted()
	}
	return nil
}

func (e *fakeEngine) Up(context.Context) error {
	if e.down {
		return errors.New("it does not stay up")
	}
	return nil
}

func (e *fakeEngine) Running(context.Context, time.Time) (time.Time, bool) {
	return e.since, !e.down
}

// fakeDocument is kept in a file, so that it outlives a process.
type fakeDocument struct {
	path   string
	before func(step, path string) error
	breaks []byte // what a put makes of it
}

func (d *fakeDocument) Read(context.Context) ([]byte, error) { return os.ReadFile(d.path) }
func (d *fakeDocument) Same(a, b []byte) bool                { return string(a) == string(b) }

func (d *fakeDocument) Put(_ context.Context, _, after []byte) error {
	if d.before != nil {
		if err := d.before("put", d.path); err != nil {
			return err
		}
	}
	if d.breaks != nil {
		return errors.Join(os.WriteFile(d.path, d.breaks, 0o600), errors.New("it holds something else"))
	}
	return os.WriteFile(d.path, after, 0o600)
}

// must is for what only fails if the test itself is broken.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
