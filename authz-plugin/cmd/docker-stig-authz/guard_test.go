package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/logtest"
)

// startGuard runs the guard in this process, with a test in systemd's place
// and no engine. Its clients are its own process: it takes them for a circle.
func startGuard(t *testing.T, group string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{socket: filepath.Join(dir, "docker.sock"), log: &logtest.Log{}, done: make(chan error, 1)}
	notifySocket := filepath.Join(dir, "notify")
	states, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notifySocket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	r.states = states
	t.Setenv("NOTIFY_SOCKET", notifySocket)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	opts := guardOptions{engine: "unix://" + filepath.Join(dir, "engine.sock"), socket: r.socket, group: group}
	go func() { r.done <- runGuard(ctx, opts, r.log.Logger()) }()
	t.Cleanup(func() { cancel(); _ = states.Close() })
	r.wait(t, "READY=1")
	return r
}

// ownGroup is the name of a group that this process may give to a file.
func ownGroup(t *testing.T) string {
	t.Helper()
	group, err := user.LookupGroupId(fmt.Sprint(os.Getegid()))
	if err != nil {
		t.Skipf("this process's group has no name: %v", err)
	}
	return group.Name
}

func TestGuardListensAndStops(t *testing.T) {
	for _, test := range []struct {
		group string
		mode  fs.FileMode
	}{{ownGroup(t), 0o660}, {"", 0o600}} {
		r := startGuard(t, test.group)
		info, err := os.Stat(r.socket)
		if err != nil || info.Mode().Perm() != test.mode {
			t.Errorf("the socket of group %q: %v, %v", test.group, info, err)
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", r.socket)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // as it comes
			t.Errorf("a connection of the guard to itself: %v", err)
		}
		r.wait(t, "WATCHDOG=1")
		r.terminate(t)
		for _, want := range []string{`"msg":"guarding"`, "leads back to the guard", `"streams_cut":0`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, r.log)
			}
		}
	}
}

func TestGuardNeedsAPlaceAndAnEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]struct {
		opts guardOptions
		want string
	}{
		"engine by TCP":      {guardOptions{engine: "tcp://127.0.0.1:2375", socket: dir + "/s"}, "give unix:///PATH"},
		"engine by a name":   {guardOptions{engine: "unix://engine.sock", socket: dir + "/s"}, "give unix:///PATH"},
		"a group that isn't": {guardOptions{engine: "unix:///e", socket: dir + "/s", group: "no such group"}, "name the group"},
		"no place":           {guardOptions{engine: "unix:///e", socket: dir}, "is no socket"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := runGuard(t.Context(), test.opts, slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
