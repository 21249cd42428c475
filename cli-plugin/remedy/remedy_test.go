package remedy

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/documents"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// newHost is one whose files are this machine's.
func newHost() *host.Host {
	return &host.Host{Engine: &hosttest.Engine{}, Address: "unix:///e.sock", Files: host.NewDisk("/"), Programs: host.LocalPrograms{}, Now: time.Now}
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mode(path, mode string, rule stig.ID) change.Change {
	return change.Change{Serves: []stig.ID{rule}, Disruption: change.None, Owner: &change.Owner{Path: path, Mode: mode}}
}

func lines(path string, rule stig.ID, add ...string) change.Change {
	return change.Change{Serves: []stig.ID{rule}, Disruption: change.None, Lines: &change.Lines{Path: path, Add: add, Then: change.LoadAudit}}
}

func plan(t *testing.T, o Options, wishes ...change.Change) Plan {
	t.Helper()
	p, err := Compose(t.Context(), newHost(), wishes, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestComposeOneStepForAFile lets rules add lines to one file and set its mode,
// through a link.
func TestComposeOneStepForAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "docker.rules"), "-w /a\n")
	link := filepath.Join(dir, "link")
	if err := os.Symlink("docker.rules", link); err != nil {
		t.Fatal(err)
	}
	wishes := []change.Change{lines(path, "A", "-w /b"), mode(link, "0640", "C"), lines(path, "B", "-w /c"), lines(path, "D", "-w /b")}
	p := plan(t, Options{}, wishes...)
	if len(p.steps) != 1 || len(p.Changes) != 3 {
		t.Fatalf("got %+v", p)
	}
	step := p.steps[0]
	if string(step.After.Bytes) != "-w /a\n-w /b\n-w /c\n" || step.After.Mode != 0o640 || !cmp.Equal(step.Serves, []stig.ID{"A", "B", "C", "D"}) {
		t.Errorf("got %+v", step)
	}
	if diff := cmp.Diff([]change.Then{change.LoadAudit}, p.then()); diff != "" {
		t.Error(diff)
	}
	var out strings.Builder
	if err := p.Show(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"serves A, B, C, D, disrupts: none", "+-w /b\n+-w /c\n", "0600 becomes ", " 0640\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, out.String())
		}
	}
}

// TestComposeLeavesOut says why something is not changed.
func TestComposeLeavesOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "file"), "x")
	if err := os.Link(path, filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	byName := mode(path, "0400", "A")
	byName.ByName = "the site's own value"
	forGood := change.Change{Serves: []stig.ID{"A"}, Disruption: change.None, Irrevocable: "it is done", Program: &change.Program{Argv: []string{"true"}}}
	for name, test := range map[string]struct {
		wish change.Change
		o    Options
		want string
	}{
		"by name alone":      {byName, Options{}, "the site's own value: name the rule"},
		"for good":           {forGood, Options{Asks: true}, "give --accept-irrevocable"},
		"two names":          {lines(path, "A", "y"), Options{}, "no regular file of one name"},
		"a dangling link":    {mode(filepath.Join(dir, "dangling"), "0600", "A"), Options{}, "dangling link to nowhere"},
		"it is not there":    {mode(filepath.Join(dir, "none"), "0600", "A"), Options{}, "not there"},
		"a folder's content": {lines(dir, "A", "y"), Options{}, "no regular file of one name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := plan(t, test.o, test.wish)
			if !p.Empty() || len(p.LeftOut) != 1 || !strings.Contains(p.LeftOut[0].Why, test.want) {
				t.Errorf("got %+v, want %q", p, test.want)
			}
		})
	}
	if p := plan(t, Options{Named: true}, byName); p.Empty() {
		t.Error("asked for by name, it is left out")
	}
	if p := plan(t, Options{}, mode(path, "0600", "A")); !p.Empty() || len(p.LeftOut) > 0 {
		t.Errorf("what is so already is wanted: %+v", p)
	}
	remote := newHost()
	remote.Programs = nil
	p, err := Compose(t.Context(), remote, []change.Change{mode(path, "0400", "A")}, Options{})
	if err != nil || !p.Empty() || len(p.LeftOut) != 1 {
		t.Errorf("of a remote host: %+v, %v", p, err)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "file"), "x")
	wish := mode(path, "0400", "A")
	store := transaction.StoreIn(t.TempDir())
	r := transaction.Runner{Store: store, Now: time.Now, Talk: func(string) {}}
	apply := func(again func(context.Context) (Plan, error)) error {
		_, _, err := plan(t, Options{}, wish).Apply(t.Context(), r, again, Options{})
		return err
	}
	for name, outcome := range map[string]struct {
		plan Plan
		err  error
	}{
		"still wanted":     {plan: Plan{Changes: []Planned{{Change: wish}}}},
		"cannot be looked": {err: errors.New("gone")},
	} {
		err := apply(func(context.Context) (Plan, error) { return outcome.plan, outcome.err })
		if back := new(transaction.RolledBack); !errors.As(err, &back) || back.Left != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s, err := disk.Look(path); err != nil || s.Mode != 0o600 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	if err := apply(func(ctx context.Context) (Plan, error) {
		return Compose(ctx, newHost(), []change.Change{wish}, Options{})
	}); err != nil {
		t.Fatal(err)
	}
	if s, err := disk.Look(path); err != nil || s.Mode != 0o400 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestSame holds a plan that was written down against facts that change.
func TestSame(t *testing.T) {
	t.Parallel()
	path := write(t, filepath.Join(t.TempDir(), "file"), "x\n")
	file := filepath.Join(t.TempDir(), "plan.json")
	wishes := []change.Change{lines(path, "A", "y")}
	raw, err := plan(t, Options{}, wishes...).Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(raw))
	written, err := ReadPlan(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan(t, Options{}, wishes...).Same(written); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
	more := append(wishes, mode(path, "0400", "B"))
	if err := plan(t, Options{}, more...).Same(written); err == nil || !strings.Contains(err.Error(), "by now, this is wanted too") {
		t.Errorf("more is wanted: %v", err)
	}
	write(t, path, "z\n")
	if err := plan(t, Options{}, wishes...).Same(written); err == nil || !strings.Contains(err.Error(), "facts that have changed") {
		t.Errorf("the file has changed: %v", err)
	}
	written.Engine = "tcp://other"
	if err := plan(t, Options{}, wishes...).Same(written); err == nil || !strings.Contains(err.Error(), "tcp://other") {
		t.Errorf("another engine: %v", err)
	}
	for _, spoilt := range []string{"", "{", `{"version": 99}`, `{"version": 1, "more": 1}`} {
		if _, err := decodePlan("plan.json", []byte(spoilt)); err == nil {
			t.Errorf("%q is a plan", spoilt)
		}
	}
}

func FuzzDecodePlan(f *testing.F) {
	f.Add([]byte(`{"version":1,"changes":[{"serves":["A"],"disruption":"none","owner":{"path":"/f","mode":"0400"},"from":"x"}]}`))
	f.Add([]byte(`{"version":1,"changes":[{"serves":["A"],"disruption":"none","file":{"path":"/f","sha256":"x"}},{"serves":["A"],"disruption":"none","file":{"path":"/g","remove":true}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePlan("plan.json", raw)
		if err != nil {
			return
		}
		if err := p.Same(p); err != nil {
			t.Errorf("%q is not the same as itself: %v", raw, err)
		}
	})
}

// TestMakeNamesWhatNeedsAPerson asks all rules of an engine that has little.
func TestMakeNamesWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	guide, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Make(t.Context(), newHost(), Options{Guide: guide, Requirements: guide.Requirements, Open: documents.Places{}.Open, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Requirements) != len(guide.Requirements) || len(p.Manual)+len(p.Unknown) == 0 || len(p.Checklist().Results) != len(guide.Requirements) {
		t.Errorf("%d requirements, %d for a person, %d unknown", len(p.Requirements), len(p.Manual), len(p.Unknown))
	}
	named, _ := guide.Find("V-235847")
	p, err = Make(t.Context(), newHost(), Options{Guide: guide, Requirements: []benchmark.Requirement{named}, Named: true, Now: time.Now})
	if err != nil || !p.Empty() || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "V-235847 does not apply") {
		t.Errorf("got %+v, %v", p, err)
	}
	silent := newHost()
	silent.Engine = &hosttest.Engine{Err: errors.New("gone")}
	p, err = Make(t.Context(), silent, Options{Guide: guide, Requirements: []benchmark.Requirement{named}, Named: true, Now: time.Now})
	if err != nil || !p.Empty() || len(p.Unknown) != 1 {
		t.Errorf("of a silent engine: %+v, %v", p, err)
	}
}
