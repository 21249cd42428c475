package engine

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// TestFixAudit has the real augenrules compile the rules of a fix, and the
// kernel take them where it follows nobody else's.
func TestFixAudit(t *testing.T) {
	h := newFailingHost(t, testbed.Docker, "{}\n", func(*failingHost) map[string]any { return map[string]any{} })
	before := h.snapshot(t)
	h.stig(t, 0, "fix", "DKER-EE-001090", "--yes")
	after := h.snapshot(t)
	if got := after["/etc/audit/rules.d/docker.rules"]; !strings.HasPrefix(got, "f 0:0 640") {
		t.Errorf("the file of rules is %q", got)
	}
	check := h.by(t, "augenrules", "--check")
	if check.code != 0 || !strings.Contains(check.stdout, "No change") || before["/etc/audit/audit.rules"] == after["/etc/audit/audit.rules"] {
		t.Errorf("augenrules says %q, %s", check.stdout, check.stderr)
	}
	file := h.path("etc/audit/rules.d/docker.rules")
	t.Run("the kernel takes them", func(t *testing.T) { loaded(t, file) })

	h.stig(t, 0, "undo", "--yes")
	if check := h.by(t, "augenrules", "--check"); !strings.Contains(check.stdout, "No change") || len(strings.TrimSpace(h.by(t, "auditctl", "-l").stdout)) != len("No rules") {
		t.Errorf("taken back, augenrules says %q", check.stdout)
	}
	h.locked(t)
	h.byHand(t)
}

// locked has a kernel that takes no rules any more: they are written, and
// count when the host starts again.
func (h *failingHost) locked(t *testing.T) {
	t.Helper()
	double := read(t, h.path("auditctl"))
	writeFile(t, h.path("auditctl"), strings.Replace(strings.Replace(double, "enabled 1", "enabled 2", 1), "-R) ", "-R) exit 1; ", 1), 0o755)
	out := h.stig(t, 2, "fix", "DKER-EE-001090", "--yes")
	contains(t, out.stdout, "the kernel takes no audit rules any more (-e 2)")
	contains(t, h.by(t, "augenrules", "--check").stdout, "Rules have changed and should be updated")
	h.stig(t, 0, "undo", "--yes")
	writeFile(t, h.path("auditctl"), double, 0o755)
}

// byHand has a file of compiled rules that augenrules did not compile.
func (h *failingHost) byHand(t *testing.T) {
	t.Helper()
	const rules = "-D\n-w /etc/shadow -p wa -k ours\n"
	writeFile(t, h.path("etc/audit/audit.rules"), rules, 0o640)
	contains(t, h.stig(t, 2, "fix", "DKER-EE-001090", "--yes").stdout, "augenrules --load would lose it")
	if got := read(t, h.path("etc/audit/audit.rules")); got != rules {
		t.Errorf("it holds %q", got)
	}
}

// loaded has the kernel follow the rules of a file for a moment. It does not
// record meanwhile what it did not record before.
func loaded(t *testing.T, file string) {
	t.Helper()
	auditctl := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "/usr/sbin/auditctl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("auditctl %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if status, err := audit.ParseStatus([]byte(auditctl("-s"))); err != nil || status.Enabled || strings.TrimSpace(auditctl("-l")) != "No rules" {
		t.Skipf("unsupported here: the kernel's audit system is in use, or cannot be asked (%v)", err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for line := range strings.Lines(string(raw)) {
			if words := strings.Fields(line); len(words) == 4 {
				_ = exec.Command("/usr/sbin/auditctl", "-W", words[1], "-k", words[3]).Run() // what was not taken is not there
			}
		}
	}()
	auditctl("-R", file)
	took := audit.ParseRules([]byte(auditctl("-l")))
	if wanted := audit.ParseRules(raw); len(took.Watches) != len(wanted.Watches) || len(wanted.Watches) < 5 {
		t.Errorf("of %d watches, the kernel took %d: %+v", len(wanted.Watches), len(took.Watches), took)
	}
}
