package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

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

// MakeFolder makes one folder, unless it is there. Its mode is as it is said,
// whatever the umask of the one who runs this.
func (w Writer) MakeFolder(path string, mode uint32) error {
	now, err := Look(path)
	if err != nil || now.Folder {
		return err
	}
	return w.inFolder(path, "mkdir", func(fd int, name string) error {
		if err := unix.Mkdirat(fd, name, mode); err != nil {
			return err
		}
		made, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fchmod(made, mode), unix.Close(made))
	})
}

// RemoveFolder takes an empty folder away. One that others have put something
// into stays.
func (w Writer) RemoveFolder(path string) error {
	now, err := Look(path)
	if err != nil || !now.Exists {
		return err
	}
	return w.inFolder(path, "rmdir", func(fd int, name string) error {
		err := unix.Unlinkat(fd, name, unix.AT_REMOVEDIR)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// inFolder changes a name in its folder.
func (w Writer) inFolder(path, step string, change func(fd int, name string) error) error {
	folder, err := hold(filepath.Dir(path), true)
	if err != nil {
		return err
	}
	defer folder.release()
	if err := w.do(step, path, func() error { return change(folder.fd, filepath.Base(path)) }); err != nil {
		return err
	}
	return w.sync(folder)
}

// sync makes what a folder lists outlive a power cut.
func (w Writer) sync(folder *handle) error {
	return w.do("sync folder", folder.path, func() error {
		dir, err := os.Open(folder.self())
		if err != nil {
			return errors.Unwrap(err)
		}
		defer dir.Close()
		return dir.Sync()
	})
}
