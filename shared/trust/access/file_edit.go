package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/distribution/reference"
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// Set keeps a login for a host, in place of any that is there. What else the
// file says stays; a crash leaves the old file or the new one.
func (f *File) Set(host string, login Login) error {
	if err := checkHost(host); err != nil {
		return err
	}
	entry, err := encodeLogin(login)
	if err != nil {
		return fmt.Errorf("keeping a login for %s: %w", host, err)
	}
	err = f.edit(func(kept *authFile) bool {
		kept.remove(host)
		kept.auths = append(kept.auths, member{keyOf(host), entry})
		return true
	})
	if err != nil {
		return fmt.Errorf("keeping a login for %s: %w", host, err)
	}
	return nil
}

// Remove forgets the logins for a host, under each of its names. Where there
// is none it does nothing.
func (f *File) Remove(host string) error {
	err := f.edit(func(kept *authFile) bool { return kept.remove(host) })
	if err != nil {
		return fmt.Errorf("removing the login for %s: %w", host, err)
	}
	return nil
}

// checkHost wants a host as image names have it, so that it will be found.
func checkHost(host string) error {
	name, err := reference.ParseNormalizedNamed(host + "/x")
	if err != nil || reference.Domain(name) != host {
		return fmt.Errorf("%q is no host of images: want it as it stands in their names, such as dtr.example.com:4443, or docker.io", host)
	}
	return nil
}

// edit changes the file, unless change says that there is nothing to do.
func (f *File) edit(change func(*authFile) bool) error {
	path, err := filepath.EvalSymlinks(f.path) // a link to the file stays one
	if errors.Is(err, fs.ErrNotExist) {
		path, err = f.path, nil
	}
	if err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && filepath.Clean(dir) == folder {
		return fmt.Errorf("%s comes from systemd: change the file that LoadCredential= names in the unit", f.path)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	unlock, err := lock(folder)
	if err != nil {
		return err
	}
	defer unlock()
	kept, err := readToEdit(path)
	if err != nil {
		return err
	}
	if !change(kept) {
		return nil
	}
	raw, err := kept.encode()
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.kept = nil, nil
	return replace(path, raw)
}

func readToEdit(path string) (*authFile, error) {
	raw, _, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &authFile{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseAuthFile(path, raw)
}

// replace writes beside the file and renames; the secret is never in a folder
// of temporary files.
func replace(path string, raw []byte) error {
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = file.Cleanup() }() // does nothing once it is in place
	if _, err := file.Write(raw); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

// lock keeps other processes from changing a file of the folder between our
// look and our write. It is on the folder itself and leaves nothing behind.
func lock(folder string) (unlock func(), err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", folder, err), dir.Close())
		}
		return func() { _ = dir.Close() }, nil // closing unlocks
	}
}
