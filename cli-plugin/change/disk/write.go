package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// A Writer changes files.
type Writer struct {
	// Tag is in the names of files that are not yet in their place.
	Tag string
	// Before is called before each step that changes something; the step is
	// not made if it fails. Nil: nothing is in the way. Tests spoil by it.
	Before func(step, path string) error
}

func (w Writer) before(step, path string) error {
	if w.Before == nil {
		return nil
	}
	if err := w.Before(step, path); err != nil {
		return &fs.PathError{Op: step, Path: path, Err: err}
	}
	return nil
}

// temporary is where a file is written before it takes its place.
func (w Writer) temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".stig-"+w.Tag)
}

// Put brings a file into a state: bytes, owner, mode and attributes at once,
// or owner and mode alone where the bytes are right. Its folder is there.
func (w Writer) Put(path string, s State) error {
	now, err := Look(path)
	switch {
	case err != nil:
		return err
	case !s.Exists && !now.Exists:
		return w.Sweep(path)
	case !s.Exists:
		return w.remove(path)
	case now.SameBytes(s) && now.SameOwner(s):
		return w.Sweep(path)
	case now.SameBytes(s):
		return w.own(path, now, s)
	case !s.Regular() || now.Exists && !now.Regular():
		return fmt.Errorf("%s is not the kind of file that it was: put it right by hand", path)
	}
	return w.replace(path, s)
}

// Sweep takes away what an earlier Put left that was cut off.
func (w Writer) Sweep(path string) error {
	if _, err := os.Lstat(w.temporary(path)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err := w.before("remove", w.temporary(path)); err != nil {
		return err
	}
	return os.Remove(w.temporary(path))
}

// replace writes a new file and renames it.
func (w Writer) replace(path string, s State) error {
	if err := w.Sweep(path); err != nil {
		return err
	}
	temporary := w.temporary(path)
	err := w.write(temporary, s)
	if err == nil {
		err = w.before("rename", path)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // what cannot be taken away now is swept later
		return err
	}
	return w.syncFolder(filepath.Dir(path))
}

func (w Writer) write(path string, s State) error {
	if err := w.before("create", path); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = w.fill(file, s)
	return errors.Join(err, file.Close())
}

// fill gives a file all that it is to have, and has it on the disk.
func (w Writer) fill(file *os.File, s State) error {
	half := len(s.Bytes) / 2
	steps := []struct {
		name string
		do   func() error
	}{
		{"write", func() error { _, err := file.Write(s.Bytes[:half]); return err }}, // in two, so that tests see a half
		{"write", func() error { _, err := file.Write(s.Bytes[half:]); return err }},
		{"chown", func() error { return file.Chown(s.UID, s.GID) }},
		{"chmod", func() error { return unix.Fchmod(int(file.Fd()), s.Mode) }}, // after chown, which takes bits away
		{"attributes", func() error { return setAttrs(file, s.Attrs) }},
		{"times", func() error { return setTime(file, s) }},
		{"sync", file.Sync},
	}
	for _, step := range steps {
		if err := w.before(step.name, file.Name()); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return &fs.PathError{Op: step.name, Path: file.Name(), Err: err}
		}
	}
	return nil
}

// setAttrs leaves alone what the folder has given the file already.
func setAttrs(file *os.File, attrs map[string][]byte) error {
	value := make([]byte, maxAttrs)
	for _, name := range attrNames(attrs) {
		n, err := unix.Fgetxattr(int(file.Fd()), name, value)
		if err == nil && bytes.Equal(value[:n], attrs[name]) {
			continue
		}
		if err := unix.Fsetxattr(int(file.Fd()), name, attrs[name], 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setTime gives back the time of a file that is put back: the engine's
// configuration counts as changed by it.
func setTime(file *os.File, s State) error {
	if s.Modified.IsZero() {
		return nil
	}
	return os.Chtimes(file.Name(), s.Modified, s.Modified)
}

// own changes owner and mode of what is there, be it a folder or a socket.
// Whoever looks meanwhile finds no permission that neither state has.
func (w Writer) own(path string, from, to State) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	handle := fmt.Sprintf("/proc/self/fd/%d", fd) // the file itself, whatever is renamed meanwhile
	steps := []struct {
		name string
		do   func() error
	}{
		{"chmod", func() error { return unix.Chmod(handle, from.Mode&to.Mode) }},
		{"chown", func() error { return unix.Chown(handle, to.UID, to.GID) }},
		{"chmod", func() error { return unix.Chmod(handle, to.Mode) }},
	}
	if from.UID == to.UID && from.GID == to.GID {
		steps = steps[2:]
	}
	for _, step := range steps {
		if err := w.before(step.name, path); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return &fs.PathError{Op: step.name, Path: path, Err: err}
		}
	}
	return nil
}

func (w Writer) remove(path string) error {
	if err := w.Sweep(path); err != nil {
		return err
	}
	if err := w.before("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return w.syncFolder(filepath.Dir(path))
}

// MissingFolders are those that a path needs and that are not there, the
// outermost first.
func MissingFolders(path string) []string {
	var missing []string
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil || dir == filepath.Dir(dir) {
			slices.Reverse(missing)
			return missing
		}
		missing = append(missing, dir)
	}
}

// MakeFolder makes one folder, unless it is there.
func (w Writer) MakeFolder(path string, mode fs.FileMode) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := w.before("mkdir", path); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return w.syncFolder(filepath.Dir(path))
}

// RemoveFolder takes an empty folder away. One that others have put something
// into stays.
func (w Writer) RemoveFolder(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := w.before("rmdir", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return w.syncFolder(filepath.Dir(path))
}

// syncFolder makes what a folder lists outlive a power cut.
func (w Writer) syncFolder(path string) error {
	if err := w.before("sync folder", path); err != nil {
		return err
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
