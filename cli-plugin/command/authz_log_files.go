package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/record"
)

// logFiles are the file that the daemon writes and the older ones beside it.
type logFiles struct {
	path    string
	current *os.File // the newest one, read as far as it goes
	lines   lineSplitter
}

func (l *logFiles) String() string { return l.path }

func (l *logFiles) backlog(ctx context.Context, wanted recordFilter, put func(record.Record) error) (bad int, err error) {
	// The newest is opened first: if it is put aside meanwhile, it is still
	// the newest that is read.
	if l.current, err = os.Open(l.path); err != nil {
		return 0, l.explain(err)
	}
	take, end := wanted.each(put)
	decode := l.decoder(take, &bad)
	older, err := l.older()
	if err != nil {
		return 0, l.explain(err)
	}
	for _, path := range older {
		if err := l.readOlder(ctx, path, decode); err != nil {
			return bad, err
		}
	}
	if err := l.lines.read(bounded{ctx, l.current}, decode); err != nil {
		return bad, err
	}
	return bad + l.lines.tooLong, end()
}

func (l *logFiles) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no file of records: %w: docker-stig-authz writes one where there is no journal, at its first decision", err)
	}
	return fmt.Errorf("reading records: %w", err)
}

// decoder reads a line. What is no record is none of ours.
func (*logFiles) decoder(take func(record.Record) error, bad *int) func([]byte) error {
	return func(line []byte) error {
		r, err := record.Decode(line)
		if errors.Is(err, record.ErrNone) {
			return nil
		}
		if err != nil {
			*bad++
			return nil
		}
		return take(r)
	}
}

// rotated is what a file's name gets when it is put aside, in order of time.
var rotated = regexp.MustCompile(`^-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}-\w+$`)

// older lists the files that were put aside, the oldest first.
func (l *logFiles) older() ([]string, error) {
	folder, name := filepath.Split(l.path)
	extension := filepath.Ext(name)
	stem := strings.TrimSuffix(name, extension)
	entries, err := os.ReadDir(filepath.Clean(folder))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		rest, ours := strings.CutPrefix(strings.TrimSuffix(entry.Name(), extension), stem)
		if ours && rotated.MatchString(rest) && entry.Type().IsRegular() && strings.HasSuffix(entry.Name(), extension) {
			paths = append(paths, filepath.Join(folder, entry.Name()))
		}
	}
	slices.Sort(paths)
	return paths, nil
}

func (l *logFiles) readOlder(ctx context.Context, path string, each func([]byte) error) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was the oldest, and has made room
	}
	if err != nil {
		return l.explain(err)
	}
	defer file.Close()
	if same, err := l.isCurrent(file); err != nil || same {
		return err
	}
	var lines lineSplitter
	err = lines.read(bounded{ctx, file}, each)
	l.lines.tooLong += lines.tooLong
	return err
}

// isCurrent reports whether a file is the one that was the newest when reading
// began.
func (l *logFiles) isCurrent(file *os.File) (bool, error) {
	one, err := file.Stat()
	if err != nil {
		return false, l.explain(err)
	}
	other, err := l.current.Stat()
	if err != nil {
		return false, l.explain(err)
	}
	return os.SameFile(one, other), nil
}

// followPause is how often a file is looked at: a person waits.
const followPause = 300 * time.Millisecond

func (l *logFiles) follow(ctx context.Context, wanted recordFilter, put func(record.Record) error) error {
	wanted.last = 0
	take, _ := wanted.each(put)
	var bad int
	decode := l.decoder(take, &bad)
	tick := time.NewTicker(followPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := l.advance(ctx, decode); err != nil {
			return err
		}
	}
}

// advance reads what has come, and goes over to a new file once the old one
// was put aside and read to its end.
func (l *logFiles) advance(ctx context.Context, decode func([]byte) error) error {
	fresh, err := os.Open(l.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l.explain(err)
	}
	if read := l.lines.read(bounded{ctx, l.current}, decode); read != nil {
		return read
	}
	if err != nil {
		return nil //nolint:nilerr // between two files there is none for a moment
	}
	same, err := l.isCurrent(fresh)
	if err != nil || same {
		return errors.Join(err, fresh.Close())
	}
	_ = l.current.Close()
	l.current, l.lines = fresh, lineSplitter{}
	return l.lines.read(bounded{ctx, l.current}, decode)
}

// bounded reads until ctx is done.
type bounded struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (b bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}
