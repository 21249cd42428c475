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

	"github.com/google/renameio/v2"
)

// Save writes a policy in place of the one that was read: at once or not at
// all, with the owner and mode that the file has, 0644 if it is new. Behind a
// symlink the file it names is written. It refuses if the file no longer holds
// before, which is empty for a file that is to be new.
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
	// Once more, since the disk may have taken its time.
	if _, err := unchanged(target, before); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
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
