package rules

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSocketDropIn asks systemd itself about the drop-in, and what it makes of
// one that is wrong.
func TestSocketDropIn(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		if os.Getenv("STIG_REQUIRE_ENGINE") != "" {
			t.Fatal("systemd-analyze is not installed: run make deps")
		}
		t.Skip("systemd-analyze is not installed")
	}
	for name, c := range map[string]struct{ dropIn, fault string }{
		"ours":  {dropIn: socketUnit},
		"wrong": {dropIn: strings.Replace(socketUnit, "SocketMode=", "SocketModus=", 1), fault: "SocketModus"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for path, text := range map[string]string{
				"/usr/lib/systemd/system/docker.socket":  "[Socket]\nListenStream=/run/docker.sock\nSocketMode=0666\n",
				"/usr/lib/systemd/system/docker.service": "[Service]\nExecStart=/bin/true\n",
				"/usr/lib/systemd/system/sysinit.target": "[Unit]\n",
				"/usr/lib/systemd/system/sockets.target": "[Unit]\n",
				"/usr/lib/systemd/system/basic.target":   "[Unit]\n",
				"/usr/lib/systemd/system/system.slice":   "[Unit]\n",
				"/usr/lib/systemd/system/-.slice":        "[Unit]\n",
				"/bin/true":                              "",
				socketDropIn:                             c.dropIn,
			} {
				file := filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Join(root, "/bin/true"), 0o755); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), analyze, "verify", "--root="+root, "docker.socket").CombinedOutput()
			said := strings.Contains(string(out), "docker-stig.conf")
			if c.fault == "" && (err != nil || said) || c.fault != "" && !strings.Contains(string(out), c.fault) {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}
