package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestFixRefusedOnDocker(t *testing.T) { testFixRefused(t, testbed.Docker) }

func TestFixRefusedOnMoby(t *testing.T) { testFixRefused(t, testbed.Moby) }

// plainConfig is what the engine of these tests starts with.
const plainConfig = "{\n  \"labels\": [\"site=a\"]\n}\n"

// proxyOff is plainConfig with the one change that these tests ask for.
const proxyOff = "{\n  \"userland-proxy\": false,\n  \"labels\": [\"site=a\"]\n}\n"

// testFixRefused has a fix come to files and engines that it cannot change.
func testFixRefused(t *testing.T, engine testbed.Engine) {
	t.Helper()
	h := newFailingHost(t, engine, "{}\n", func(*failingHost) map[string]any { return map[string]any{} })
	t.Run("files", func(t *testing.T) { h.spoiltFiles(t) })
	t.Run("a link", func(t *testing.T) { h.linked(t) })
	t.Run("immutable", func(t *testing.T) { h.immutable(t) })
	t.Run("a flag that says the same", func(t *testing.T) { h.flagged(t) })
	t.Run("the engine comes up and dies", func(t *testing.T) { h.dies(t) })
	t.Run("the socket has another group", func(t *testing.T) { h.grouped(t) })
	if engine == testbed.Moby { // older ones have no --validate
		t.Run("the engine refuses what stands there already", func(t *testing.T) { h.refusedBefore(t) })
		t.Run("the engine refuses what it has not read", func(t *testing.T) { h.notRead(t) })
	}
}

// begin gives the engine its plain file.
func (h *failingHost) begin(t *testing.T) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(h.DaemonJSON()), h.RestartEngine(t.Context(), []byte(plainConfig))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(h.path("restart.count")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// fixProxy fixes the one requirement that takes an edit of daemon.json and a
// restart.
func (h *failingHost) fixProxy(t *testing.T, code int) output {
	t.Helper()
	return h.stig(t, code, h.withRestart(t, "fix", "DKER-EE-001830", "--yes")...)
}

// unchanged wants the engine not to have been touched, and its file to be
// that of before.
func (h *failingHost) unchanged(t *testing.T, pid int, before disk.State) {
	t.Helper()
	if now := h.process(t); now != pid || h.restarts(t) > 0 {
		t.Errorf("process %d became %d, %d restarts", pid, now, h.restarts(t))
	}
	if now := h.config(t); !now.Same(before) || !bytes.Equal(now.Bytes, before.Bytes) {
		t.Errorf("daemon.json is %q %s, was %q %s", now.Bytes, now.Ownership(), before.Bytes, before.Ownership())
	}
}

func (h *failingHost) config(t *testing.T) disk.State {
	t.Helper()
	s, err := disk.Look(h.DaemonJSON())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// spoiltFiles writes odd files while the engine runs. Either they are edited
// rightly, or it is said what is wrong with them.
func (h *failingHost) spoiltFiles(t *testing.T) {
	t.Helper()
	for name, test := range map[string]struct{ content, want, says string }{
		"CRLF":            {content: "{\r\n  \"labels\": [\"site=a\"]\r\n}\r\n", want: "{\r\n  \"userland-proxy\": false,\r\n  \"labels\": [\"site=a\"]\r\n}\r\n"},
		"empty":           {content: "", want: "{\n  \"userland-proxy\": false\n}\n"},
		"byte order mark": {content: "\xef\xbb\xbf" + plainConfig, says: "byte order mark"},
		"comments":        {content: "{\n  // ours\n  \"labels\": [\"site=a\"]\n}\n", says: "it is not JSON, and dockerd would not start with it"},
		"twice":           {content: "{\"userland-proxy\": true,\n\"userland-proxy\": true}", says: `line 2: "userland-proxy" stands there twice`},
		"cut off":         {content: "{\"labels\": [", says: "it is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			h.begin(t)
			pid := h.process(t)
			if err := os.WriteFile(h.DaemonJSON(), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := h.config(t)
			if test.says != "" {
				out := h.fixProxy(t, 3)
				contains(t, out.stdout, h.DaemonJSON(), test.says)
				h.unchanged(t, pid, before)
				return
			}
			h.fixProxy(t, 0)
			if got := string(h.config(t).Bytes); got != test.want || h.restarts(t) != 1 {
				t.Errorf("daemon.json is %q, want %q; %d restarts", got, test.want, h.restarts(t))
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		h.begin(t)
		pid := h.process(t)
		if err := os.Remove(h.DaemonJSON()); err != nil {
			t.Fatal(err)
		}
		contains(t, h.fixProxy(t, 3).stdout, h.DaemonJSON(), "dockerd does not start without")
		h.unchanged(t, pid, disk.State{})
	})
}

// linked has daemon.json lie elsewhere: the link stays a link.
func (h *failingHost) linked(t *testing.T) {
	t.Helper()
	h.begin(t)
	elsewhere := h.path("daemon.json")
	if err := errors.Join(os.Rename(h.DaemonJSON(), elsewhere), os.Symlink(elsewhere, h.DaemonJSON())); err != nil {
		t.Fatal(err)
	}
	h.fixProxy(t, 0)
	if got, err := os.Readlink(h.DaemonJSON()); err != nil || got != elsewhere || read(t, elsewhere) != proxyOff {
		t.Errorf("it leads to %q (%v), which holds %q", got, err, read(t, elsewhere))
	}
	h.stig(t, 0, h.withRestart(t, "undo", "--yes")...)
	if got, err := os.Readlink(h.DaemonJSON()); err != nil || got != elsewhere || read(t, elsewhere) != plainConfig {
		t.Errorf("taken back, it leads to %q (%v), which holds %q", got, err, read(t, elsewhere))
	}
}

// immutable has an administrator lock daemon.json.
func (h *failingHost) immutable(t *testing.T) {
	t.Helper()
	h.begin(t)
	chattr := func(how string) error {
		out, err := exec.CommandContext(t.Context(), "chattr", how, h.DaemonJSON()).CombinedOutput()
		if err != nil {
			return fmt.Errorf("chattr %s: %w: %s", how, err, out)
		}
		return nil
	}
	if err := chattr("+i"); err != nil {
		t.Skipf("unsupported here: %v", err)
	}
	t.Cleanup(func() {
		if err := exec.Command("chattr", "-i", h.DaemonJSON()).Run(); err != nil { // the test's context has ended
			t.Error(err)
		}
	})
	pid, before := h.process(t), h.config(t)
	contains(t, h.fixProxy(t, 2).stdout, h.DaemonJSON()+" is immutable or append-only: take that away first (chattr -ia")
	h.unchanged(t, pid, before)
	if err := chattr("-i"); err != nil {
		t.Fatal(err)
	}
	h.fixProxy(t, 0)
}

// flagged has daemon.json say what the command line says, too, since the engine
// started: it would not start again, whatever else is changed.
func (h *failingHost) flagged(t *testing.T) {
	t.Helper()
	h.begin(t)
	if err := os.WriteFile(h.DaemonJSON(), []byte(`{"iptables": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	pid, before := h.process(t), h.config(t)
	contains(t, h.fixProxy(t, 2).stdout, "the engine would not start again, so nothing of it is changed: iptables: set both by a flag and in daemon.json")
	h.unchanged(t, pid, before)
}

// dies has the engine end a second after it was restarted, once.
func (h *failingHost) dies(t *testing.T) {
	t.Helper()
	h.begin(t)
	before := h.config(t)
	killer := filepath.Join(h.dir, "restart-and-kill")
	writeFile(t, killer, fmt.Sprintf("#!/bin/sh\n'%s' || exit\n[ \"$(wc -l <'%[1]s.count')\" = 1 ] || exit 0\n(sleep 1; kill -KILL $(cat '%s/d.pid')) >/dev/null 2>&1 &\n",
		h.restarter(t), h.Dir()), 0o755)
	out := h.stig(t, 4, "fix", "DKER-EE-001830", "--yes", "--allow-restart", "--restart-command", killer)
	contains(t, out.stderr, "the engine came up and ended", "everything was rolled back")
	if now := h.config(t); !now.Same(before) || !bytes.Equal(now.Bytes, before.Bytes) || h.restarts(t) != 2 {
		t.Errorf("daemon.json is %q %s, %d restarts", now.Bytes, now.Ownership(), h.restarts(t))
	}
	h.process(t)
	wantOption{"userland-proxy", "true", "default", ""}.hold(t, hostOf(t, h.Testbed))
}

// grouped has the engine make its socket for a group, which a mere chown would
// not outlast.
func (h *failingHost) grouped(t *testing.T) {
	t.Helper()
	h.begin(t)
	if err := h.RestartEngine(t.Context(), []byte(`{"group": "root"}`)); err != nil {
		t.Fatal(err)
	}
	h.stig(t, 0, h.withRestart(t, "fix", "DKER-EE-005310", "--yes")...)
	wantOption{"group", "docker", "daemon.json", ""}.hold(t, hostOf(t, h.Testbed))
	h.stig(t, 0, h.withRestart(t, "undo", "--yes")...)
	wantOption{"group", "root", "daemon.json", ""}.hold(t, hostOf(t, h.Testbed))
	h.stig(t, 2, "check", "DKER-EE-005310")
}

// notRead has daemon.json say what is wanted, and what the engine does not take,
// since it started: it has to read that, and is not restarted for it.
func (h *failingHost) notRead(t *testing.T) {
	t.Helper()
	h.begin(t)
	if err := os.WriteFile(h.DaemonJSON(), []byte(strings.Replace(proxyOff, "{", `{"max-concurrent-downloads": -5,`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	pid, before := h.process(t), h.config(t)
	contains(t, h.fixProxy(t, 4).stderr, "dockerd --validate refuses its daemon.json", "everything was rolled back")
	h.unchanged(t, pid, before)
}

// refusedBefore has an administrator write what the engine does not take, which
// it has not read yet.
func (h *failingHost) refusedBefore(t *testing.T) {
	t.Helper()
	h.begin(t)
	if err := os.WriteFile(h.DaemonJSON(), []byte(strings.Replace(plainConfig, "{", `{"max-concurrent-downloads": -5,`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	pid, before := h.process(t), h.config(t)
	contains(t, h.fixProxy(t, 4).stderr, "dockerd --validate refuses the new daemon.json", "everything was rolled back")
	h.unchanged(t, pid, before)
}
