package enforce

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const permissive = "{\n  // ours\n  \"content-trust\": {\"mode\": \"permissive\"},\n}\n"

// planned makes files with a plan for them, as Make does.
func planned(t *testing.T, daemon string, guard bool) (daemonFile, policyFile string, j Journal) {
	t.Helper()
	dir := t.TempDir()
	daemonFile, policyFile = filepath.Join(dir, "daemon.json"), filepath.Join(dir, "policy.json")
	if daemon != "" {
		write(t, daemonFile, daemon)
	}
	write(t, policyFile, permissive)
	d := &Dockerd{Socket: "/run/docker.sock", ConfigFile: daemonFile, Config: []byte(daemon)}
	plan, err := Make(d, policyFile, false, false, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if guard {
		after, err := policyAfter([]byte(permissive), d, true)
		if err != nil {
			t.Fatal(err)
		}
		plan.Journal.Files[0].After = after
	}
	return daemonFile, policyFile, plan.Journal
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func apply(t *testing.T, j Journal) {
	t.Helper()
	for _, f := range j.Files {
		if err := f.apply(); err != nil {
			t.Fatal(err)
		}
	}
}

func restore(t *testing.T, j Journal) {
	t.Helper()
	for range 2 { // twice does no harm
		for _, f := range j.Files {
			if err := f.restore(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFilesComeBack(t *testing.T) {
	t.Parallel()
	for name, daemon := range map[string]string{"one that is there": "{ \"debug\":true }\n", "none": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			daemonFile, policyFile, j := planned(t, daemon, false)
			apply(t, j)
			if got := read(t, daemonFile); !strings.Contains(got, PluginName) {
				t.Errorf("daemon.json is %s", got)
			}
			if got := read(t, policyFile); got != strings.Replace(permissive, "permissive", "enforced", 1) {
				t.Errorf("the policy is %s", got)
			}
			restore(t, j)
			if got := read(t, policyFile); got != permissive {
				t.Errorf("the policy is %s", got)
			}
			if daemon == "" {
				if _, err := os.Stat(daemonFile); !os.IsNotExist(err) {
					t.Errorf("daemon.json is still there: %v", err)
				}
				return
			}
			info, err := os.Stat(daemonFile)
			if err != nil || info.Mode().Perm() != 0o640 || read(t, daemonFile) != daemon {
				t.Errorf("daemon.json is %v %s (%v)", info.Mode(), read(t, daemonFile), err)
			}
		})
	}
}

// A cut in the middle leaves some files changed and others not.
func TestHalfOfItComesBack(t *testing.T) {
	t.Parallel()
	daemonFile, policyFile, j := planned(t, "{}", false)
	if err := j.Files[0].apply(); err != nil {
		t.Fatal(err)
	}
	restore(t, j)
	if read(t, daemonFile) != "{}" || read(t, policyFile) != permissive {
		t.Errorf("%s\n%s", read(t, daemonFile), read(t, policyFile))
	}
}

func TestWhatOthersChangedStays(t *testing.T) {
	t.Parallel()
	daemonFile, policyFile, j := planned(t, "{}", true)
	apply(t, j)
	write(t, daemonFile, strings.Replace(read(t, daemonFile), "]", `, "casbin"]`, 1))
	if text := read(t, policyFile); !strings.Contains(text, PrivateSocket) {
		t.Errorf("behind a guard the policy is %s", text)
	}
	write(t, policyFile, strings.Replace(read(t, policyFile), "// ours", "// theirs", 1))
	restore(t, j)
	if got := read(t, daemonFile); got != `{"authorization-plugins": ["casbin"]}` {
		t.Errorf("daemon.json is %s", got)
	}
	if got := read(t, policyFile); got != strings.Replace(permissive, "// ours", "// theirs", 1) {
		t.Errorf("the policy is %s", got)
	}
}

func TestAFileThatChangedMeanwhileIsLeftAlone(t *testing.T) {
	t.Parallel()
	daemonFile, _, j := planned(t, "{}", false)
	write(t, daemonFile, `{"debug": true}`)
	if err := j.Files[1].apply(); err == nil || read(t, daemonFile) != `{"debug": true}` {
		t.Errorf("%v, and it is %s", err, read(t, daemonFile))
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	folder := FolderIn(t.TempDir())
	if j, err := folder.Read(); j != nil || err != nil {
		t.Fatalf("%v, %v", j, err)
	}
	_, _, j := planned(t, `{"a": "secret"}`, false)
	if err := folder.write(j); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"journal.json", "daemon.json.original", "daemon.json.enabled", "policy.original", "policy.enabled"} {
		info, err := os.Stat(folder.path(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if got := read(t, folder.path("daemon.json.original")); got != `{"a": "secret"}` {
		t.Errorf("the original is %s", got)
	}
	again, err := folder.Read()
	if err != nil || len(again.Files) != 2 || string(again.Files[1].Before) != `{"a": "secret"}` {
		t.Errorf("%+v, %v", again, err)
	}
	if err := folder.clear(again); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(string(folder)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	write(t, folder.path("journal.json"), `{"Version": 99}`)
	if _, err := folder.Read(); err == nil {
		t.Error("a journal of another version was read")
	}
}

// A policy may have 32 MiB, and has to come back whatever its size.
func TestJournalOfALargePolicy(t *testing.T) {
	t.Parallel()
	folder := FolderIn(t.TempDir())
	before := bytes.Repeat([]byte("// a comment of the site\n"), 24<<20/25)
	j := Journal{Version: journalVersion, Files: []File{{Path: "/etc/docker-stig/policy.json", Kind: PolicyFile, Existed: true, Before: before, After: append(before, "// more\n"...)}}}
	if err := os.MkdirAll(string(folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := folder.keep(j); err != nil {
		t.Fatal(err)
	}
	again, err := folder.Read()
	if err != nil || !bytes.Equal(again.Files[0].Before, before) || !bytes.Equal(again.Files[0].After, j.Files[0].After) {
		t.Errorf("neither keeper nor disable can take it back: %v", err)
	}
}

// What cannot be taken back by is told before anything is changed.
func TestJournalThatCannotBeRead(t *testing.T) {
	t.Parallel()
	folder := FolderIn(t.TempDir())
	_, _, j := planned(t, "{}", false)
	if err := folder.keep(j); err != nil {
		t.Fatal(err)
	}
	write(t, folder.path("daemon.json.original"), "{ }")
	if _, err := folder.Read(); err == nil || !strings.Contains(err.Error(), "is not what was kept there") {
		t.Errorf("an original that was changed: %v", err)
	}
	j.Files[0].Before = make([]byte, maxPolicy+1)
	if err := folder.keep(j); err == nil {
		t.Error("a journal that nobody can read was kept")
	}
	if left, err := os.ReadDir(string(folder)); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "policy.json")
	write(t, path, permissive)
	d := &Dockerd{ConfigFile: filepath.Join(t.TempDir(), "daemon.json"), Args: []string{"dockerd", "--authorization-plugin", "casbin"}}
	if _, err := Make(d, path, false, false, testTime); err == nil || !strings.Contains(err.Error(), "casbin") {
		t.Errorf("plugins on the command line and in daemon.json: %v", err)
	}
	if err := GuardFits(&Dockerd{Managed: true, Args: []string{"dockerd", "-H", "unix:///run/docker.sock"}}, &Systemd{}); err == nil {
		t.Error("a guard before a socket that systemd does not hold")
	}
	if err := GuardFits(&Dockerd{Managed: true, Args: []string{"dockerd", "-H", "fd://"}}, &Systemd{}); err != nil {
		t.Error(err)
	}
}

// What is written is what the package ships for those who do it by hand.
func TestDropInIsThePackages(t *testing.T) {
	t.Parallel()
	settings := func(text string) string {
		var lines []string
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	packaged := read(t, "../../systemd/docker.socket-guard.conf")
	if diff := cmp.Diff(settings(packaged), settings(dropIn)); diff != "" {
		t.Errorf("-packaged +written:\n%s", diff)
	}
}

// A way back is gone to its end, whatever fails on it.
func TestMoveOutGoesOn(t *testing.T) {
	t.Parallel()
	init, said := recorder(t)
	script := read(t, init.Program) + "case \"$1\" in disable) exit 1;; esac\n"
	if err := os.WriteFile(init.Program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (Switch{Init: init}).moveOut(t.Context()); err == nil {
		t.Error("what failed is not told")
	}
	if steps := said(); steps[len(steps)-1] != "start docker.socket docker.service" {
		t.Errorf("the engine was not started: %q", steps)
	}
	if err := (Switch{Init: init}).moveIn(t.Context()); err != nil {
		t.Error(err)
	}
	if err := (Switch{}).moveOut(t.Context()); err == nil {
		t.Error("a guard was taken away without systemd")
	}
}
