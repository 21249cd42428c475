package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// What a testbed puts into its folder. Nothing else is ever removed.
const (
	stateName = "state.json"
	lockName  = "lock"
)

var contents = []string{
	"env", "policy.json", "daemon.json", "ca.crt", "srv.crt", "srv.key", // what it is told
	"signer.crt", "signer.key", "signer-client.crt", "signer-client.key",
	"registry.yml", "notary.json", "signer.json", "room.ready",
	"registry-basic.htpasswd", "registry-basic.yml", "registry-token.yml", "notary-token.json", "tokens.crt",
	"config", "data", "exec", "images", "plugins", "log", "state", // what it keeps
	"d.sock", "d.pid", "r.sock",
	stateName,
}

// unfinished ends the name of a file that is about to replace another one.
const unfinished = ".new"

// maxSocketPath is the longest path of a unix socket in bytes: sun_path of
// unix(7) holds 108, the last of which is zero.
const maxSocketPath = 107

// longestSocket is the longest path of a socket in a testbed's folder, one of
// the engine's containerd.
const longestSocket = "/exec/containerd/containerd-debug.sock"

// plainPath matches what every program here takes for a path: overlayfs ends
// one at a colon or comma, a URL at a hash or question mark.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9/._+@-]+$`)

// hidden are the folders that have other content inside the room.
var hidden = []string{"/run", "/etc/docker", "/proc", "/sys", "/dev"}

// prepareDir makes dir, checks that a testbed can live there and returns its
// real path. It reports whether the folder was missing.
func prepareDir(dir string) (string, bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", false, err
	}
	if err := usableDir(dir); err != nil {
		return "", false, err
	}
	made := !exists(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, fmt.Errorf("making the testbed's folder: %w", err)
	}
	dir, err = filepath.EvalSymlinks(dir)
	if err != nil {
		return "", false, err
	}
	if err := usableDir(dir); err != nil {
		return "", false, err
	}
	return dir, made, vacant(dir)
}

func usableDir(dir string) error {
	if longest := maxSocketPath - len(longestSocket); len(dir) > longest {
		return fmt.Errorf("%s is too long for the sockets in it: it has %d bytes and may have %d; give a shorter one",
			dir, len(dir), longest)
	}
	if !plainPath.MatchString(dir) {
		return fmt.Errorf("%q has characters the engine would misread: letters, digits and /._+@- are safe", dir)
	}
	for _, h := range hidden {
		if dir == h || strings.HasPrefix(dir, h+"/") {
			return fmt.Errorf("%s lies in %s, which the engine sees as another folder: give one elsewhere", dir, h)
		}
	}
	return nil
}

// vacant returns an error if there is anything in dir, except for the lock of
// an Up that was killed before it did anything.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == stateName }) {
		return inUse(dir)
	}
	for _, e := range entries {
		if e.Name() != lockName && e.Name() != stateName+unfinished {
			return fmt.Errorf("%s is no testbed and not empty (%s): give an empty or a new folder", dir, e.Name())
		}
	}
	return nil
}

func inUse(dir string) error {
	return fmt.Errorf("%s is in use by a testbed: run `testbed down --dir %s` first", dir, dir)
}

// clearDir removes what a testbed put into dir, and what it was about to put
// there when it was killed.
func clearDir(dir string) error {
	var errs []error
	for _, name := range contents {
		path := filepath.Join(dir, name)
		errs = append(errs, os.RemoveAll(path+unfinished), os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// A dirLock is held by the one command that changes a testbed. It ends with
// its process, and not before a child that is being forked has become another
// program: a child shares the open lock until it executes. So whoever gets
// the lock sees, in /proc, every process the last holder started.
type dirLock struct{ file *os.File }

// lockDir locks dir, waiting for as long as patience.
func lockDir(ctx context.Context, dir string, patience time.Duration) (dirLock, error) {
	deadline := time.Now().Add(patience)
	for {
		lock, err := tryLock(dir)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return lock, err
		}
		if time.Now().After(deadline) {
			return dirLock{}, fmt.Errorf("another testbed command is at work in %s: wait for it, or end it, and try again", dir)
		}
		if err := pause(ctx); err != nil {
			return dirLock{}, err
		}
	}
}

func tryLock(dir string) (dirLock, error) {
	name := filepath.Join(dir, lockName)
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return dirLock{}, fmt.Errorf("locking the testbed's folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return dirLock{}, errors.Join(err, file.Close())
	}
	// Down removes the file while it holds the lock: what was locked here may
	// be no more the file that others lock.
	locked, err := file.Stat()
	if err != nil {
		return dirLock{}, errors.Join(err, file.Close())
	}
	current, err := os.Stat(name)
	if err != nil || !os.SameFile(locked, current) {
		return dirLock{}, errors.Join(syscall.EWOULDBLOCK, file.Close())
	}
	return dirLock{file}, nil
}

func (l dirLock) release() { _ = l.file.Close() } // closing is what unlocks

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
