package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/DeRuina/timberjack"
)

// The files take 110 MiB at the most, some 200,000 records.
const (
	fileSize  = 10 // MiB of one file
	fileCount = 10 // older ones
)

// A file is a log file that is rotated, for root alone. timberjack renames and
// removes old files; it knows nothing of the folder's owner, and after half a
// line it would go on in its middle.
type file struct {
	path string

	mu    sync.Mutex
	log   *timberjack.Logger
	ready bool
	torn  bool // the last line is not whole
}

func newFile(path string) *file {
	return &file{path: path, log: &timberjack.Logger{
		Filename: path, MaxSize: fileSize, MaxBackups: fileCount, FileMode: 0o600, Compression: "none",
	}}
}

// Write writes one line.
func (f *file) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ready {
		if err := f.prepare(); err != nil {
			return 0, err
		}
		f.ready = true
	}
	if f.torn {
		if _, err := f.log.Write([]byte("\n")); err != nil {
			return 0, err
		}
		f.torn = false
	}
	n, err := f.log.Write(line)
	f.torn = err != nil && n > 0
	return n, err
}

// prepare makes the folder, and refuses one in which others could put a file
// of theirs in place of ours. A file from before is closed to others.
func (f *file) prepare() error {
	folder := filepath.Dir(f.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the folder of records: %w", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("looking at the folder of records: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write in %s: run chmod go-w %s", folder, folder)
	}
	there, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the file of records: %w", err)
	}
	if !there.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: move it away", f.path)
	}
	if err := os.Chmod(f.path, 0o600); err != nil {
		return fmt.Errorf("closing the file of records to others: %w", err)
	}
	return nil
}

// Close closes the file.
func (f *file) Close() error { return f.log.Close() }
