package audit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// auditd skips a test where the package is not installed. make deps installs
// it, and CI requires it.
func auditd(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("STIG_REQUIRE_ENGINE") != "" {
		t.Fatalf("%s is missing: apt-get install auditd", program)
	}
	t.Skipf("%s is missing", program)
}

// TestRealSearch has the real ausearch find records in a log.
func TestRealSearch(t *testing.T) {
	t.Parallel()
	auditd(t, "ausearch")
	log := filepath.Join(t.TempDir(), "audit.log")
	other := strings.NewReplacer(":101", ":102", "syscall=59", "syscall=257").Replace(head)
	text := strings.Join([]string{
		head, "type=EXECVE msg=audit(1763800000.123:101): argc=4 a0=\"docker\" a1=\"exec\" a2=\"--privileged\" a3=\"web\"",
		"type=CWD msg=audit(1763800000.123:101): cwd=\"/root\"", other, "",
	}, "\n")
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	search := func(key string) (string, string) {
		var said, wrong strings.Builder
		cmd := exec.CommandContext(t.Context(), "ausearch", "-if", log, "-k", key, "-m", "EXECVE", "-x", "docker")
		cmd.Stdout, cmd.Stderr = &said, &wrong
		_ = cmd.Run() // it exits 1 without matches
		return said.String(), wrong.String()
	}
	said, _ := search("docker")
	execs, err := ParseExecs([]byte(said))
	if err != nil || len(execs) != 1 || strings.Join(execs[0].Args, " ") != "docker exec --privileged web" || execs[0].Login != "1000" {
		t.Errorf("got %+v, %v of\n%s", execs, err, said)
	}
	if said, wrong := search("nothing"); said != "" || !strings.Contains(wrong, "<no matches>") {
		t.Errorf("without a match it says %q, %q", said, wrong)
	}
}

// TestRealRules reads the rules that the package has: its default, and its
// examples where they are installed.
func TestRealRules(t *testing.T) {
	t.Parallel()
	auditd(t, "auditctl")
	for _, folder := range []string{"/etc/audit/rules.d", "/usr/share/doc/auditd/examples/rules", "/usr/share/audit/sample-rules", "/usr/share/audit-rules"} {
		names, err := filepath.Glob(folder + "/*.rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if rules := ParseRules(raw); len(rules.Unread) > 0 {
				t.Errorf("%s: not understood: %q", name, rules.Unread)
			}
		}
	}
}
