package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Save writes a policy in place of the one that was read: at once or not at
// all, with the owner and mode that the file has, 0644 if it is new. Behind a
// symlink the file it names is written. It refuses if the file no longer holds
// before, which is empty for a file that is to be new; of several at a time
// with the same before, one succeeds.
func Save(path string, before, after []byte) error {
	if err := save(path, before, after); err != nil {
		return fmt.Errorf("writing the policy: %w", err)
	}
	return nil
}

func save(path string, before, after []byte) error {
	target, err := resolve(path)
	if err != nil {
		return err
	}
	unlock, err := lock(filepath.Dir(target), maxWait)
	if err != nil {
		return err
	}
	defer unlock()
	old, err := unchanged(target, before)
	if err != nil {
		return err
	}
	// The new file is made beside the old: TMPDIR may be anybody's.
	opts := []renameio.Option{renameio.WithTempDir(filepath.Dir(target)), renameio.WithStaticPermissions(0o644)}
	if old != nil {
		opts = append(opts, renameio.WithStaticPermissions(old.Mode()))
	}
	file, err := renameio.NewPendingFile(target, opts...)
	if err != nil {
		return err
	}
	defer file.Cleanup() //nolint:errcheck // after a replace there is nothing left to clean
	if err := keepOwner(file, old); err != nil {
		return err
	}
	if _, err := file.Write(after); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	// Once more: an editor asks for no lock, and the disk may have taken its time.
	if now, err := resolve(path); err != nil || now != target {
		return errors.Join(fmt.Errorf("%s was another file when it was read: look at it and try again", path), err)
	}
	if _, err := unchanged(target, before); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// maxWait bounds the wait for others, who take some milliseconds each. Whoever
// may read the folder can lock it, and must not stop edits for good unnoticed.
const maxWait = 10 * time.Second

// lock keeps other processes from saving into a folder between our look and
// our rename. It is on the folder itself, under whatever name that was found:
// it leaves nothing behind, and the file is another one after every save.
func lock(folder string, patience time.Duration) (unlock func(), err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = dir.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", folder, err), dir.Close())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("another program has locked %s for %v: end it (fuser %s names it) and try again", folder, patience, folder), dir.Close())
		}
	}
}

// resolve follows symlinks to the file that is to be replaced.
func resolve(path string) (string, error) {
	target, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if missing, err := os.Readlink(path); err == nil {
		return "", fmt.Errorf("%s is a symlink to %s, which is not there: make that file, or take the symlink away", path, missing)
	}
	return path, nil
}

// keepOwner gives the new file the owner of the old one, if there is one.
func keepOwner(file *renameio.PendingFile, old fs.FileInfo) error {
	if old == nil {
		return nil
	}
	owner, ok := old.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("the owner of %s cannot be told", old.Name())
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

// unchanged compares a file with the bytes that were read of it. There is no
// information about a file that is to be new.
func unchanged(path string, before []byte) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && len(before) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	now, err := io.ReadAll(io.LimitReader(file, maxPolicy+1))
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(now, before) {
		return nil, fmt.Errorf("%s was changed since it was read: look at it and try again", path)
	}
	return info, nil
}
