package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// errUnbelieved says that a file is there and does not say what it should, or
// may have been written by somebody else.
var errUnbelieved = errors.New("it is not believed")

// rootsAlone believes a file of root's that nobody else can write.
func rootsAlone(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
		return errors.New("want a file of root's that nobody else can write (chown root:root, chmod 600)")
	}
	return nil
}

// readOwned reads a regular file of at most max bytes that owner accepts. It
// follows no symlink in the last place and waits for no pipe.
func readOwned(path string, maxSize int64, owner func(fs.FileInfo) error) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a symlink: %w", path, errUnbelieved)
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file: %w", path, errUnbelieved)
	}
	if err := owner(info); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, errUnbelieved, err)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > maxSize {
		return nil, fmt.Errorf("%s has more than %d bytes: %w", path, maxSize, errUnbelieved)
	}
	return raw, nil
}

// decode reads one JSON value with no unknown fields and nothing behind it.
func decode(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errUnbelieved, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more behind its end", errUnbelieved)
	}
	return nil
}
