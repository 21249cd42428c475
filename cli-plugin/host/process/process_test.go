package process

import (
	"net"
	"os"
	"path/filepath"
	"testing"
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
