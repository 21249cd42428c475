package disk

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestNoLinkIsFollowed wants no file to be found, made or changed through a
// folder that is a link.
func TestNoLinkIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "folder", "file"), "x", 0o600)
	if err := os.Symlink("folder", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before := look(t, filepath.Join(dir, "folder", "file"))
	behind := filepath.Join(dir, "link", "file")
	open := before
	open.Mode = 0o644
	for name, err := range map[string]error{
		"look":   func() error { _, err := Look(behind); return err }(),
		"mode":   Writer{}.Put(behind, open),
		"bytes":  Writer{}.Put(behind, before.With([]byte("y"))),
		"remove": Writer{}.Put(behind, State{}),
		"new":    Writer{}.Put(filepath.Join(dir, "link", "new"), State{Mode: 0o600}.With([]byte("y"))),
		"folder": Writer{}.MakeFolder(filepath.Join(dir, "link", "below"), 0o700),
		"rmdir":  Writer{}.RemoveFolder(filepath.Join(dir, "link")),
	} {
		if !errors.Is(err, ErrLink) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, look(t, filepath.Join(dir, "folder", "file"))); diff != "" {
		t.Error(diff)
	}
	holdsAlone(t, filepath.Join(dir, "folder"), "file")
}

// TestFolderIsSwapped has somebody put another folder in the place of the one
// that is at work, with a name of a file of root's in it.
func TestFolderIsSwapped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder, victim := filepath.Join(dir, "folder"), filepath.Join(dir, "victim")
	for _, made := range []string{folder, filepath.Join(dir, "other")} {
		if err := os.Mkdir(made, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(folder, "file"), "x", 0o600)
	write(t, victim, "secret", 0o600)
	if err := os.Link(victim, filepath.Join(dir, "other", "file")); err != nil {
		t.Fatal(err)
	}
	open := look(t, filepath.Join(folder, "file"))
	open.Mode = 0o666
	swap := func(string, string) error {
		return errors.Join(os.Rename(folder, filepath.Join(dir, "away")), os.Rename(filepath.Join(dir, "other"), folder))
	}
	if err := (Writer{Before: swap}).Put(filepath.Join(folder, "file"), open); err != nil {
		t.Fatal(err)
	}
	if now := look(t, victim); now.Mode != 0o600 {
		t.Errorf("the victim has mode %04o", now.Mode)
	}
	if now := look(t, filepath.Join(dir, "away", "file")); now.Mode != 0o666 {
		t.Errorf("the file that was meant has mode %04o", now.Mode)
	}
}

// TestNameOfAnother refuses owner and mode of a file that whoever may write the
// folder can have given a name there.
func TestNameOfAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "victim"), "secret", 0o600)
	if err := os.Link(filepath.Join(dir, "victim"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	open := look(t, filepath.Join(dir, "file"))
	open.Mode = 0o644
	for mode, refused := range map[os.FileMode]bool{0o755: false, 0o775: true, 0o1777: true} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		err := (Writer{}).Put(filepath.Join(dir, "file"), open)
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "hard links") {
			t.Errorf("in a folder of mode %v: %v", mode, err)
		}
		if err := os.Chmod(filepath.Join(dir, "victim"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// acl is a list of acl(5) as the kernel has it: an entry is a kind, permissions
// and, of a named user, the number.
func acl(entries ...[3]uint32) []byte {
	raw := binary.LittleEndian.AppendUint32(nil, 2) // POSIX_ACL_XATTR_VERSION
	for _, e := range entries {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(e[0]))
		raw = binary.LittleEndian.AppendUint16(raw, uint16(e[1]))
		raw = binary.LittleEndian.AppendUint32(raw, e[2])
	}
	return raw
}

// for1234 has user 1234 read and write beside the owner, at the most as the
// mask lets.
func for1234(mask uint32) []byte {
	const owner, named, group, limit, others, nobody = 1, 2, 4, 0x10, 0x20, 1<<32 - 1
	return acl([3]uint32{owner, 6, nobody}, [3]uint32{named, 6, 1234}, [3]uint32{group, 4, nobody}, [3]uint32{limit, mask, nobody}, [3]uint32{others, 0, nobody})
}

func setACL(t *testing.T, path, name string, raw []byte) {
	t.Helper()
	err := unix.Setxattr(path, name, raw, 0)
	if errors.Is(err, unix.ENOTSUP) {
		t.Skip("this file system has no ACLs")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestACL wants the mode that was asked for of a file with an ACL, and both back
// as they were.
func TestACL(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "old", 0o640)
	setACL(t, path, accessACL, for1234(6))
	before := look(t, path)
	if before.Mode != 0o660 {
		t.Fatalf("an ACL that lets a user write makes mode %04o", before.Mode)
	}
	closed := before
	closed.Mode = 0o600
	for name, after := range map[string]State{"mode": closed, "mode and bytes": closed.With([]byte("new"))} {
		if err := (Writer{}).Put(path, after); err != nil || !look(t, path).Same(after) {
			t.Errorf("%s: %v, %+v", name, err, look(t, path))
		}
		if err := (Writer{}).Put(path, before); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, look(t, path)); diff != "" {
			t.Errorf("%s, put back:\n%s", name, diff)
		}
	}
}

// TestFolderGivesACL wants a file to have none where its state has none.
func TestFolderGivesACL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	setACL(t, dir, "system.posix_acl_default", for1234(6))
	path := filepath.Join(dir, "file")
	want := State{UID: os.Geteuid(), GID: os.Getegid(), Mode: 0o644}.With([]byte("x"))
	if err := (Writer{}).Put(path, want); err != nil {
		t.Fatal(err)
	}
	if now := look(t, path); !now.Same(want) || now.Attrs[accessACL] != nil {
		t.Errorf("got %+v", now)
	}
}

func TestTouch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "x", 0o600)
	now := time.Date(2026, 11, 30, 10, 15, 0, 0, time.UTC)
	if err := (Writer{}).Touch(path, now); err != nil || !look(t, path).Modified.Equal(now) {
		t.Errorf("%v, %v", err, look(t, path).Modified)
	}
}
