package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/disktest"
	"github.com/docker-stig/docker-stig/shared/record"
)

func TestFileIsForRootAloneAndBounded(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "docker-stig")
	f := newFile(filepath.Join(folder, "authz.log"))
	line := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	for range fileSize*(fileCount+3) + 1 {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil { // waits for old files to be removed
		t.Fatal(err)
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != fileCount+1 {
		t.Errorf("%d files, want %d", len(files), fileCount+1)
	}
	for _, entry := range files {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 || info.Size() > fileSize<<20 {
			t.Errorf("%s: mode %v, %d bytes", entry.Name(), info.Mode(), info.Size())
		}
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestFilesPlace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		say     string // "": it is written
	}{
		{"others could read it", func(t *testing.T, path string) { t.Helper(); write(t, path, 0o644) }, ""},
		{"others could put theirs in its place", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
		}, "others may write in"},
		{"a link", func(t *testing.T, path string) {
			t.Helper()
			write(t, path+".target", 0o600)
			if err := os.Symlink(path+".target", path); err != nil {
				t.Fatal(err)
			}
		}, "is no regular file"},
		{"a file where the folder belongs", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Dir(path), 0o600)
		}, "making the folder"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "log", "authz.log")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			test.prepare(t, path)
			f := newFile(path)
			_, err := f.Write([]byte("{}\n"))
			if test.say != "" {
				if err == nil || !strings.Contains(err.Error(), test.say) {
					t.Errorf("%v, want %q", err, test.say)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}

func write(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, nil, mode); err != nil {
		t.Fatal(err)
	}
}

// TestRealFullDisk fills a disk and makes room again: no decision is held up,
// and what is written then can be read.
func TestRealFullDisk(t *testing.T) {
	t.Parallel()
	disk := disktest.New(t, 64)
	path := filepath.Join(disk, "authz.log")
	kept := newFile(path)
	own := &lines{grew: make(chan struct{}, 10)}
	log := open(Options{Now: time.Now, Log: slog.New(slog.NewJSONHandler(own, nil))}, slog.NewJSONHandler(kept, nil), kept)
	for range 200 {
		r := full
		r.Outcome = Allowed
		log.Write(t.Context(), r)
	}
	lost := log.Lost()
	if lost == 0 || lost >= 200 {
		t.Fatalf("lost %d of 200", lost)
	}
	<-own.grew
	if !strings.Contains(own.String(), "no space left") {
		t.Fatalf("lost %d of 200, the daemon's log says:\n%s", lost, own)
	}
	disktest.Resize(t, disk, 1<<10)
	last := full
	last.Image = "after"
	log.Write(t.Context(), last)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log.Lost() != lost {
		t.Errorf("lost %d after room was made", log.Lost()-lost)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	good, torn, found := 0, 0, false
	for line := range bytes.Lines(raw) {
		r, err := record.Decode(bytes.TrimSpace(line))
		switch {
		case errors.Is(err, record.ErrNone) || err != nil:
			torn++
		default:
			good++
			found = r.Image == "after"
		}
	}
	if good != 201-int(lost) || torn > 1 || !found {
		t.Errorf("%d good lines and %d torn, last found: %t; %d were lost", good, torn, found, lost)
	}
}
