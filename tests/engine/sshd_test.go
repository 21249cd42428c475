package engine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// An sshd is an SSH server on loopback that root signs in to with a key of the
// test's own. It is dropbear, whose package starts nothing by itself. Its
// sessions see the folder of the server's key where root's home is.
type sshd struct {
	port      int
	env       []string // lets ssh, on the path, sign in
	strangers string   // folder of an ssh that has no key
}

// startSSHD starts a server that ends with the test. Where there is none the
// test is skipped, and fails if STIG_REQUIRE_ENGINE is 1.
func startSSHD(t *testing.T) sshd {
	t.Helper()
	dropbear, ssh := sshProgram(t, "dropbear"), sshProgram(t, "ssh")
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	s := sshd{port: freePort(t), strangers: filepath.Join(dir, "strangers")}
	tool(t, sshProgram(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "id"))
	said := tool(t, sshProgram(t, "dropbearkey"), "-t", "ed25519", "-f", filepath.Join(dir, "host"))
	_, rest, _ := strings.Cut(said, "ssh-ed25519 ")
	hostKey, _, _ := strings.Cut(rest, " ")
	public, err := os.ReadFile(filepath.Join(dir, "id.pub"))
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("Host *\nUserKnownHostsFile %s/known\nStrictHostKeyChecking yes\nBatchMode yes\nIdentitiesOnly yes\n", dir)
	wrapper := func(config string) string { return fmt.Sprintf("#!/bin/sh\nexec %s -F %s \"$@\"\n", ssh, config) }
	writeFile(t, filepath.Join(home, ".ssh/authorized_keys"), string(public), 0o600)
	writeFile(t, filepath.Join(dir, "known"), fmt.Sprintf("[127.0.0.1]:%d ssh-ed25519 %s\n", s.port, hostKey), 0o600)
	writeFile(t, filepath.Join(dir, "config"), config+"IdentityFile "+dir+"/id\n", 0o600)
	writeFile(t, filepath.Join(dir, "stranger"), config+"IdentityFile "+dir+"/none\n", 0o600)
	writeFile(t, filepath.Join(dir, "bin/ssh"), wrapper(dir+"/config"), 0o700)
	writeFile(t, filepath.Join(s.strangers, "ssh"), wrapper(dir+"/stranger"), 0o700)
	s.env = []string{"PATH=" + dir + "/bin:" + os.Getenv("PATH")}

	root, err := osuser.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	// -e hands this environment to its sessions, in which docker has to be found.
	const script = `mount --bind "$1" "$2" && shift 2 && exec "$@"`
	server := exec.CommandContext(t.Context(), "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", home, root.HomeDir,
		dropbear, "-F", "-E", "-e", "-s", "-p", fmt.Sprintf("127.0.0.1:%d", s.port), "-r", filepath.Join(dir, "host"), "-P", filepath.Join(dir, "pid"))
	server.Env = []string{"PATH=" + os.Getenv("PATH")}
	var log strings.Builder
	server.Stderr = &log
	server.WaitDelay = 10 * time.Second
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Wait() // the test's context has ended it
		if t.Failed() {
			t.Logf("dropbear:\n%s", log.String())
		}
	})
	awaitListener(t, "tcp4", fmt.Sprintf("127.0.0.1:%d", s.port))
	return s
}

// sshProgram finds a program of dropbear-bin or openssh-client.
func sshProgram(t *testing.T, name string) string {
	t.Helper()
	for _, folder := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return path
		}
	}
	if os.Getenv(testbed.RequireEngine) == "1" {
		t.Fatalf("needs %s, as `make deps` installs it", name)
	}
	t.Skipf("needs %s", name)
	return ""
}

func tool(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// awaitListener waits until somebody takes connections.
func awaitListener(t *testing.T, network, address string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), network, address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens on %s: %v", address, err)
		}
	}
}
