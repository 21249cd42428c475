// Package disk looks at files of this machine, and puts others in their place:
// at once or not at all, with the owner, the mode and the extended attributes
// (SELinux's label and ACLs among them) that they are to have. It decides
// nothing about what is in a file.
//
// google/renameio was turned down here: it keeps no attributes, and its sync
// and rename cannot be made to fail one by one, as the tests of what rests on
// this package do.
package disk

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxFile  = 32 << 20 // bytes; configurations are some KiB, an exported one of UCP some MiB
	maxAttrs = 64 << 10 // bytes; the kernel's own bound for all names, and for a value
)

// A State is how a file stands, or is to stand. The zero State is that of a
// file that is not there.
type State struct {
	Exists   bool              `json:"exists"`
	Folder   bool              `json:"folder,omitempty"`
	Special  bool              `json:"special,omitempty"` // a socket, a device: its owner and mode can be changed
	UID      int               `json:"uid"`
	GID      int               `json:"gid"`
	Mode     uint32            `json:"mode"` // permissions, and the bits for set-user-ID, set-group-ID and sticky
	Modified time.Time         `json:"modified,omitzero"`
	Attrs    map[string][]byte `json:"attrs,omitempty"`
	Sum      string            `json:"sum,omitempty"` // SHA-256 of a regular file's bytes, in hexadecimal
	Bytes    []byte            `json:"-"`             // of a regular file; kept elsewhere than in a journal
	Links    int               `json:"-"`
	Locked   bool              `json:"-"` // immutable, or append-only: chattr(1)
}

// Sum is the SHA-256 of bytes, in hexadecimal.
func Sum(raw []byte) string { return fmt.Sprintf("%x", sha256.Sum256(raw)) }

// Regular reports whether it is a file with bytes.
func (s State) Regular() bool { return s.Exists && !s.Folder && !s.Special }

// With is the state with other bytes.
func (s State) With(raw []byte) State {
	s.Exists, s.Bytes, s.Sum = true, raw, Sum(raw)
	s.Modified = time.Time{}
	return s
}

// SameBytes reports whether two states agree in being there, and in bytes.
func (s State) SameBytes(other State) bool {
	return s.Exists == other.Exists && s.Folder == other.Folder && s.Special == other.Special && s.Sum == other.Sum
}

// SameOwner reports whether two states agree in owner, group and mode.
func (s State) SameOwner(other State) bool {
	return s.UID == other.UID && s.GID == other.GID && s.Mode == other.Mode
}

// Same reports whether two states agree in all but time and attributes.
func (s State) Same(other State) bool {
	return s.SameBytes(other) && (!s.Exists || s.SameOwner(other))
}

// Ownership is "0:0 0644".
func (s State) Ownership() string { return fmt.Sprintf("%d:%d %04o", s.UID, s.GID, s.Mode) }

// Real gives the path behind symbolic links, also where its end is not there
// yet. A link that leads nowhere is an error.
func Real(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("%s is no absolute path", path)
	}
	found, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if target, err := os.Readlink(path); err == nil {
		return "", fmt.Errorf("%s is a dangling link to %s: mend it", path, target)
	}
	if filepath.Dir(path) == path {
		return path, nil
	}
	dir, err := Real(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// Look tells how the file at a path stands; a symbolic link there or on the way
// is ErrLink: see Real.
func Look(path string) (State, error) {
	at, err := hold(path, false)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return State{}, nil
	}
	if err != nil {
		return State{}, err
	}
	defer at.release()
	return at.look()
}
