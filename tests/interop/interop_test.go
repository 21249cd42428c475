// Package interop has other people's programs read what docker stig writes.
// STIG Manager's parsers come from npm, once, into the cache; nothing else
// does, and no engine is needed: a recorded one is served from files.
package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine is the engine that is checked, as files.
const machine = "../cli/machines/dkr01"

// rows are the requirements of the guide, V2R2.
const rows = 101

// own is what docker stig itself says, in JSON.
type own struct {
	Target  struct{ HostName string }
	Summary struct{ Open, NotReviewed, NotAFinding, NotApplicable int }
	Results []struct{ RuleID, Status, Title string }
}

// read is what STIG Manager makes of a checklist.
type read struct {
	Target     struct{ Name string }
	Errors     []string
	Checklists []struct {
		BenchmarkID, RevisionStr string
		Stats                    map[string]int
		Reviews                  []struct{ RuleID, Result, Detail string }
	}
}

// TestSTIGManager: what was written is read whole, row by row.
func TestSTIGManager(t *testing.T) {
	t.Parallel()
	modules := clientModules(t)
	dir := t.TempDir()
	want := check(t, dir)
	for _, file := range []string{"out.ckl", "out.cklb"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			got := readWith(t, modules, filepath.Join(dir, file))
			if got.Target.Name != want.Target.HostName || len(got.Errors) > 0 || len(got.Checklists) != 1 {
				t.Fatalf("asset %q, errors %v, %d checklists; want asset %q and one checklist", got.Target.Name, got.Errors, len(got.Checklists), want.Target.HostName)
			}
			list := got.Checklists[0]
			if list.BenchmarkID != "Docker_Enterprise_2-x_Linux-UNIX_STIG" || list.RevisionStr != "V2R2" {
				t.Errorf("guide %s %s", list.BenchmarkID, list.RevisionStr)
			}
			if diff := cmp.Diff(counts(want), list.Stats); diff != "" {
				t.Errorf("counts: -ours +STIG Manager's:\n%s", diff)
			}
			ours, theirs := map[string]string{}, map[string]string{}
			for _, r := range want.Results {
				ours[r.RuleID] = results[r.Status]
			}
			for _, r := range list.Reviews {
				theirs[r.RuleID] = r.Result
				if r.Detail == "" {
					t.Errorf("%s has no detail", r.RuleID)
				}
			}
			if diff := cmp.Diff(ours, theirs); diff != "" || len(list.Reviews) != rows {
				t.Errorf("%d reviews: -ours +STIG Manager's:\n%s", len(list.Reviews), diff)
			}
		})
	}
}

// results are STIG Manager's words. A row that is Not_Reviewed and says why is
// "informational" there.
var results = map[string]string{
	"Open":           "fail",
	"NotAFinding":    "pass",
	"Not_Applicable": "notapplicable",
	"Not_Reviewed":   "informational",
}

// counts are those of our summary, under STIG Manager's names.
func counts(o own) map[string]int {
	return map[string]int{
		"pass": o.Summary.NotAFinding, "fail": o.Summary.Open, "notapplicable": o.Summary.NotApplicable, "informational": o.Summary.NotReviewed,
		"notchecked": 0, "notselected": 0, "error": 0, "fixed": 0, "unknown": 0,
	}
}

// check writes out.ckl and out.cklb, and gives what out.json has to say.
func check(t *testing.T, dir string) own {
	t.Helper()
	program := filepath.Join(dir, "docker-stig")
	run(t, "go", "build", "-trimpath", "-o", program, "github.com/docker-stig/docker-stig/cli-plugin/cmd/docker-stig")
	env := append(os.Environ(), "DOCKER_HOST="+recorded(t), "DOCKER_CONFIG="+dir, "HOME="+dir, "STIG_STATE="+dir, "STIG_SITE="+filepath.Join(dir, "site.yaml"))
	if err := os.WriteFile(filepath.Join(dir, "site.yaml"), []byte("asset: {fqdn: dkr01.example.com, comment: \"a < b & c\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"json", "ckl", "cklb"} {
		cmd := exec.CommandContext(t.Context(), program, "stig", "check", "--format", format, "-o", filepath.Join(dir, "out."+format))
		cmd.Env = env
		said, err := cmd.CombinedOutput()
		if exited := new(exec.ExitError); !errors.As(err, &exited) || exited.ExitCode() != 2 { // the machine has open findings
			t.Fatalf("docker stig check --format %s: %v\n%s", format, err, said)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	var o own
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	s := o.Summary
	if len(o.Results) != rows || slices.Min([]int{s.Open, s.NotReviewed, s.NotAFinding, s.NotApplicable}) == 0 {
		t.Fatalf("%d results, %+v: want %d, and each status among them", len(o.Results), s, rows)
	}
	return o
}

// recorded serves the machine's files as an engine does, and gives its address.
func recorded(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // behind the version
		raw, err := os.ReadFile(filepath.Join(machine, filepath.FromSlash(path)+".json"))
		switch {
		case r.URL.Path == "/_ping":
		case err != nil:
			w.WriteHeader(http.StatusNotFound)
			_, _ = fmt.Fprintf(w, `{"message": "the recorded engine has no %s"}`, path)
		default:
			_, _ = w.Write(raw)
		}
	}))
	t.Cleanup(server.Close)
	return "tcp://" + server.Listener.Addr().String()
}

// readWith has STIG Manager's parsers read a file.
func readWith(t *testing.T, modules, file string) read {
	t.Helper()
	// A module finds others in the folder node_modules beside it.
	dir := t.TempDir()
	driver, err := os.ReadFile("testdata/read.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "read.mjs"), driver, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	var got []read
	if err := json.Unmarshal(run(t, "node", filepath.Join(dir, "read.mjs"), file), &got); err != nil || len(got) != 1 {
		t.Fatalf("%d checklists read: %v", len(got), err)
	}
	return got[0]
}

// run runs a program that has to succeed, and gives what it says.
func run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, out, stderr.String())
	}
	return out
}
