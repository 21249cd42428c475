// Package disktest gives tests a small disk of their own, in memory, which they
// fill, take the room away from, or make read-only. What becomes of a program
// on such a disk is the tests' to say.
package disktest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// New gives an empty disk, for root alone, for as long as the test lasts.
// Where none can be mounted the test is skipped, and fails if
// STIG_REQUIRE_ENGINE is 1.
func New(tb testing.TB, kib int) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := unix.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%dk,mode=700", kib)); err != nil {
		if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
			tb.Fatalf("STIG_REQUIRE_ENGINE=1, but a small disk cannot be mounted: %v", err)
		}
		tb.Skipf("mounting a small disk takes root: %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// Resize gives a disk more room, or less.
func Resize(tb testing.TB, disk string, kib int) {
	tb.Helper()
	remount(tb, disk, 0, fmt.Sprintf("size=%dk", kib))
}

// ReadOnly lets nobody write on a disk any more.
func ReadOnly(tb testing.TB, disk string) {
	tb.Helper()
	remount(tb, disk, unix.MS_RDONLY, "")
}

func remount(tb testing.TB, disk string, flags uintptr, data string) {
	tb.Helper()
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT|flags, data); err != nil {
		tb.Fatal(err)
	}
}

// Fill takes all that is left of a disk. Removing the file that it gives makes
// room again.
func Fill(tb testing.TB, disk string) (ballast string) {
	tb.Helper()
	file, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	for size := int64(64 << 10); size > 0; { // bytes; the last ones too
		if _, err := io.CopyN(file, zeros{}, size); errors.Is(err, unix.ENOSPC) {
			size /= 2
		} else if err != nil {
			tb.Fatal(err)
		}
	}
	return file.Name()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
