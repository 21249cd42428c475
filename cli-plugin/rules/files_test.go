package rules_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
	"golang.org/x/sys/unix"
)

// TestRealFiles judges files that have the owners and modes on a real disk,
// below a root of their own.
func TestRealFiles(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root gives files away")
	}
	root := t.TempDir()
	file := func(name, content string, mode os.FileMode, owner, group int) {
		t.Helper()
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(full, owner, group); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(full, mode); err != nil { // after chown, which takes setuid away
			t.Fatal(err)
		}
	}
	const docker = 998
	file("etc/passwd", "root:x:0:0::/:\nbob:x:1000:1000::/:\n", 0o644, 0, 0)
	file("etc/group", "root:x:0:\ndocker:x:998:\n", 0o644, 0, 0)
	file("etc/os-release", "ID=ubuntu\n", 0o644, 0, 0)
	file("etc/docker/daemon.json", "{}", 0o644, 1000, 0)
	file("etc/default/docker", "", os.ModeSetuid|0o644, 0, 0)
	file("etc/docker/certs.d/a/ca.crt", "", 0o444, 0, 0)
	file("etc/docker/certs.d/b/ca.crt", "", 0o444, 0, 4711)
	file("usr/lib/systemd/system/docker.service", "", 0o644, 0, 0)
	file("run/x", "", 0o600, 0, 0)
	for link, target := range map[string]string{"lib": "usr/lib", "var/run": "../run", "etc/systemd/system/docker.socket": "/dev/null"} {
		full := filepath.Join(root, link)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, full); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(root, "run/docker.sock")
	if err := unix.Mknod(socket, unix.S_IFSOCK|0o660, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(socket, 0, docker); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o660); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "etc/docker/certs.d/a/pipe"), 0o444); err != nil {
		t.Fatal(err)
	}
	h := &host.Host{Files: host.NewDisk(root), Address: "unix:///var/run/docker.sock", Now: time.Now}
	judge(t, "DKER-EE-005170", h, stig.NotAFinding, "/usr/lib/systemd/system/docker.service: NotAFinding: root:root 0644")
	judge(t, "DKER-EE-005190", h, stig.NotAFinding, "docker.socket is masked")
	judge(t, "DKER-EE-005220", h, stig.NotAFinding, "root:root 0755")
	judge(t, "DKER-EE-005230", h, stig.Open, "it belongs to root:"+strconv.Itoa(4711))
	judge(t, "DKER-EE-005240", h, stig.NotReviewed, "it is a pipe where a file belongs")
	judge(t, "DKER-EE-005310", h, stig.NotAFinding, "/var/run/docker.sock: NotAFinding: root:docker 0660")
	judge(t, "DKER-EE-005320", h, stig.NotAFinding, "0660")
	judge(t, "DKER-EE-005330", h, stig.Open, "it belongs to bob:root")
	judge(t, "DKER-EE-005350", h, stig.NotAFinding, "root:root 4644")
	judge(t, "DKER-EE-005360", h, stig.Open, "its mode is 4644")
}
