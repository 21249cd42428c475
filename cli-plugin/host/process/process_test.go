package process

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestBehind(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	if pid, err := Behind(t.Context(), socket); err == nil {
		t.Errorf("nobody listens, and process %d does", pid)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if pid, err := Behind(t.Context(), socket); err != nil || pid != os.Getpid() {
		t.Errorf("process %d, %v, want %d", pid, err, os.Getpid())
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]bool{own: true, filepath.Base(own): true, own + " (deleted)": true, "dockerd": false} {
		if got := Runs(os.Getpid(), program); got != want {
			t.Errorf("it runs %s: %t, want %t", program, got, want)
		}
	}
	if Runs(-1, own) {
		t.Error("a process that is not there runs")
	}
}

// TestStarted is about a process that starts in between two times.
func TestStarted(t *testing.T) {
	t.Parallel()
	before := time.Now()
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	started, err := Started(cmd.Process.Pid, time.Now())
	if after := time.Now(); err != nil || started.Before(before.Add(-2*clockTick)) || started.After(after) {
		t.Errorf("it started between %v and %v, and says %v, %v", before, after, started, err)
	}
	if _, err := Started(0, time.Now()); err == nil {
		t.Error("no process has started")
	}
}

func FuzzSinceBoot(f *testing.F) {
	f.Add("7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123 0")
	f.Add("7 (x")
	f.Fuzz(func(t *testing.T, line string) {
		if since, err := SinceBoot(line); err == nil && (since < 0 || since%clockTick != 0) {
			t.Errorf("%q: %v", line, since)
		}
	})
}
