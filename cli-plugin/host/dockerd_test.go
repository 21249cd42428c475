package host_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
)

// dockerdHost has one dockerd.
func dockerdHost(t *testing.T) *host.Host {
	t.Helper()
	return hosttest.Machine{
		"root/proc/812/exe":           "/usr/bin/dockerd-ee (deleted)",
		"root/proc/812/cmdline":       "dockerd\n-H\nunix:///run/docker.sock\n",
		"root/proc/812/stat":          "812 (a b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 360000 20",
		"root/proc/stat":              "cpu 1\nbtime 1795176000\n",
		"root/etc/docker/daemon.json": `{"userland-proxy": false, "log-opts": {"max-size": "1m", "splunk-token": "secret"}}`,
		"root/proc/813/exe":           "/usr/bin/containerd",
		"root/proc/self/exe":          "/usr/bin/dockerd",
		"times":                       "2026-11-01T00:00:00Z /etc/docker/daemon.json",
	}.Host(t)
}

func TestDockerd(t *testing.T) {
	t.Parallel()
	d, err := dockerdHost(t).Dockerd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// An hour after the machine started, and a second that btime may hide.
	if want := time.Unix(1795176000, 0).Add(time.Hour + time.Second); d.PID != 812 || !d.Started.Equal(want) {
		t.Errorf("process %d since %v, want 812 since %v", d.PID, d.Started, want)
	}
	if d.ConfigErr != nil || d.Changed != "" || d.ConfigFile != "/etc/docker/daemon.json" {
		t.Errorf("%s: %v %q", d.ConfigFile, d.ConfigErr, d.Changed)
	}
}

// hidden are files of a host whose other users' processes may not be looked at.
type hidden struct{ host.Files }

func (hidden) Link(name string) (string, error) {
	if name == "/proc/813/exe" {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrPermission}
	}
	return "/usr/bin/dockerd", nil
}

// TestDockerdAmongHiddenProcesses finds a dockerd that may not be the engine.
func TestDockerdAmongHiddenProcesses(t *testing.T) {
	t.Parallel()
	h := dockerdHost(t)
	h.Files = hidden{h.Files}
	if _, err := h.Dockerd(t.Context()); err == nil || !strings.Contains(err.Error(), "run this as root") {
		t.Errorf("got %v", err)
	}
}

func TestOptionKeepsToTheKeysThatWereAsked(t *testing.T) {
	t.Parallel()
	h := dockerdHost(t)
	o, err := h.Option(t.Context(), "log-opts", "max-size")
	if err != nil || o.Value.String() != "max-size=1m" || o.File.String() != "max-size=1m" || o.Next.String() != "max-size=1m" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := h.Option(t.Context(), "log-opts"); err != nil || len(o.Value) != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := h.Option(t.Context(), "no-such"); err == nil {
		t.Error("an option that dockerd does not have was told")
	}
}

func TestDockerdOfARemoteHost(t *testing.T) {
	t.Parallel()
	h := hosttest.Machine{"remote": "", "engine/info": `{"ServerVersion": "29", "LoggingDriver": "local"}`}.Host(t)
	if _, err := h.Option(t.Context(), "hosts"); !errors.Is(err, host.ErrRemote) {
		t.Errorf("hosts: %v", err)
	}
	o, err := h.Option(t.Context(), "log-driver")
	if err != nil || o.Value.String() != "local" || !errors.Is(o.Unseen, host.ErrRemote) {
		t.Errorf("%+v, %v", o, err)
	}
}
