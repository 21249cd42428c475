package disk

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func look(t *testing.T, path string) State {
	t.Helper()
	s, err := Look(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestPut changes a file and puts it back: bytes, mode, attributes and time.
func TestPut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, "old", 0o640)
	attributes := unix.Setxattr(path, "user.stig", []byte("kept"), 0) == nil
	before := look(t, path)
	w := Writer{Tag: "1"}
	after := before.With([]byte("new and longer"))
	after.Mode = 0o600
	if err := w.Put(path, after); err != nil {
		t.Fatal(err)
	}
	changed := look(t, path)
	if !changed.Same(after) || changed.Same(before) {
		t.Errorf("got %+v, want %+v", changed, after)
	}
	if attributes && string(changed.Attrs["user.stig"]) != "kept" {
		t.Errorf("attributes %v", changed.Attrs)
	}
	if err := w.Put(path, before); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, look(t, path)); diff != "" {
		t.Errorf("put back:\n%s", diff)
	}
	if err := w.Put(path, State{}); err != nil {
		t.Fatal(err)
	}
	if look(t, path).Exists {
		t.Error("it is still there")
	}
	if err := w.Put(path, before); err != nil || !look(t, path).Same(before) {
		t.Errorf("brought back: %v, %+v", err, look(t, path))
	}
	holdsAlone(t, filepath.Dir(path), "file")
}

func holdsAlone(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("%s holds %v, %v", dir, entries, err)
	}
}

func TestPutOwnerAndModeAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "socket")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file := filepath.Join(dir, "file")
	write(t, file, "x", 0o4755)
	for _, path := range []string{dir, socket, file} {
		before := look(t, path)
		after := before
		after.Mode = 0o700
		if os.Geteuid() == 0 {
			after.UID, after.GID = 12, 34
		}
		if err := (Writer{}).Put(path, after); err != nil || !look(t, path).Same(after) {
			t.Errorf("%s: %v, %+v", path, err, look(t, path))
		}
		if err := (Writer{}).Put(path, before); err != nil || !look(t, path).Same(before) {
			t.Errorf("%s back: %v, %+v", path, err, look(t, path))
		}
	}
}

// TestPutIsSpoilt fails each step of a replacement in turn: the file is always
// the old or the new one, and nothing is left beside it after the next.
func TestPutIsSpoilt(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "old", 0o600)
		before := look(t, path)
		after := before.With([]byte("new"))
		count := 0
		err := Writer{Tag: "1", Before: func(string, string) error {
			if count++; count == n {
				return unix.EIO
			}
			return nil
		}}.Put(path, after)
		if err == nil {
			if n < 9 {
				t.Errorf("only %d steps were counted", n-1)
			}
			return
		}
		if !errors.Is(err, unix.EIO) {
			t.Errorf("step %d: %v", n, err)
		}
		if now := look(t, path); !now.Same(before) && !now.Same(after) {
			t.Errorf("step %d: %+v", n, now)
		}
		if err := (Writer{Tag: "1"}).Put(path, before); err != nil || !look(t, path).Same(before) {
			t.Errorf("step %d, put back: %v", n, err)
		}
		holdsAlone(t, filepath.Dir(path), "file")
	}
}

func TestReal(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "file"), "x", 0o600)
	for link, target := range map[string]string{"link": "file", "dangling": "nowhere", "folder": "."} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"file": "file", "link": "file", "folder/new/one": "new/one", "folder/link": "file"} {
		got, err := Real(filepath.Join(dir, name))
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := Real(filepath.Join(dir, "dangling")); err == nil || !strings.Contains(err.Error(), "dangling link to nowhere") {
		t.Errorf("a dangling link: %v", err)
	}
	if _, err := Look(filepath.Join(dir, "link")); err == nil {
		t.Error("a link was looked at")
	}
	if s := look(t, filepath.Join(dir, "file", "below")); s.Exists {
		t.Error("something is below a file")
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "file")
	missing := MissingFolders(path)
	if diff := cmp.Diff([]string{filepath.Join(dir, "a"), filepath.Join(dir, "a", "b")}, missing); diff != "" {
		t.Fatal(diff)
	}
	for _, folder := range missing {
		if err := (Writer{}).MakeFolder(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "a", "others"), "x", 0o600)
	for _, folder := range []string{missing[1], missing[0]} {
		if err := (Writer{}).RemoveFolder(folder); err != nil {
			t.Fatal(err)
		}
	}
	holdsAlone(t, filepath.Join(dir, "a"), "others")
}
