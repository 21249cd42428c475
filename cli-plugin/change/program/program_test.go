package program

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Parallel()
	if out, err := Run(t.Context(), "sh", "-c", "echo one; echo two >&2"); err != nil || out != "one\ntwo" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := Run(t.Context(), "sh", "-c", "echo why; exit 3"); err == nil || out != "why" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := Run(t.Context(), "head", "-c", strconv.Itoa(2*maxOutput), "/dev/zero"); err != nil || len(out) != maxOutput {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	if _, err := Run(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestRunLeavesTheBackground is about a script that starts a daemon, which
// keeps the output open: `dockerd &`.
func TestRunLeavesTheBackground(t *testing.T) {
	t.Parallel()
	const daemonLives = 60 * time.Second
	for name, test := range map[string]struct {
		end    string
		within time.Duration
	}{"it ends": {"", daemonLives}, "it hangs": {"; sleep 60", time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			ctx, cancel := context.WithTimeout(t.Context(), test.within)
			defer cancel()
			began := time.Now()
			_, err := Run(ctx, "sh", "-c", "sleep 60 & echo $! >"+pidFile+test.end)
			if (err != nil) != (test.end != "") || time.Since(began) >= daemonLives/2 {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			raw, err := os.ReadFile(pidFile)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Errorf("the daemon was taken along: %v", err)
			}
		})
	}
}
