package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// TestRecordedHosts holds rules against machines written as files. Each
// testdata/SUBJECT.txtar has cases: files named CASE/… are laid over those of
// base/…, as hosttest.Machine describes them, and CASE/want has lines of STIG
// ID, status and what the findings say among others.
func TestRecordedHosts(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no recorded hosts: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			for title, machine := range cases(t, name) {
				t.Run(title, func(t *testing.T) {
					t.Parallel()
					hold(t, machine)
				})
			}
		})
	}
}

// cases reads an archive: each case with what base has beside.
func cases(t *testing.T, name string) map[string]hosttest.Machine {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]hosttest.Machine{}
	for _, file := range txtar.Parse(raw).Files {
		title, path, _ := strings.Cut(file.Name, "/")
		if found[title] == nil {
			found[title] = hosttest.Machine{}
		}
		found[title][path] = string(file.Data)
	}
	base := found["base"]
	delete(found, "base")
	for _, machine := range found {
		for path, content := range base {
			if _, own := machine[path]; !own {
				machine[path] = content
			}
		}
	}
	return found
}

// hold asks a machine's rules for what it wants.
func hold(t *testing.T, machine hosttest.Machine) {
	t.Helper()
	h := machine.Host(t)
	want := strings.TrimSpace(machine["want"])
	if want == "" {
		t.Fatal("the case wants nothing")
	}
	for line := range strings.Lines(want) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		word, says, _ := strings.Cut(rest, " ")
		var status stig.Status
		if err := status.UnmarshalText([]byte(word)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if _, ok := rules.For(stig.ID(id)); !ok {
			t.Errorf("there is no rule for %s", id)
			continue
		}
		judge(t, stig.ID(id), h, status, says)
	}
}
