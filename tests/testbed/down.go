package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// takeDown ends what belongs to the testbed in dir and removes its files. The
// caller holds the lock. A folder whose Up was killed before it wrote a state
// has no processes.
func takeDown(ctx context.Context, dir string) error {
	l, err := openLedger(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if l != nil {
		if err := killAll(ctx, l.state); err != nil {
			return err
		}
		if err := removeCgroups(ctx, l.state.ID); err != nil {
			return err
		}
	}
	if err := unmountAll(dir); err != nil {
		return err
	}
	if err := clearDir(dir); err != nil {
		return fmt.Errorf("removing the testbed's files: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		return err
	}
	if l != nil && l.state.MadeDir {
		_ = os.Remove(dir) // stays if somebody put something there
	}
	return nil
}

// killAll kills a testbed's processes until two looks in a row find none: one
// that was about to start another may have done so between them.
func killAll(ctx context.Context, s state) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	for quiet := 0; quiet < 2; {
		left, err := members(s)
		if err != nil {
			return err
		}
		quiet++
		for _, p := range left {
			quiet = 0
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("killing %s, process %d: %w", p.Name, p.PID, err)
			}
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%w: still alive: %v", err, left)
		}
	}
	return nil
}

// members are the live processes of a testbed: those it recorded, those with
// its mark in their environment, those in its cgroups, and all their
// descendants. The last matters for containers in cgroups of their own.
func members(s state) ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	stats := map[int]procStat{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if stat, err := readStat(pid); err == nil && stat.lives() {
			stats[pid] = stat
		}
	}
	ours := map[int]bool{}
	for pid, stat := range stats {
		ours[pid] = s.recorded(pid, stat.start) || hasMark(pid, s.ID) || inCgroup(pid, s.ID)
	}
	var all []process
	for pid, stat := range stats {
		if descends(pid, stats, ours) {
			all = append(all, process{Name: programName(pid), PID: pid, Start: stat.start})
		}
	}
	return all, nil
}

func (s state) recorded(pid int, start uint64) bool {
	return slices.ContainsFunc(s.Processes, func(p process) bool { return p.PID == pid && p.Start == start })
}

func hasMark(pid int, id string) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false // it has gone meanwhile
	}
	return slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(assignment []byte) bool {
		return string(assignment) == mark+"="+id
	})
}

func inCgroup(pid int, id string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(data), "/"+id+"/")
}

// descends reports whether pid or an ancestor of it is ours.
func descends(pid int, stats map[int]procStat, ours map[int]bool) bool {
	for range len(stats) { // no loop, should numbers be reused while we read
		if ours[pid] {
			return true
		}
		stat, known := stats[pid]
		if !known {
			return false
		}
		pid = stat.parent
	}
	return false
}

func programName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "a process"
	}
	return strings.TrimSpace(string(name))
}

// unmountAll unmounts what is mounted below dir in this namespace, the last
// mount first. The engine's own mounts went with its namespace.
func unmountAll(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	points := mountPoints(string(data))
	slices.Reverse(points)
	for _, point := range points {
		if !strings.HasPrefix(point, dir+"/") {
			continue
		}
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", point, err)
		}
	}
	return nil
}

// mountPoints reads proc_pid_mountinfo(5), whose fifth field is where
// something is mounted. Octal escapes stand for space, tab, newline and
// backslash, none of which a testbed's path has.
func mountPoints(mountinfo string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, fields[4])
		}
	}
	return points
}

// removeCgroups removes the cgroups that dockerd made for the testbed's
// containers, in each hierarchy of version 1 and in the one of version 2. A
// cgroup is busy for a moment after its last process.
func removeCgroups(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	for {
		busy, err := tryRemoveCgroups(id)
		if err != nil || !busy {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("a cgroup %s stays busy: %w", id, err)
		}
	}
}

func tryRemoveCgroups(id string) (busy bool, err error) {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + id, "/sys/fs/cgroup/*/" + id} {
		roots, _ := filepath.Glob(pattern) // errs only at a bad pattern
		for _, root := range roots {
			err = errors.Join(err, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					found = append(found, path)
				}
				return nil // one that has gone is as good as removed
			}))
		}
	}
	slices.Reverse(found) // children first
	for _, path := range found {
		removeErr := syscall.Rmdir(path)
		busy = busy || errors.Is(removeErr, syscall.EBUSY)
		if removeErr != nil && !errors.Is(removeErr, syscall.EBUSY) && !errors.Is(removeErr, syscall.ENOENT) {
			err = errors.Join(err, &fs.PathError{Op: "rmdir", Path: path, Err: removeErr})
		}
	}
	return busy, err
}
