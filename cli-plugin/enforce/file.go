package enforce

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A Kind says what a file is for, and so how it is taken back after others
// have changed it.
type Kind string

// The kinds of files that enabling changes.
const (
	PolicyFile Kind = "policy"
	DaemonFile Kind = "daemon.json"
	UnitFile   Kind = "unit"
)

// A File is one that enabling changes, as it was and as it is to be.
type File struct {
	Path          string
	Kind          Kind
	Existed       bool
	Mode          fs.FileMode
	UID, GID      int
	Before, After []byte `json:"-"` // beside the journal, as a person can put them back

	BeforeSum, AfterSum string // SHA-256 of the bytes, in a journal
}

// most is how large a file of a kind may be, in bytes.
func (k Kind) most() int64 {
	if k == PolicyFile {
		return maxPolicy
	}
	return maxConfig
}

// newFile notes a file as it is. Behind a symlink it is the file that is
// named.
func newFile(kind Kind, path string) (File, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	f := File{Path: path, Kind: kind, Mode: 0o644}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return f, fmt.Errorf("%s is no regular file: see to it first", path)
	}
	f.Existed, f.Mode, f.UID, f.GID = true, info.Mode().Perm(), int(stat.Uid), int(stat.Gid)
	f.Before, err = readBounded(path, kind.most())
	return f, err
}

// changes reports whether there is anything to do.
func (f File) changes() bool { return !f.Existed || !bytes.Equal(f.Before, f.After) }

// apply writes what is to be, unless the file has changed since it was read.
func (f File) apply() error {
	if f.Kind == PolicyFile {
		return policy.Save(f.Path, f.Before, f.After) // waits for others who edit it
	}
	now, err := newFile(f.Kind, f.Path)
	if err != nil {
		return err
	}
	if now.Existed != f.Existed || !bytes.Equal(now.Before, f.Before) {
		return fmt.Errorf("%s was changed since it was read: look at it and try again", f.Path)
	}
	return f.write(f.After)
}

// restore makes the file what it was. One that others have changed since
// loses what enabling has put there, and nothing else.
func (f File) restore() error {
	now, err := newFile(f.Kind, f.Path)
	if err != nil {
		return fmt.Errorf("taking back %s: %w", f.Path, err)
	}
	if now.Existed == f.Existed && bytes.Equal(now.Before, f.Before) || !now.Existed && f.Kind != PolicyFile {
		return nil // it never came to be, was taken back before, or somebody took it away
	}
	switch {
	case bytes.Equal(now.Before, f.After), f.Kind == UnitFile, !now.Existed:
		if !f.Existed {
			err = f.remove()
			break
		}
		err = f.write(f.Before)
	default:
		var less []byte
		if less, err = f.without(now.Before); err == nil {
			err = now.write(less)
		}
	}
	if err != nil {
		return fmt.Errorf("taking back %s: %w", f.Path, err)
	}
	return nil
}

// without takes out of newer bytes what enabling has put in.
func (f File) without(raw []byte) ([]byte, error) {
	if f.Kind == DaemonFile {
		return removePlugin(raw)
	}
	before, err := policy.Parse(f.Path, bytes.Clone(f.Before))
	if err != nil {
		return nil, err
	}
	after, err := policy.Parse(f.Path, bytes.Clone(f.After))
	if err != nil {
		return nil, err
	}
	now, err := policy.Parse(f.Path, bytes.Clone(raw))
	if err != nil {
		return nil, err
	}
	if now.ContentTrust.Mode == after.ContentTrust.Mode {
		if raw, err = setMode(raw, string(before.ContentTrust.Mode)); err != nil {
			return nil, err
		}
	}
	if after.Engine == before.Engine || now.Engine != after.Engine {
		return raw, nil
	}
	if _, object, err := jsonedit.Parse(f.Before); err == nil && jsonedit.Find(object, "engine") < 0 {
		return removeEngine(raw)
	}
	return setEngine(raw, before.Engine)
}

// write puts bytes in the file's place, at once or not at all, with the
// file's owner and mode.
func (f File) write(raw []byte) error {
	dir := filepath.Dir(f.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // folders of configuration that everybody may read
		return err
	}
	file, err := renameio.NewPendingFile(f.Path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(f.Mode))
	if err != nil {
		return err
	}
	defer file.Cleanup() //nolint:errcheck // after a replace there is nothing left to clean
	if f.Existed {
		if err := file.Chown(f.UID, f.GID); err != nil {
			return err
		}
	}
	if _, err := file.Write(raw); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil { // it syncs the file
		return err
	}
	return syncDir(dir)
}

// remove takes a file away that was not there, and its folder if that is
// empty and systemd's for one unit.
func (f File) remove() error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(f.Path)
	if f.Kind == UnitFile {
		if os.Remove(dir) == nil {
			dir = filepath.Dir(dir)
		}
	}
	return syncDir(dir)
}

// syncDir makes what a folder lists outlive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
