package engine

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// mountedHost is the disk of a host that does not run: owners of its own,
// links that mean its own root, and no /proc.
func mountedHost(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"etc/os-release":         "ID=ubuntu\nVERSION_ID=\"20.04\"\nPRETTY_NAME=\"Ubuntu 20.04 LTS\"\n",
		"etc/passwd":             "root:x:0:0::/root:/bin/sh\ndockeradm:x:1234:4321::/:/bin/sh\n",
		"etc/group":              "root:x:0:\ndocker:x:4321:\n",
		"srv/docker/daemon.json": "{}",
		"etc/docker/certs.d/reg.example.com/ca.crt": "-",
		"usr/lib/systemd/system/docker.service":     "[Service]\nExecStart=/usr/bin/dockerd\n",
		"usr/lib/systemd/system/docker.socket":      "[Socket]\nListenStream=/run/docker.sock\n",
		"run/x":                                     "",
	} {
		writeFile(t, filepath.Join(root, name), content, 0o644)
	}
	socket := filepath.Join(root, "run/docker.sock")
	err := errors.Join(
		os.Symlink("/srv/docker/daemon.json", filepath.Join(root, "etc/docker/daemon.json")),
		os.Symlink("../../../../../../../../etc/default-docker", filepath.Join(root, "etc/default")), // out, were this its root
		os.Mkdir(filepath.Join(root, "etc/default-docker"), 0o755),
		os.WriteFile(filepath.Join(root, "etc/default-docker/docker"), nil, 0o600),
		os.Mkdir(filepath.Join(root, "var"), 0o755),
		os.Symlink("/run", filepath.Join(root, "var/run")),
		os.Chown(filepath.Join(root, "srv/docker/daemon.json"), 1234, 4321),
		syscall.Mknod(socket, syscall.S_IFSOCK|0o660, 0),
		os.Chmod(socket, 0o660),
		os.Chown(socket, 0, 4321),
	)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestMountedHost checks an engine with the disk of a host that is mounted.
func TestMountedHost(t *testing.T) {
	b := newBed(t, testbed.Docker)
	root := mountedHost(t)
	got := rowsOf(t, b.run(t, nil, append(canaryView(t), b.variable("STIG_DOCKER"), "stig", "check", "--format", "json", "--host-root", root)...))
	if strings.Contains(got.stdout+got.stderr, planted) {
		t.Error("the local disk shows")
	}
	for id, want := range map[string]struct {
		status stig.Status
		says   string
	}{
		"V-235867": {stig.Open, "it belongs to dockeradm:docker"}, // daemon.json, behind a link
		"V-235865": {stig.NotAFinding, "root:docker"},             // the socket, below a link
		"V-235866": {stig.NotAFinding, "0660"},
		"V-235855": {stig.NotAFinding, "/etc/docker: root:root"}, // its folder
		"V-235776": {stig.NotReviewed, "it has no /proc"},        // the process
		"V-235791": {stig.NotReviewed, "it has no /proc"},
		"V-235813": {stig.NotReviewed, "programs of a host that is only"}, // ausearch
		"V-235831": {stig.Open, "json-file (running engine"},              // the engine
		"V-235869": {stig.NotAFinding, "/etc/default/docker: root:root"},  // behind a link that climbs
	} {
		if r := got.rows[id]; r.Status != want.status || !strings.Contains(r.Details, want.says) {
			t.Errorf("%s is %v, want %v with %q: %s", id, r.Status, want.status, want.says, r.Details)
		}
	}
}

// TestBadConfigurations spoils the daemon.json of an engine that runs. What
// rests on it is not judged, and the rest is.
func TestBadConfigurations(t *testing.T) {
	b := newBed(t, testbed.Docker)
	sound := b.check(t, nil, nil)
	name := b.DaemonJSON()
	for title, spoil := range map[string]func() error{
		"no JSON":         func() error { return os.WriteFile(name, []byte(`{"userland-proxy": fal`), 0o600) },
		"no object":       func() error { return os.WriteFile(name, []byte(`[1]`), 0o600) },
		"a dangling link": func() error { return os.Symlink(name+".gone", name) },
		"a link to self":  func() error { return os.Symlink(name, name) },
		"a pipe":          func() error { return syscall.Mkfifo(name, 0o600) },
		"a folder":        func() error { return os.Mkdir(name, 0o755) },
		"gone":            func() error { return nil },
		"huge":            func() error { return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 1<<30)) },
	} {
		t.Run(title, func(t *testing.T) {
			if err := errors.Join(os.RemoveAll(name), spoil()); err != nil {
				t.Fatal(err)
			}
			got := b.check(t, nil, nil)
			for id, r := range got.rows {
				if strings.Contains(r.Details, "please report this") {
					t.Errorf("%s breaks: %s", id, r.Details)
				}
				if r.Status != stig.NotReviewed && r.Status != sound.rows[id].Status {
					t.Errorf("%s is %v, and %v with a sound file: %s", id, r.Status, sound.rows[id].Status, r.Details)
				}
			}
			if r := got.rows["V-235791"]; r.Status != stig.NotReviewed || !strings.Contains(r.Details, "daemon.json") {
				t.Errorf("userland-proxy is %v: %s", r.Status, r.Details)
			}
			if r := got.rows["V-235867"]; r.Status != sound.rows["V-235867"].Status {
				t.Errorf("the file at its fixed place is %v: %s", r.Status, r.Details)
			}
		})
	}
}

// TestVanishingContainers makes and removes containers while they are asked
// about.
func TestVanishingContainers(t *testing.T) {
	b := newBed(t, testbed.Docker)
	image := b.must(t)(b.UnsignedImage(t.Context(), "shop:1")).Ref
	b.tell(t, "create", "--name", "stays", "--network", "none", image, "true")
	ctx, stop := context.WithCancel(t.Context())
	loop := exec.CommandContext(ctx, "sh", "-c", `while :; do for n in 1 2 3 4 5 6; do "$0" create --name goes-$n --network none "$1" true & done; wait; "$0" rm goes-1 goes-2 goes-3 goes-4 goes-5 goes-6; done >/dev/null 2>&1`, b.variable("STIG_DOCKER"), image)
	loop.Env = append(os.Environ(), b.Env()...)
	loop.WaitDelay = 10 * time.Second
	if err := loop.Start(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		got := b.check(t, nil, nil)
		r := got.rows["V-235806"] // limits of containers
		if r.Status != stig.Open || !strings.Contains(r.Details, "container stays") || strings.Contains(got.stdout, "No such container") {
			t.Errorf("%v: %s", r.Status, r.Details)
		}
	}
	stop()
	_ = loop.Wait() // stopped
}
