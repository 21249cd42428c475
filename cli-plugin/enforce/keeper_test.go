package enforce

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testTime = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// Only one word keeps what was done: silence, the command's end and time undo.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		say   []string
		after time.Duration // it is said, on the bubble's clock
		end   bool
		kept  bool
	}{
		"kept":                 {say: []string{"keep"}, kept: true},
		"confirmed":            {say: []string{"confirm 1m0s", "keep"}, kept: true},
		"told to undo":         {say: []string{"undo"}},
		"gone":                 {end: true},
		"gone while asking":    {say: []string{"confirm 1m0s"}, end: true},
		"hangs":                {},
		"nobody confirms":      {say: []string{"confirm 1m0s"}},
		"says what is not one": {say: []string{"confirm soon"}},
		"too late":             {say: []string{"keep"}, after: applyWithin + slack + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				lines := make(chan string)
				go func() {
					select {
					case <-time.After(test.after):
					case <-ctx.Done():
						return
					}
					for _, line := range test.say {
						select {
						case lines <- line:
						case <-ctx.Done():
							return
						}
					}
					if test.end {
						close(lines)
					}
				}()
				began := time.Now()
				if kept := (Switch{}).watch(ctx, lines, 0); kept != test.kept {
					t.Errorf("kept is %t", kept)
				}
				if took := time.Since(began); took > applyWithin+slack {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestKeeperThatIsToldToEndUndoes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if (Switch{}).watch(ctx, make(chan string), 0) {
		t.Error("it was kept")
	}
}

// recorder is a systemctl that writes down what it was told.
func recorder(t *testing.T) (*Systemd, func() []string) {
	t.Helper()
	dir := t.TempDir()
	program, said := filepath.Join(dir, "systemctl"), filepath.Join(dir, "said")
	script := "#!/bin/sh\nshift\necho \"$@\" >>" + said + "\ncase \"$1\" in show) echo 0;; esac\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Systemd{Program: program}, func() []string { return strings.Split(strings.TrimSpace(read(t, said)), "\n") }
}

func TestGuardMovesInAndOut(t *testing.T) {
	t.Parallel()
	init, said := recorder(t)
	s := Switch{Init: init}
	if err := s.moveIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.moveOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"daemon-reload",
		"stop docker.service docker.socket",
		"enable --now docker-stig-guard.socket",
		"start docker.socket docker.service",
		"daemon-reload",
		"disable --now docker-stig-guard.socket",
		"stop docker-stig-guard.service docker.service docker.socket",
		"start docker.socket docker.service",
	}
	if diff := cmp.Diff(want, said()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReloadThroughSystemd(t *testing.T) {
	t.Parallel()
	init, said := recorder(t)
	if err := reloadEngine(t.Context(), init, &Dockerd{Managed: true}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"reload docker.service"}, said()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := (&Systemd{Program: "/bin/false"}).Do(t.Context(), "reload", "x"); err == nil {
		t.Error("a systemctl that fails is no error")
	}
}

func TestSafeFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root's own folders")
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run/plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := safeFolder(root, "/run/plugins"); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(root, "run"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := safeFolder(root, "/run/plugins"); err == nil || !strings.Contains(err.Error(), "chmod go-w /run") {
		t.Errorf("got %v", err)
	}
}

func TestOwnFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root's own folders")
	}
	socket := filepath.Join(t.TempDir(), "private", "s")
	if err := ownFolder(socket); err != nil {
		t.Errorf("none is there: %v", err)
	}
	if err := os.Mkdir(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, socket, "")
	if err := ownFolder(socket); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Dir(socket), 0o710); err != nil {
		t.Fatal(err)
	}
	if err := ownFolder(socket); err == nil || !strings.Contains(err.Error(), "past the guard") {
		t.Errorf("got %v", err)
	}
}
