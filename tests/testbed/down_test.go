package testbed

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// upIn makes the test binary bring a testbed up in the folder it names, in
// the place of running tests, to be killed on its way.
const upIn = "STIG_TEST_UP_IN"

func TestMain(m *testing.M) {
	dir := os.Getenv(upIn)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := Up(context.Background(), Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestDownAfterKill kills Up as soon as it has recorded so many processes.
func TestDownAfterKill(t *testing.T) {
	t.Parallel()
	skipWithoutEngine(t)
	for recorded := range len(partNames) + 1 {
		t.Run(fmt.Sprintf("%d processes", recorded), func(t *testing.T) {
			dir := shortDir(t)
			killUpAfter(t, dir, recorded)
			l, err := openLedger(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := Down(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, dir, l.state.ID)
		})
	}
}

// killUpAfter runs Up in another process and kills that.
func killUpAfter(t *testing.T, dir string, recorded int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), upIn+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), readyWithin)
	defer cancel()
	for {
		l, err := openLedger(dir)
		if err == nil && len(l.state.Processes) >= recorded {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("up did not get as far as %d processes: %v", recorded, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// TestDownAfterEarlyKill is about an Up that was killed before it wrote
// anything down.
func TestDownAfterEarlyKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, lockName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := vacant(dir); err != nil {
		t.Errorf("up would refuse the folder: %v", err)
	}
	if err := Down(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if exists(filepath.Join(dir, lockName)) {
		t.Error("the lock is still there")
	}
}

// TestDownRemovesUnfinishedFiles is about an Up that was killed between the
// writing of each of its files and giving it its name.
func TestDownRemovesUnfinishedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := newLedger(dir, state{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range contents {
		if err := os.WriteFile(filepath.Join(dir, name+unfinished), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Down(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, dir, l.state.ID)
}

// TestDownSparesStrangers takes down a testbed whose recorded process has
// ended and whose number belongs to another one now.
func TestDownSparesStrangers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stranger := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	stat, err := readStat(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	recycled := process{Name: "engine", PID: stranger.Process.Pid, Start: stat.start - 1}
	if _, err := newLedger(dir, state{Processes: []process{recycled}}); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(kept, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if !(process{PID: recycled.PID, Start: stat.start}).alive() {
		t.Error("a process of somebody else was killed")
	}
	if !exists(kept) {
		t.Error("a file of somebody else was removed")
	}
}

// TestDownFindsUnrecorded starts what a testbed would have started in the
// moment before it was killed: a process with its mark, and a child of that
// without.
func TestDownFindsUnrecorded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := newLedger(dir, state{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "env -i sleep 1000 & echo $!; wait")
	cmd.Env = []string{mark + "=" + l.state.ID, "PATH=/usr/bin:/bin"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	stat, err := readStat(child)
	if err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if (process{PID: child, Start: stat.start}).alive() {
		t.Error("a child without the mark lives on")
	}
}

// TestDownUnmounts puts a mount into the folder that nobody recorded.
func TestDownUnmounts(t *testing.T) {
	t.Parallel()
	if err := privileged(); err != nil {
		t.Skipf("needs root: %v", err)
	}
	dir := t.TempDir()
	if _, err := newLedger(dir, state{}); err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(dir, "data")
	if err := os.Mkdir(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("test", point, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if exists(point) {
		t.Error("the mount point is still there")
	}
}

// TestDownWaits holds the lock, as a command at work does.
func TestDownWaits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := lockDir(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(t.Context(), dir, 0); err == nil {
		t.Error("the folder was locked twice")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Down(ctx, dir); err == nil {
		t.Error("down did not wait for the command at work")
	}
	lock.release()
	if err := Down(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// TestAbandoned takes down the testbed of a test that is no more, and leaves
// alone the one of a test that still runs.
func TestAbandoned(t *testing.T) {
	self, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	made := func(owner process) string {
		dir := filepath.Join(os.TempDir(), strings.Replace(abandonable, "*", strconv.FormatUint(owner.Start, 10), 1))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := newLedger(dir, state{Owner: owner}); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	gone := made(process{PID: os.Getpid(), Start: self.start - 1})
	kept := made(process{PID: os.Getpid(), Start: self.start})
	if err := takeDownAbandoned(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exists(gone) || !exists(kept) {
		t.Errorf("abandoned still there: %v; in use still there: %v", exists(gone), exists(kept))
	}
}

func skipWithoutEngine(t *testing.T) {
	t.Helper()
	err := Available(t.Context(), Docker)
	if err != nil && os.Getenv(RequireEngine) == "1" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("needs a real engine: run as root with `make deps`: %v", err)
	}
}

// shortDir is a folder that does not exist yet, with a path short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("", "stig-t-") //nolint:usetesting // TempDir's paths are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Down(context.WithoutCancel(t.Context()), filepath.Join(parent, "tb")); err != nil {
			t.Error(err)
		}
		_ = os.RemoveAll(parent)
	})
	return filepath.Join(parent, "tb")
}

// nothingLeft looks for processes, mounts of any namespace, cgroups and files
// of the testbed that was in dir.
func nothingLeft(t *testing.T, dir, id string) {
	t.Helper()
	var left []string
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, proc := range processes {
		if stat, err := os.ReadFile(filepath.Join(proc, "stat")); err != nil || !lives(string(stat)) {
			continue // dead, though its parent did not ask yet
		}
		for file, trace := range map[string]string{"cmdline": dir, "environ": id, "mountinfo": dir, "cgroup": id} {
			data, err := os.ReadFile(filepath.Join(proc, file))
			if err == nil && strings.Contains(string(data), trace) {
				left = append(left, filepath.Join(proc, file))
			}
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), dir) {
		left = append(left, "a mount in this namespace")
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id, dir + "/*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	if diff := cmp.Diff([]string(nil), left); diff != "" {
		t.Errorf("left behind:\n%s", diff)
	}
}

func lives(line string) bool {
	stat, err := parseStat(line)
	return err == nil && stat.lives()
}

func listenUnix(t *testing.T, path string) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}
