package engine

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/cli-plugin/change/systemd"
)

// A unit is an engine that systemd runs, as far as it can tell: a server that
// answers on its socket, and a systemctl that is a script, no systemd. The
// script writes down what it is told, shows what stands in the file "pid" for
// the main process, fails to do what stands in the file "refused", and on a
// reload writes into a pipe, by which the server knows that it has to tell of
// one.
type unit struct {
	*Dockerd
	dir string
}

func (u unit) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// told is what systemctl was told since it was asked last, but for questions.
func (u unit) told(t *testing.T) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(u.dir, "told"))
	if err != nil {
		t.Fatal(err)
	}
	u.write(t, "told", "")
	return strings.Fields(strings.ReplaceAll(string(raw), " ", "_"))
}

func newUnit(t *testing.T) unit {
	t.Helper()
	dir := t.TempDir()
	u := unit{&Dockerd{Socket: filepath.Join(dir, "e.sock"), Unit: "docker.service", Init: &systemd.Manager{Program: filepath.Join(dir, "systemctl")}}, dir}
	u.write(t, "pid", strconv.Itoa(os.Getpid()))
	u.write(t, "refused", "")
	u.write(t, "told", "")
	script := `#!/bin/sh
cd '` + dir + `' || exit 9
shift
if test "$1" = show; then cat pid; exit; fi
echo "$@" >>told
if grep -qx -e "$1" refused; then echo "it is refused" >&2; exit 1; fi
if test "$1" = reload; then echo reload >reloads; fi
`
	reloads := filepath.Join(dir, "reloads")
	if err := syscall.Mkfifo(reloads, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(u.Init.Program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(reloads, os.O_RDWR, 0) // opens at once, and is read until it is closed
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", u.Socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		if _, err := pipe.Read(make([]byte, 16)); err == nil && r.Context().Err() == nil {
			_, _ = w.Write([]byte("{}")) // whoever listens has gone, if it cannot be told
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _, _ = pipe.Close(), server.Close() })
	return u
}

func TestSystemdReloads(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	if err := u.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"reload_docker.service"}, u.told(t)); diff != "" {
		t.Error(diff)
	}
	u.write(t, "refused", "reload\n")
	if err := u.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "systemctl reload docker.service: exit status 1: it is refused") {
		t.Errorf("got %v", err)
	}
}

// TestSystemdRestarts wants a unit that failed often to be startable, and one
// that never did to be restarted all the same.
func TestSystemdRestarts(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	u.RestartWith = []string{"false"} // systemd goes first
	want := []string{"reset-failed_docker.service", "restart_docker.service"}
	for _, refused := range []string{"", "reset-failed\n"} {
		u.write(t, "refused", refused)
		if err := u.Restart(t.Context()); err != nil {
			t.Errorf("%q is refused: %v", refused, err)
		}
		if diff := cmp.Diff(want, u.told(t)); diff != "" {
			t.Error(diff)
		}
	}
	if err := u.Up(t.Context()); err != nil {
		t.Error(err)
	}
	u.write(t, "refused", "restart\n")
	if err := u.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "systemctl restart docker.service: exit status 1: it is refused") {
		t.Errorf("got %v", err)
	}
	u.Init, u.RestartWith = nil, nil
	if err := u.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "--restart-command") {
		t.Errorf("without systemd: %v", err)
	}
}

// TestSystemdHoldsTheSocket wants the main process of the unit to count, and not
// whoever is behind the socket.
func TestSystemdHoldsTheSocket(t *testing.T) {
	t.Parallel()
	u := newUnit(t)
	if since, runs := u.Running(t.Context(), time.Now()); !runs || time.Since(since) > time.Hour {
		t.Errorf("since %v, %t", since, runs)
	}
	u.write(t, "pid", "0")
	if _, runs := u.Running(t.Context(), time.Now()); runs {
		t.Error("a unit without a process runs")
	}
	u.write(t, "pid", "4242")
	if pid, err := u.Answers(t.Context()); err != nil || pid != 4242 {
		t.Errorf("process %d, %v", pid, err)
	}
	u.write(t, "pid", "none")
	if _, err := u.Answers(t.Context()); err == nil || !strings.Contains(err.Error(), "no main process of docker.service") {
		t.Errorf("got %v", err)
	}
}
