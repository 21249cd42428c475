package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLink says that a symbolic link stands at a path, or on the way to it.
var ErrLink = errors.New("it is a symbolic link: name what it leads to")

// A handle is what was found at a path, whatever the path leads to by now.
type handle struct {
	fd   int
	path string
}

// hold finds what stands at a path, folder by folder and through no symbolic
// link: whoever may write a folder on the way can lead nobody elsewhere.
// openat2(2) does so at once, and is turned down because Linux has it from 5.6
// on: Docker Enterprise runs on older ones.
func hold(path string, folder bool) (*handle, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%s is no absolute path", path)
	}
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	at := &handle{fd, "/"}
	names := strings.FieldsFunc(filepath.Clean(path), func(r rune) bool { return r == '/' })
	for i, name := range names {
		next, err := at.below(name, folder || i < len(names)-1)
		at.release()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// below is what stands under a name in a folder, and itself a folder if it is
// to be one.
func (h *handle) below(name string, folder bool) (*handle, error) {
	flags := unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if folder {
		flags |= unix.O_DIRECTORY // has an automounter mount it, too
	}
	path := filepath.Join(h.path, name)
	fd, err := unix.Openat(h.fd, name, flags, 0)
	if errors.Is(err, unix.ENOTDIR) && h.hasLink(name) {
		err = ErrLink
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &handle{fd, path}, nil
}

func (h *handle) hasLink(name string) bool {
	var stat unix.Stat_t
	return unix.Fstatat(h.fd, name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil && stat.Mode&unix.S_IFMT == unix.S_IFLNK
}

func (h *handle) release() { _ = unix.Close(h.fd) } // nothing was written through it

// self is a path to what is held, and to nothing else: proc_pid_fd(5).
func (h *handle) self() string { return fmt.Sprintf("/proc/self/fd/%d", h.fd) }

// look tells how what is held stands.
func (h *handle) look() (State, error) {
	var stat unix.Statx_t
	if err := unix.Statx(h.fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &stat); err != nil {
		return State{}, &fs.PathError{Op: "stat", Path: h.path, Err: err}
	}
	kind := stat.Mode & unix.S_IFMT
	if kind == unix.S_IFLNK {
		return State{}, &fs.PathError{Op: "open", Path: h.path, Err: ErrLink}
	}
	s := State{
		Exists: true, Folder: kind == unix.S_IFDIR, Special: kind != unix.S_IFDIR && kind != unix.S_IFREG,
		UID: int(stat.Uid), GID: int(stat.Gid), Mode: uint32(stat.Mode &^ unix.S_IFMT),
		Modified: time.Unix(stat.Mtime.Sec, int64(stat.Mtime.Nsec)).UTC(), Links: int(stat.Nlink),
		Locked: stat.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0,
	}
	if !s.Regular() {
		return s, nil
	}
	var err error
	if s.Attrs, err = h.attrs(); err != nil {
		return s, err
	}
	if s.Bytes, err = h.read(); err != nil {
		return s, err
	}
	s.Sum = Sum(s.Bytes)
	return s, nil
}

func (h *handle) read() ([]byte, error) {
	file, err := os.Open(h.self())
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: h.path, Err: errors.Unwrap(err)}
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s has more than %d MiB: is it the right file?", h.path, maxFile>>20)
	}
	return raw, err
}

// attrs are the extended attributes of a file. A file system without any has
// none.
func (h *handle) attrs() (map[string][]byte, error) {
	names := make([]byte, maxAttrs)
	n, err := unix.Listxattr(h.self(), names)
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listxattr", Path: h.path, Err: err}
	}
	found := map[string][]byte{}
	value := make([]byte, maxAttrs)
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		n, err := unix.Getxattr(h.self(), name, value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue // gone meanwhile, or of a module that has none here
		}
		if err != nil {
			return nil, &fs.PathError{Op: "getxattr " + name, Path: h.path, Err: err}
		}
		found[name] = slices.Clone(value[:n])
	}
	return found, nil
}

// attrNames lists attributes in one order.
func attrNames(attrs map[string][]byte) []string { return slices.Sorted(maps.Keys(attrs)) }
