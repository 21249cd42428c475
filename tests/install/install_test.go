// Package install proves `make install`: the docker client finds the plugin
// where root and where a user puts it, and runs it. What the plugin then does
// is proved elsewhere.
package install

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is a user without a home, whom every Linux has.
const nobody = 65534 // uid and gid, Linux Standard Base

// A made is a scratch folder with what `make install` needs when there is
// nothing left to build: the Makefile and the programs.
type made struct {
	dir     string
	version string
}

// build makes the programs with a version of their own, so that no plugin
// that happens to be on this machine can answer in their place.
func build(t *testing.T) made {
	t.Helper()
	dir := filepath.Join(scratch(t), "checkout")
	version := "0.0.0-install+p" + strconv.Itoa(os.Getpid())
	run(t, command{dir: "../..", args: []string{"make", "build", "BIN=" + filepath.Join(dir, "bin"), "VERSION=" + version}})
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), makefile, 0o644); err != nil {
		t.Fatal(err)
	}
	return made{dir: dir, version: version}
}

// scratch is a temporary folder that every user can look into, which
// t.TempDir need not be.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "docker-stig-install-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestInstallForAUser(t *testing.T) {
	requireDocker(t)
	m := build(t)
	home := filepath.Join(scratch(t), "home")
	user := command{dir: m.dir, env: []string{"HOME=" + home, "DOCKER_CONFIG="}}
	makeHome(t, home, &user)

	// -o build: the programs are there, and this user may not read Go's caches.
	out := run(t, user.with("make", "-o", "build", "install"))
	plugin := filepath.Join(home, ".docker/cli-plugins/docker-stig")
	for _, want := range []string{plugin, "sudo docker does not look there"} {
		if !strings.Contains(out, want) {
			t.Errorf("make install does not say %q:\n%s", want, out)
		}
	}
	if info, err := os.Stat(plugin); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%s: %v, %v; want mode 0755", plugin, info, err)
	}
	if out := run(t, user.with("docker", "stig", "version")); !strings.Contains(out, m.version) {
		t.Errorf("docker stig version says %q, want the version %s", out, m.version)
	}

	// DOCKER_CONFIG moves the folder that the client looks in.
	elsewhere := user.with("docker", "stig", "version")
	elsewhere.env = append(elsewhere.env, "DOCKER_CONFIG="+filepath.Join(home, ".docker"), "HOME=/nonexistent")
	if out := run(t, elsewhere); !strings.Contains(out, m.version) {
		t.Errorf("with DOCKER_CONFIG, docker stig version says %q, want the version %s", out, m.version)
	}
}

// makeHome makes the user's home, and the user another one than root.
func makeHome(t *testing.T, home string, user *command) {
	t.Helper()
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return
	}
	user.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
}

// TestInstallForRoot runs in a mount namespace of its own, in which
// /usr/local/lib is an empty folder in memory: the machine keeps its own.
func TestInstallForRoot(t *testing.T) {
	requireDocker(t)
	if os.Geteuid() != 0 {
		skip(t, "it takes root to install for every user")
	}
	m := build(t)
	home := scratch(t)
	out := run(t, command{
		dir: m.dir,
		env: []string{"HOME=" + home, "DOCKER_CONFIG="},
		args: []string{"unshare", "--mount", "--propagation", "private", "sh", "-euc", `
			mount -t tmpfs tmpfs /usr/local/lib
			make -o build install
			stat -c '%n %a %U:%G' /usr/local/lib/docker/cli-plugins/docker-stig
			docker stig version
			HOME=/nonexistent setpriv --reuid=65534 --regid=65534 --clear-groups docker stig version
		`},
	})
	for _, want := range []string{
		"installed /usr/local/lib/docker/cli-plugins/docker-stig",
		"/usr/local/lib/docker/cli-plugins/docker-stig 755 root:root",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out, m.version); n != 2 {
		t.Errorf("root and another user ought to see version %s, %d of them did:\n%s", m.version, n, out)
	}
	if strings.Contains(out, "sudo docker") {
		t.Errorf("root is told about sudo:\n%s", out)
	}
}

func TestInstallIntoDestdir(t *testing.T) {
	m := build(t)
	dest, home := t.TempDir(), "/home/somebody"
	plugins := home + "/.docker/cli-plugins"
	if os.Geteuid() == 0 {
		plugins = "/usr/local/lib/docker/cli-plugins"
	}
	run(t, command{
		dir: m.dir, env: []string{"HOME=" + home},
		args: []string{"make", "-o", "build", "install", "DESTDIR=" + dest},
	})
	plugin := filepath.Join(dest, plugins, "docker-stig")
	out := run(t, command{args: []string{plugin, "docker-cli-plugin-metadata"}})
	if !strings.Contains(out, m.version) || !strings.Contains(out, `"SchemaVersion"`) {
		t.Errorf("%s describes itself as %s, want a docker plugin of version %s", plugin, out, m.version)
	}
}

// A command is a program to run, in dir and with env added to ours.
type command struct {
	dir  string
	env  []string
	attr *syscall.SysProcAttr
	args []string
}

func (c command) with(args ...string) command {
	c.args, c.env = args, append([]string(nil), c.env...)
	return c
}

// run gives what the command said on both its outputs, and ends the test if it
// fails.
func run(t *testing.T, c command) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // a build without a cache on two cores
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.SysProcAttr = c.dir, c.attr
	// Flags of a make that runs the tests are not meant for the make they run.
	cmd.Env = append(os.Environ(), append([]string{"MAKEFLAGS=", "MAKELEVEL="}, c.env...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(c.args, " "), err, &out)
	}
	return out.String()
}

func requireDocker(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil {
		skip(t, "there is no docker client: make deps installs one")
	}
}

// skip leaves the test out where it cannot run, and fails it where everything
// has to.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
		t.Fatalf("STIG_REQUIRE_ENGINE=1, but %s", why)
	}
	t.Skip(why)
}
