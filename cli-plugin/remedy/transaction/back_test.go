package transaction

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
)

// needs is a document that is read over an engine: a container, a swarm.
type needs struct {
	*fakeDocument
	engine *fakeEngine
}

func (d needs) Read(ctx context.Context) ([]byte, error) {
	if d.engine.down {
		return nil, errors.New("the engine does not answer")
	}
	return d.fakeDocument.Read(ctx)
}

// overEngine has the world's document be of its engine.
func (w *world) overEngine() Runner {
	r := w.runner(nil)
	r.Documents = func(string) (Document, error) { return needs{w.doc, w.engine}, nil }
	return r
}

// TestEngineIsBackBeforeDocuments is about an engine that ends after all was
// changed: what is read over it needs it first.
func TestEngineIsBackBeforeDocuments(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	err := w.overEngine().Apply(t.Context(), must(w.journal()), func(context.Context) error {
		w.engine.down = true
		return errors.New("the engine is gone")
	}, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left != nil {
		t.Errorf("got %v", err)
	}
	if w.engine.down || w.engine.restarts != 2 {
		t.Errorf("the engine: %+v", w.engine)
	}
	w.isAs(t, 0, before)
}

// TestNeverBegunIsLeft wants a document that a transaction did not come to not
// to be asked for when that is taken back.
func TestNeverBegunIsLeft(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	r := w.runner(nil)
	r.Documents = func(string) (Document, error) { return nil, errors.New("nobody may ask") }
	w.engine.fails = 1
	err := r.Apply(t.Context(), must(w.journal()), nil, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left != nil {
		t.Errorf("got %v", err)
	}
}

// TestEngineIsNotLeftDown is about a file that others have changed meanwhile:
// the engine is not told of half a way back, and runs all the same.
func TestEngineIsNotLeftDown(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	w.engine.fails = 1
	w.engine.restarted = func() {
		if err := os.WriteFile(w.path("key.pem"), []byte("of others"), 0o600); err != nil {
			t.Error(err)
		}
	}
	err := w.runner(nil).Apply(t.Context(), must(w.journal()), nil, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left == nil || !strings.Contains(err.Error(), "others have changed it") {
		t.Errorf("got %v", err)
	}
	if w.engine.down {
		t.Error("the engine is down")
	}
}

// TestRunningEngineIsNotRestarted takes back what takes a reload from an engine
// that runs, and that nobody has agreed to restart.
func TestRunningEngineIsNotRestarted(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	j := must(w.journal())
	j.Tell = change.Reload
	err := w.runner(func(step, _ string) error {
		if step == "put" {
			return errors.New("refused")
		}
		return nil
	}).Apply(t.Context(), j, nil, nil)
	if back := new(RolledBack); !errors.As(err, &back) || back.Left != nil {
		t.Errorf("got %v", err)
	}
	if w.engine.restarts != 0 || w.engine.reloads != 2 {
		t.Errorf("the engine: %+v", w.engine)
	}
}

// TestStartedMeanwhile is about a machine that went down after files were
// changed, and before the engine was told: it has started with them since.
func TestStartedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		since        time.Duration // after the transaction began
		tell         change.Disruption
		sticky       bool
		allowRestart bool
		want         fakeEngine
		pending      bool // daemon.json counts as newer than the engine
	}{
		"it runs on":               {since: -time.Hour, tell: change.Restart},
		"it may be restarted":      {since: time.Hour, tell: change.Restart, allowRestart: true, want: fakeEngine{restarts: 1}},
		"it may not be restarted":  {since: time.Hour, tell: change.Restart, pending: true},
		"it reads its file again":  {since: time.Hour, tell: change.Reload, want: fakeEngine{reloads: 1}},
		"it keeps some of it":      {since: time.Hour, tell: change.Reload, sticky: true, want: fakeEngine{reloads: 1}, pending: true},
		"it keeps none of it then": {since: time.Hour, tell: change.Reload, sticky: true, allowRestart: true, want: fakeEngine{restarts: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := furnished(t)
			before := w.lay(t)
			j := must(w.journal())
			j.Tell, j.Sticky = test.tell, test.sticky
			r := w.runner(nil)
			j.Version, j.Phase, j.Begun = journalVersion, Applying, r.Now()
			if err := errors.Join(r.Store.begin(j), r.changeFiles(t.Context(), j)); err != nil {
				t.Fatal(err)
			}
			w.engine.since = j.Begun.Add(test.since)
			r.AllowRestart = test.allowRestart
			var said []string
			r.Talk = func(text string) { said = append(said, text) }
			if err := r.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			now := w.lay(t)
			if !now["/daemon.json"].Same(before["/daemon.json"]) || w.engine.restarts != test.want.restarts || w.engine.reloads != test.want.reloads {
				t.Errorf("%+v, %+v", now["/daemon.json"], w.engine)
			}
			if pending := now["/daemon.json"].Modified.Equal(r.Now()); pending != test.pending {
				t.Errorf("it is of %v", now["/daemon.json"].Modified)
			}
			if told := strings.Contains(strings.Join(said, "\n"), "until it is restarted"); told != test.pending {
				t.Errorf("said %q", said)
			}
		})
	}
}

// TestGoneOrElsewhere treats a document that is gone, and a path that is a link
// now, as changed by others.
func TestGoneOrElsewhere(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	before := w.lay(t)
	r := w.runner(nil)
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(w.doc.path), os.Rename(w.path("key.pem"), w.path("moved")), os.Symlink("moved", w.path("key.pem"))); err != nil {
		t.Fatal(err)
	}
	err := r.Undo(t.Context(), j, false)
	refused := new(Changed)
	if !errors.As(err, &refused) || len(refused.Steps) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"a symbolic link stands there now", "it is not there any more"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	if err := r.Undo(t.Context(), must(r.Store.Read(j.ID)), true); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(w.path("daemon.json")); err != nil || string(now) != string(before["/daemon.json"].Bytes) {
		t.Errorf("%q, %v", now, err)
	}
}

// TestOthersValuesAreNotRepeated names what others have changed, and no value.
func TestOthersValuesAreNotRepeated(t *testing.T) {
	t.Parallel()
	w := furnished(t)
	r := w.runner(nil)
	j := must(w.journal())
	if err := r.Apply(t.Context(), j, nil, nil); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"daemon.json": `{"debug": false, "proxies": {"http-proxy": "u:secret@p"}}`, "new/unit.d/stig.conf": "secret\n", "api": "secret",
	} {
		if err := os.WriteFile(w.path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := r.Undo(t.Context(), j, false)
	if refused := new(Changed); !errors.As(err, &refused) || len(refused.Steps) != 3 {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "/proxies/http-proxy") {
		t.Errorf("got %v", err)
	}
}
