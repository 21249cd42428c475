package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// maxFile bounds what is read of one file: configurations are some KiB, the
// rules of an audit daemon at most a few hundred.
const maxFile = 8 << 20 // bytes

// Files are the files of an engine's host, by absolute paths. Symbolic links
// are followed as the host itself would. What is not there is
// fs.ErrNotExist.
type Files interface {
	Stat(name string) (File, error)
	// Read reads a regular file; anything else, or one that is too large, is
	// an error.
	Read(name string) ([]byte, error)
	// List gives the names in a directory, sorted.
	List(dir string) ([]string, error)
	// Link gives what a symbolic link says.
	Link(name string) (string, error)
}

// A File is what there is to judge of one.
type File struct {
	Path     string
	Mode     fs.FileMode // type and permissions
	Owner    string      // name, or number where the host knows none
	Group    string
	Modified time.Time
}

// A Disk has the files below a root directory: "/" for this host's own, or
// where another's are mounted. Names of owners are the mounted host's.
type Disk struct {
	Root   string
	owners map[string]string // "u0" and "g0" to names; nil: this host's own
}

// NewDisk reads who owns files from the root's own passwd and group.
func NewDisk(root string) *Disk {
	d := &Disk{Root: root}
	if root == "/" {
		return d // as nsswitch says
	}
	d.owners = map[string]string{}
	for prefix, name := range map[string]string{"u": "/etc/passwd", "g": "/etc/group"} {
		raw, err := d.Read(name)
		if err != nil {
			continue // numbers will do
		}
		for line := range strings.Lines(string(raw)) {
			if fields := strings.Split(line, ":"); len(fields) > 2 {
				d.owners[prefix+fields[2]] = fields[0]
			}
		}
	}
	return d
}

func (d *Disk) resolve(name string) (string, error) {
	if !path.IsAbs(name) {
		return "", fmt.Errorf("%s is no absolute path", name)
	}
	return securejoin.SecureJoin(d.Root, name)
}

// Stat describes a file, behind symbolic links.
func (d *Disk) Stat(name string) (File, error) {
	full, err := d.resolve(name)
	if err != nil {
		return File{}, err
	}
	info, err := os.Lstat(full)
	if err != nil {
		return File{}, d.inside(name, err)
	}
	f := File{Path: name, Mode: info.Mode(), Modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Owner, f.Group = d.owner("u", sys.Uid), d.owner("g", sys.Gid)
	}
	return f, nil
}

// owner names a number.
func (d *Disk) owner(kind string, number uint32) string {
	id := strconv.FormatUint(uint64(number), 10)
	if d.owners != nil {
		if name, ok := d.owners[kind+id]; ok {
			return name
		}
		return id
	}
	if kind == "u" {
		if found, err := user.LookupId(id); err == nil {
			return found.Username
		}
		return id
	}
	if found, err := user.LookupGroupId(id); err == nil {
		return found.Name
	}
	return id
}

// Read reads a regular file. It waits for no pipe and no device.
func (d *Disk) Read(name string) ([]byte, error) {
	full, err := d.resolve(name)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(full, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, d.inside(name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, d.inside(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file but a %s", name, kindOf(info.Mode()))
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, d.inside(name, err)
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("%s has more than %d MiB: is it the right file?", name, maxFile>>20)
	}
	return raw, nil
}

// List gives the names in a directory, sorted.
func (d *Disk) List(dir string) ([]string, error) {
	full, err := d.resolve(dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		return nil, d.inside(dir, err)
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// Link gives what a symbolic link says.
func (d *Disk) Link(name string) (string, error) {
	dir, err := d.resolve(path.Dir(name))
	if err != nil {
		return "", err
	}
	target, err := os.Readlink(path.Join(dir, path.Base(name)))
	return target, d.inside(name, err)
}

// inside names a file as the host does.
func (d *Disk) inside(name string, err error) error {
	if wrong := new(fs.PathError); errors.As(err, &wrong) {
		return &fs.PathError{Op: wrong.Op, Path: name, Err: wrong.Err}
	}
	return err
}

// kindOf says what a file is that is no regular one.
func kindOf(mode fs.FileMode) string {
	kinds := []struct {
		bit  fs.FileMode
		name string
	}{{fs.ModeDir, "directory"}, {fs.ModeNamedPipe, "pipe"}, {fs.ModeSocket, "socket"}, {fs.ModeDevice, "device"}, {fs.ModeSymlink, "dangling link"}}
	for _, kind := range kinds {
		if mode&kind.bit != 0 {
			return kind.name
		}
	}
	return "special file"
}

// seen gives the host's files, or ErrRemote where they cannot be seen.
func (h *Host) seen() (Files, error) {
	if h.Files == nil {
		return nil, h.unseen()
	}
	return h.Files, nil
}

// unseen says why the host's files cannot be seen.
func (h *Host) unseen() error {
	if h.Unseen != nil {
		return h.Unseen
	}
	return ErrRemote
}

// Stat describes a file of the host.
func (h *Host) Stat(name string) (File, error) {
	files, err := h.seen()
	if err != nil {
		return File{}, err
	}
	return files.Stat(name)
}

// Read reads a file of the host.
func (h *Host) Read(name string) ([]byte, error) {
	files, err := h.seen()
	if err != nil {
		return nil, err
	}
	return files.Read(name)
}

// List gives the names in a directory of the host, sorted.
func (h *Host) List(dir string) ([]string, error) {
	files, err := h.seen()
	if err != nil {
		return nil, err
	}
	return files.List(dir)
}
