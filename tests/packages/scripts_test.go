package packages

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	daemon     = "/usr/sbin/docker-stig-authz"
	policyPath = "/etc/docker-stig/policy.json"
	guarded    = "/etc/systemd/system/docker.socket.d/zz-docker-stig-guard.conf"
	systemctls = "/systemctl.log"
)

// A root is a scratch root file system: a shell, a package database, and
// nothing else that a script could lean on.
type root string

func newRoot(t *testing.T) root {
	t.Helper()
	r := root(t.TempDir())
	busybox, err := os.ReadFile("/bin/busybox") // of busybox-static
	if err != nil {
		skip(t, "there is no /bin/busybox to be the shell of a scratch root: make deps installs one")
	}
	r.write(t, "/bin/busybox", string(busybox))
	r.write(t, "/dev/null", "") // a file does
	for _, applet := range []string{"sh", "cat", "grep", "sed", "tr"} {
		if err := os.Symlink("busybox", r.path("/bin/"+applet)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"status", "available", "info/format", "updates/.keep", "triggers/.keep"} {
		r.write(t, "/var/lib/dpkg/"+file, map[string]string{"info/format": "1\n"}[file])
	}
	if err := os.Remove(r.path("/var/lib/dpkg/updates/.keep")); err != nil {
		t.Fatal(err)
	}
	return r
}

// withSystemd lets the root look as if systemd ran it. Its systemctl does
// nothing and writes down what it was asked.
func (r root) withSystemd(t *testing.T) {
	t.Helper()
	r.write(t, "/run/systemd/system/.keep", "")
	r.write(t, "/bin/systemctl", "#!/bin/sh\necho \"$*\" >>"+systemctls+"\n")
}

func (r root) path(path string) string { return filepath.Join(string(r), path) }

func (r root) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.path(path), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (r root) remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(r.path(path)); err != nil {
		t.Fatal(err)
	}
}

func (r root) holds(path string) bool {
	_, err := os.Lstat(r.path(path))
	return err == nil
}

// asked gives what systemctl was asked since the last time.
func (r root) asked(t *testing.T) []string {
	t.Helper()
	log, err := os.ReadFile(r.path(systemctls))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	r.remove(t, systemctls)
	return strings.Split(strings.TrimSpace(string(log)), "\n")
}

// A manager is a package manager that works on a root.
type manager struct {
	format  string
	install func(r root, files ...string) []string
	remove  func(r root, name string) []string
}

var managers = []manager{
	{
		format: "deb",
		install: func(r root, files ...string) []string {
			return append([]string{"dpkg", "--root=" + string(r), "--log=/dev/null", "-i"}, files...)
		},
		remove: func(r root, name string) []string {
			return []string{"dpkg", "--root=" + string(r), "--log=/dev/null", "-r", name}
		},
	},
	{
		format: "rpm",
		install: func(r root, files ...string) []string {
			return append([]string{"rpm", "--root", string(r), "--nodeps", "-U"}, files...)
		},
		remove: func(r root, name string) []string {
			return []string{"rpm", "--root", string(r), "--nodeps", "-e", name}
		},
	},
}

func requireManagers(t *testing.T) {
	t.Helper()
	requireRoot(t)
	requireTools(t, "dpkg", "rpm")
}

func TestInstallWithoutSystemd(t *testing.T) {
	requireManagers(t)
	for _, m := range managers {
		t.Run(m.format, func(t *testing.T) {
			r := newRoot(t)
			run(t, m.install(r, packageOf(t, version, "docker-stig", m.format), packageOf(t, version, "docker-stig-authz", m.format))...)
			metadata := run(t, "chroot", string(r), "/usr/libexec/docker/cli-plugins/docker-stig", "docker-cli-plugin-metadata")
			if !strings.Contains(metadata, version) {
				t.Errorf("docker-stig describes itself as %s, want version %s", metadata, version)
			}
			for path := range contents["docker-stig-authz"] {
				if !r.holds(path) {
					t.Errorf("%s is missing", path)
				}
			}
			run(t, m.remove(r, "docker-stig")...)
			run(t, m.remove(r, "docker-stig-authz")...)
			for _, path := range []string{daemon, "/usr/libexec/docker/cli-plugins/docker-stig"} {
				if r.holds(path) {
					t.Errorf("%s is left behind", path)
				}
			}
		})
	}
}

func TestInstallStartsTheSocket(t *testing.T) {
	requireManagers(t)
	for _, m := range managers {
		t.Run(m.format, func(t *testing.T) {
			r := newRoot(t)
			r.withSystemd(t)
			run(t, m.install(r, packageOf(t, version, "docker-stig-authz", m.format))...)
			want := []string{"enable --quiet docker-stig-authz.socket", "daemon-reload", "start docker-stig-authz.socket"}
			if got := r.asked(t); !slices.Equal(got, want) {
				t.Errorf("systemd was asked %q, want %q", got, want)
			}
		})
	}
}

// TestUpgradeKeepsTheSocket: while an engine asks the plugin, a new version
// goes in and takes over, and neither the socket nor the site's policy is touched.
func TestUpgradeKeepsTheSocket(t *testing.T) {
	requireManagers(t)
	for _, m := range managers {
		t.Run(m.format, func(t *testing.T) {
			r := newRoot(t)
			run(t, m.install(r, packageOf(t, version, "docker-stig-authz", m.format))...)
			before, err := os.ReadFile(r.path(daemon))
			if err != nil {
				t.Fatal(err)
			}
			const policy = `{"content-trust": {"mode": "enforced"}}`
			r.write(t, policyPath, policy)
			r.write(t, "/etc/docker/daemon.json", `{"authorization-plugins": ["docker-stig-authz"]}`)
			r.withSystemd(t)

			run(t, m.install(r, packageOf(t, newer, "docker-stig-authz", m.format))...)
			asked := r.asked(t)
			if !slices.Contains(asked, "try-restart docker-stig-authz.service") {
				t.Errorf("systemd was asked %q, but not to restart the daemon", asked)
			}
			for _, request := range asked {
				switch request {
				case "daemon-reload", "try-restart docker-stig-authz.service":
				case "is-active --quiet docker-stig-guard.service": // and never to restart it
				default:
					t.Errorf("systemd was asked to %s", request)
				}
			}
			if after, err := os.ReadFile(r.path(daemon)); err != nil || string(after) == string(before) {
				t.Errorf("the daemon is still the old one (%v)", err)
			}
			if got, err := os.ReadFile(r.path(policyPath)); err != nil || string(got) != policy {
				t.Errorf("the policy is now %q (%v), want the site's %q", got, err, policy)
			}
		})
	}
}

// TestRemovalIsRefused while an engine asks the plugin, however it was told to.
func TestRemovalIsRefused(t *testing.T) {
	cases := map[string]struct {
		files map[string]string
		where string
	}{
		"daemon.json": {
			files: map[string]string{"/etc/docker/daemon.json": `{"authorization-plugins": ["other", "docker-stig-authz"]}`},
			where: "/etc/docker/daemon.json",
		},
		"command line": {
			files: map[string]string{
				"/proc/7/comm":    "dockerd\n",
				"/proc/7/cmdline": "/usr/bin/dockerd\x00-H\x00fd://\x00--authorization-plugin=docker-stig-authz\x00",
			},
			where: "the command line of dockerd (process 7)",
		},
		"configuration file of an engine that is stopped": {
			files: map[string]string{
				"/etc/systemd/system/docker.service.d/site.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// \\\n\t--config-file=\"/srv/stopped.json\"\n",
				"/srv/stopped.json": `{"authorization-plugins": ["docker-stig-authz"]}`,
			},
			where: "/srv/stopped.json",
		},
		"command line of an engine that is stopped": {
			files: map[string]string{
				"/lib/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/dockerd -H fd:// --authorization-plugin docker-stig-authz\n",
			},
			where: "/lib/systemd/system/docker.service",
		},
		"configuration file elsewhere": {
			files: map[string]string{
				"/proc/7/comm":          "dockerd\n",
				"/proc/7/cmdline":       "dockerd\x00--config-file\x00/srv/engine.json\x00--debug\x00",
				"/srv/engine.json":      `{"authorization-plugins": ["docker-stig-authz"]}`,
				"/proc/8/comm":          "sh\n",
				"/proc/self/irrelevant": "",
			},
			where: "/srv/engine.json",
		},
	}
	requireManagers(t)
	for _, m := range managers {
		t.Run(m.format, func(t *testing.T) {
			r := newRoot(t)
			r.withSystemd(t)
			run(t, m.install(r, packageOf(t, version, "docker-stig-authz", m.format))...)
			r.asked(t)
			for name, c := range cases {
				t.Run(name, func(t *testing.T) {
					for path, content := range c.files {
						r.write(t, path, content)
					}
					out, err := try(t, m.remove(r, "docker-stig-authz")...)
					if err == nil {
						t.Fatalf("it was removed:\n%s", out)
					}
					for _, want := range []string{"docker-stig-authz is not removed", "    " + c.where + "\n", `"authorization-plugins"`} {
						if !strings.Contains(out, want) {
							t.Errorf("the refusal lacks %q:\n%s", want, out)
						}
					}
					if !r.holds(daemon) {
						t.Error("the daemon is gone all the same")
					}
					if r.holds(systemctls) {
						t.Errorf("systemd was asked %q", r.asked(t))
					}
					for path := range c.files {
						r.remove(t, path)
					}
				})
			}
		})
	}
}

// TestRemovalKeepsAGuardInPlace: without it nobody would reach the engine.
func TestRemovalKeepsAGuardInPlace(t *testing.T) {
	requireManagers(t)
	for _, m := range managers {
		t.Run(m.format, func(t *testing.T) {
			r := newRoot(t)
			r.withSystemd(t)
			run(t, m.install(r, packageOf(t, version, "docker-stig-authz", m.format))...)
			r.asked(t)
			r.write(t, guarded, "[Socket]\n")
			out, err := try(t, m.remove(r, "docker-stig-authz")...)
			if err == nil || !strings.Contains(out, "docker stig authz disable") {
				t.Errorf("removing it: %v\n%s", err, out)
			}
			if !r.holds(daemon) || r.holds(systemctls) {
				t.Error("the guard is gone all the same, or was stopped")
			}
			r.remove(t, guarded)
			run(t, m.remove(r, "docker-stig-authz")...)
		})
	}
}

func TestRemovalStopsTheSocket(t *testing.T) {
	requireManagers(t)
	for _, m := range managers {
		t.Run(m.format, func(t *testing.T) {
			r := newRoot(t)
			r.withSystemd(t)
			r.write(t, "/etc/docker/daemon.json", `{"authorization-plugins": ["docker-stig-authz-of-another-kind"]}`)
			r.write(t, "/proc/7/comm", "dockerd\n")
			r.write(t, "/proc/7/cmdline", "/usr/bin/dockerd\x00-H\x00fd://\x00")
			run(t, m.install(r, packageOf(t, version, "docker-stig-authz", m.format))...)
			r.asked(t)
			run(t, m.remove(r, "docker-stig-authz")...)
			want := []string{
				"disable --quiet docker-stig-authz.socket",
				"stop docker-stig-authz.socket docker-stig-authz.service",
				"daemon-reload",
			}
			if got := r.asked(t); !slices.Equal(got, want) {
				t.Errorf("systemd was asked %q, want %q", got, want)
			}
			if r.holds(daemon) {
				t.Error("the daemon is left behind")
			}
		})
	}
}
