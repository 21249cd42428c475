package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Writer changes files. It holds on to a file's folder while it is at work,
// and finds the file by its name in there.
type Writer struct {
	// Tag is in the names of files that are not yet in their place.
	Tag string
	// Before is called before each step that changes something; the step is
	// not made if it fails. Nil: nothing is in the way. Tests spoil by it.
	Before func(step, path string) error
}

// do makes a step.
func (w Writer) do(step, path string, act func() error) error {
	var err error
	if w.Before != nil {
		err = w.Before(step, path)
	}
	if err == nil {
		err = act()
	}
	if inner := new(fs.PathError); errors.As(err, &inner) {
		err = inner.Err // it names a handle, or the same once more
	}
	if err != nil {
		return &fs.PathError{Op: step, Path: path, Err: err}
	}
	return nil
}

// temporary is the name of a file before it takes its place.
func (w Writer) temporary(name string) string { return "." + name + ".stig-" + w.Tag }

// Put brings a file into a state: bytes, owner, mode and attributes at once,
// or owner and mode alone where the bytes are right. Its folder is there.
func (w Writer) Put(path string, s State) error {
	folder, err := hold(filepath.Dir(path), true)
	if absent(err) && !s.Exists {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.release()
	if err := w.sweep(folder, filepath.Base(path)); err != nil {
		return err
	}
	at, err := folder.below(filepath.Base(path), false)
	switch {
	case absent(err) && !s.Exists:
		return nil
	case absent(err) && s.Regular():
		return w.replace(folder, filepath.Base(path), s)
	case err != nil:
		return err
	}
	defer at.release()
	now, err := at.look()
	switch {
	case err != nil:
		return err
	case !s.Exists:
		return w.remove(folder, filepath.Base(path))
	case now.SameBytes(s) && now.SameOwner(s):
		return nil
	case now.SameBytes(s):
		return w.own(folder, at, now, s)
	case !s.Regular() || !now.Regular():
		return fmt.Errorf("%s is not the kind of file that it was: put it right by hand", path)
	}
	return w.replace(folder, filepath.Base(path), s)
}

// absent reports whether an error says that nothing is there.
func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// sweep takes away what an earlier Put left that was cut off.
func (w Writer) sweep(folder *handle, name string) error {
	left, err := folder.below(w.temporary(name), false)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	left.release()
	return w.do("remove", left.path, func() error { return unix.Unlinkat(folder.fd, w.temporary(name), 0) })
}

// replace writes a new file and renames it.
func (w Writer) replace(folder *handle, name string, s State) error {
	temporary := w.temporary(name)
	err := w.write(folder, temporary, s)
	if err == nil {
		err = w.do("rename", filepath.Join(folder.path, name), func() error {
			return unix.Renameat(folder.fd, temporary, folder.fd, name)
		})
	}
	if err != nil {
		_ = unix.Unlinkat(folder.fd, temporary, 0) // what cannot be taken away now is swept later
		return err
	}
	return w.sync(folder)
}

func (w Writer) write(folder *handle, name string, s State) error {
	path := filepath.Join(folder.path, name)
	var file *os.File
	err := w.do("create", path, func() error {
		fd, err := unix.Openat(folder.fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		file = os.NewFile(uintptr(fd), path)
		return err
	})
	if err != nil {
		return err
	}
	err = w.fill(file, s)
	return errors.Join(err, file.Close())
}

// fill gives a file all that it is to have, and has it on the disk.
func (w Writer) fill(file *os.File, s State) error {
	half := len(s.Bytes) / 2
	for _, step := range []struct {
		name string
		act  func() error
	}{
		{"write", func() error { _, err := file.Write(s.Bytes[:half]); return err }}, // in two, so that tests see a half
		{"write", func() error { _, err := file.Write(s.Bytes[half:]); return err }},
		{"chown", func() error { return file.Chown(s.UID, s.GID) }},
		{"attributes", func() error { return setAttrs(file, s.Attrs) }},
		{"chmod", func() error { return unix.Fchmod(int(file.Fd()), s.Mode) }}, // last: an owner takes bits away, and an ACL is a mode, too
		{"times", func() error { return setTime(file, s.Modified) }},
		{"sync", file.Sync},
	} {
		if err := w.do(step.name, file.Name(), step.act); err != nil {
			return err
		}
	}
	return nil
}

// accessACL says who may read a file beside its mode: acl(5). A folder may
// give one to all that is made in it.
const accessACL = "system.posix_acl_access"

// setAttrs takes away the ACL that the folder has given the file, and leaves
// alone what else it has from there: labels of security modules.
func setAttrs(file *os.File, attrs map[string][]byte) error {
	fd := int(file.Fd())
	if _, wanted := attrs[accessACL]; !wanted {
		err := unix.Fremovexattr(fd, accessACL)
		if err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("%s: %w", accessACL, err)
		}
	}
	value := make([]byte, maxAttrs)
	for _, name := range attrNames(attrs) {
		n, err := unix.Fgetxattr(fd, name, value)
		if err == nil && bytes.Equal(value[:n], attrs[name]) {
			continue
		}
		if err := unix.Fsetxattr(fd, name, attrs[name], 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setTime gives back the time of a file that is put back: the engine's
// configuration counts as changed by it.
func setTime(file *os.File, modified time.Time) error {
	if modified.IsZero() {
		return nil
	}
	return os.Chtimes((&handle{fd: int(file.Fd())}).self(), modified, modified)
}

// own changes owner and mode of what is held, be it a folder or a socket.
// Whoever looks meanwhile finds no permission that neither state has. The mode
// comes last, and has an ACL follow it: the bits of the group are its mask.
func (w Writer) own(folder, at *handle, from, to State) error {
	if from.Links > 1 && !from.Folder {
		if err := folder.guarded(at.path, from.Links); err != nil {
			return err
		}
	}
	steps := []struct {
		name string
		act  func() error
	}{
		{"chmod", func() error { return unix.Chmod(at.self(), from.Mode&to.Mode) }},
		{"chown", func() error { return unix.Chown(at.self(), to.UID, to.GID) }},
		{"chmod", func() error { return unix.Chmod(at.self(), to.Mode) }},
	}
	if from.UID == to.UID && from.GID == to.GID {
		steps = steps[2:]
	}
	for _, step := range steps {
		if err := w.do(step.name, at.path, step.act); err != nil {
			return err
		}
	}
	return nil
}

// guarded wants nobody but root and the user to be able to put names into a
// folder. Whoever can gives a file of somebody else's one in there, and a rule
// that means the name would open or close that file.
func (h *handle) guarded(path string, links int) error {
	folder, err := h.look()
	if err != nil {
		return err
	}
	if folder.Mode&0o022 == 0 && (folder.UID == 0 || folder.UID == os.Geteuid()) {
		return nil
	}
	return fmt.Errorf("%s is one of %d names of a file (hard links), in a folder that not only root may write (%s, %s): its owner and mode stay as they are; see whose file it is, and take the name away or close the folder",
		path, links, h.path, folder.Ownership())
}

func (w Writer) remove(folder *handle, name string) error {
	err := w.do("remove", filepath.Join(folder.path, name), func() error { return unix.Unlinkat(folder.fd, name, 0) })
	if err != nil {
		return err
	}
	return w.sync(folder)
}

// Touch has a file count as changed now.
func (w Writer) Touch(path string, now time.Time) error {
	at, err := hold(path, false)
	if err != nil {
		return err
	}
	defer at.release()
	return w.do("times", path, func() error { return os.Chtimes(at.self(), now, now) })
}
