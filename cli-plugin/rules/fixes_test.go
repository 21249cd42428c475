package rules_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// TestFixes holds fixes against machines written as files, in the form that
// testdata/fixes/fixes.txtar describes: what a fix wants is done to the files,
// and the rule asked again. Real engines are changed in tests/engine.
func TestFixes(t *testing.T) {
	t.Parallel()
	for title, machine := range cases(t, filepath.Join("testdata", "fixes", "fixes.txtar")) {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			for line := range strings.Lines(machine["fixed"]) {
				fixed(t, machine, stig.ID(strings.TrimSpace(line)))
			}
			for line := range strings.Lines(machine["wishes"]) {
				id, says, _ := strings.Cut(strings.TrimSpace(line), " ")
				if all := told(fixOf(t, machine, stig.ID(id))); !strings.Contains(all, says) {
					t.Errorf("%s wants %s\nwant %q among it", id, all, says)
				}
			}
			for line := range strings.Lines(machine["person"]) {
				id, says, _ := strings.Cut(strings.TrimSpace(line), " ")
				if wanted := fixOf(t, machine, stig.ID(id)); len(wanted.Changes) > 0 || !strings.Contains(strings.Join(wanted.Person, "\n"), says) {
					t.Errorf("%s wants %+v, want a person told: %s", id, wanted, says)
				}
			}
		})
	}
}

// told is all that a fix has to say.
func told(wanted change.Wanted) string {
	all := slices.Concat(wanted.Notes, wanted.Person)
	for _, c := range wanted.Changes {
		all = append(all, c.Subject()+": "+c.Wish())
	}
	return strings.Join(all, "\n")
}

func fixOf(t *testing.T, machine hosttest.Machine, id stig.ID) change.Wanted {
	t.Helper()
	rule, ok := rules.For(id)
	if !ok || rule.Fix == nil {
		t.Fatalf("%s has no fix", id)
	}
	wanted, err := rule.Fix(t.Context(), machine.Host(t))
	if err != nil {
		t.Errorf("%s: %v", id, err)
	}
	for _, c := range wanted.Changes {
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	return wanted
}

// fixed wants a rule open before its changes and passed after them.
func fixed(t *testing.T, machine hosttest.Machine, id stig.ID) {
	t.Helper()
	judge(t, id, machine.Host(t), stig.Open, "")
	after := maps.Clone(machine)
	for name, content := range machine {
		if rest, ok := strings.CutPrefix(name, "engine after/"); ok {
			after["engine/"+rest] = content
		}
	}
	for _, c := range fixOf(t, machine, id).Changes {
		done(t, after, c)
	}
	judge(t, id, after.Host(t), stig.NotAFinding, "")
}

// done makes a change to a machine's files.
func done(t *testing.T, m hosttest.Machine, c change.Change) {
	t.Helper()
	switch {
	case c.Option != nil:
		doc, err := []byte(m["root"+c.Option.File]), error(nil)
		if c.Option.Value == nil {
			doc, err = jsonedit.Remove(doc, c.Option.Pointer)
		} else {
			doc, err = jsonedit.Set(doc, c.Option.Pointer, c.Option.Value)
		}
		if err != nil {
			t.Fatal(err)
		}
		m["root"+c.Option.File] = string(doc)
		m["times"] = "2026-11-01T00:00:00Z " + c.Option.File + "\n" // the engine has read it
	case c.Owner != nil:
		m["modes"] = chowned(m["modes"], *c.Owner)
	case c.File != nil:
		m["root"+c.File.Path] = c.File.Content
	case c.Lines != nil:
		lines := strings.Join(c.Lines.Add, "\n") + "\n"
		m["root"+c.Lines.Path] += lines
		m["run/auditctl -l"] += lines
	default:
		t.Fatalf("a change of another kind: %+v", c)
	}
}

// chowned adds a line for a file with what is wanted of it, and the rest as it
// was.
func chowned(modes string, want change.Owner) string {
	owner, mode, kind := "root:root", "0644", ""
	for line := range strings.Lines(modes) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == want.Path {
			owner, mode, kind = fields[0], fields[1], strings.Join(fields[3:], " ")
		}
	}
	if want.User != "" {
		owner = want.User + ":" + want.Group
	}
	if want.Mode != "" {
		mode = want.Mode
	}
	return modes + strings.Join([]string{owner, mode, want.Path, kind}, " ") + "\n"
}
