package disktest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDisk(t *testing.T) {
	t.Parallel()
	disk := New(t, 64)
	write := func() error { return os.WriteFile(filepath.Join(disk, "x"), make([]byte, 4<<10), 0o600) }
	want := func(when string, want error) {
		t.Helper()
		if err := write(); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	want("empty", nil)
	ballast := Fill(t, disk)
	if info, err := os.Stat(ballast); err != nil || info.Size() < 32<<10 || info.Size() > 64<<10 {
		t.Errorf("64 KiB were filled with %v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(disk, "y"), []byte("y"), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	want("emptied", nil)
	Fill(t, disk)
	Resize(t, disk, 128)
	if err := os.WriteFile(filepath.Join(disk, "y"), []byte("y"), 0o600); err != nil {
		t.Errorf("larger: %v", err)
	}
	ReadOnly(t, disk)
	want("read-only", unix.EROFS)
}
