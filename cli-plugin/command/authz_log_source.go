package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/record"
)

// A logSource is where records are read. Both ways give wanted records from
// the oldest to the newest; a record that cannot be read is left out and
// counted.
type logSource interface {
	fmt.Stringer
	backlog(ctx context.Context, wanted recordFilter, put func(record.Record) error) (bad int, err error)
	// follow goes on after the backlog until ctx is done.
	follow(ctx context.Context, wanted recordFilter, put func(record.Record) error) error
}

// journalSocket is there where a journal is written.
const journalSocket = "/run/systemd/journal/socket"

// source is the file that was named, else what the daemon on this machine
// writes to: the journal if there is one.
func (o logOptions) source() (logSource, error) {
	if o.file != "" {
		return &logFiles{path: o.file}, nil
	}
	_, noJournal := os.Stat(journalSocket)
	_, noFile := os.Stat(record.DefaultFile)
	if noJournal != nil && !errors.Is(noFile, fs.ErrNotExist) {
		return &logFiles{path: record.DefaultFile}, nil
	}
	program, err := exec.LookPath("journalctl")
	switch {
	case err == nil:
		return &journal{program: program, running: noJournal == nil}, nil
	case noJournal == nil:
		return nil, errors.New("the records are in the journal, and there is no journalctl to read it: install systemd's tools, or name a file with --file")
	default:
		return nil, fmt.Errorf("there are no records on this machine, neither in a journal nor in %s: if docker-stig-authz runs here, name its file with --file", record.DefaultFile)
	}
}

// A journal is read through journalctl, which knows its format.
type journal struct {
	program string
	running bool // there is a journal that is written now
	begun   time.Time
	cursor  string // of the last entry that was read
}

func (*journal) String() string { return "the journal" }

func (j *journal) backlog(ctx context.Context, wanted recordFilter, put func(record.Record) error) (int, error) {
	j.begun = time.Now()
	take, end := wanted.each(put)
	read := 0
	bad, err := j.run(ctx, j.args(wanted), func(r record.Record) error { read++; return take(r) })
	if err != nil {
		return bad, err
	}
	if read == 0 && !j.running {
		return bad, fmt.Errorf("there are no records on this machine: its journal is not running, and %s is not there: if docker-stig-authz runs here, name its file with --file", record.DefaultFile)
	}
	return bad, end()
}

func (j *journal) follow(ctx context.Context, wanted recordFilter, put func(record.Record) error) error {
	after := "--after-cursor=" + j.cursor
	if j.cursor == "" {
		after = since(j.begun)
	}
	wanted.last = 0
	take, _ := wanted.each(put)
	_, err := j.run(ctx, append([]string{"--follow", "--no-tail", after}, j.matches(wanted)...), take)
	return err
}

// args ask for no more than is needed: a journal holds months.
func (j *journal) args(wanted recordFilter) []string {
	var args []string
	if !wanted.since.IsZero() {
		args = append(args, since(wanted.since))
	}
	if !wanted.until.IsZero() {
		args = append(args, "--until=@"+strconv.FormatInt(wanted.until.Unix()+1, 10)) // whole seconds
	}
	if wanted.last > 0 && wanted.image == nil && wanted.until.IsZero() {
		args = append(args, "--lines="+strconv.Itoa(wanted.last))
	}
	return append(args, j.matches(wanted)...)
}

func since(t time.Time) string { return "--since=@" + strconv.FormatInt(t.Unix(), 10) }

// matches select records by the unit that journald itself noted. --unit would
// do more than that: it takes what others write about a unit for its own.
func (*journal) matches(wanted recordFilter) []string {
	outcomes := []record.Outcome{record.Denied, record.WouldDeny}
	if !wanted.denied {
		outcomes = append(outcomes, record.Allowed, record.Passed)
	}
	matches := []string{"_SYSTEMD_UNIT=" + record.Unit}
	for _, outcome := range outcomes {
		matches = append(matches, record.JournalPrefix+"DECISION="+string(outcome))
	}
	return matches
}

// maxComplaint bounds what is shown of what journalctl complains about.
const maxComplaint = 500 // bytes

func (j *journal) run(ctx context.Context, args []string, take func(record.Record) error) (bad int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args = append([]string{"--output=json", "--all", "--quiet", "--no-pager"}, args...)
	cmd := exec.CommandContext(ctx, j.program, args...) //nolint:forbidigo,gosec // the journal has no other reader; arguments are times, numbers and words of our own
	complaint := &complaint{}
	cmd.Stderr = complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("reading the journal: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("reading the journal: %w", err)
	}
	var lines lineSplitter
	taken := lines.read(out, func(line []byte) error {
		r, err := record.DecodeJournal(line)
		if errors.Is(err, record.ErrNone) {
			return nil
		}
		if err != nil {
			bad++
			return nil
		}
		j.note(line)
		return take(r)
	})
	if taken != nil {
		cancel() // nobody reads what it still has
	}
	ended := cmd.Wait()
	if taken != nil {
		return bad, taken
	}
	if ended != nil {
		return bad, fmt.Errorf("reading the journal: journalctl: %w%s", ended, complaint)
	}
	return bad + lines.tooLong, nil
}

func (j *journal) note(line []byte) {
	var entry struct {
		Cursor string `json:"__CURSOR"`
	}
	if json.Unmarshal(line, &entry) == nil && entry.Cursor != "" {
		j.cursor = entry.Cursor
	}
}

// A complaint keeps the beginning of what a program says on standard error.
type complaint struct{ buf bytes.Buffer }

// Write implements io.Writer.
func (c *complaint) Write(p []byte) (int, error) {
	c.buf.Write(p[:min(len(p), maxComplaint-c.buf.Len())])
	return len(p), nil
}

// String is its first line, to be put behind something else.
func (c *complaint) String() string {
	first, _, _ := strings.Cut(strings.TrimSpace(c.buf.String()), "\n")
	if first == "" {
		return ""
	}
	quoted := strconv.Quote(first)
	return ": " + quoted[1:len(quoted)-1]
}

// A lineSplitter cuts what it reads into lines, and keeps the beginning of one
// that has not ended yet for the next read. A line longer than any record is
// skipped and counted.
type lineSplitter struct {
	rest    []byte
	skip    bool
	tooLong int
}

// read gives each line that ends, until there is no more.
func (l *lineSplitter) read(from io.Reader, each func(line []byte) error) error {
	chunk := make([]byte, 64<<10) // a pipe's
	for {
		n, err := from.Read(chunk)
		if failed := l.split(chunk[:n], each); failed != nil {
			return failed
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading records: %w", err)
		}
	}
}

func (l *lineSplitter) split(data []byte, each func(line []byte) error) error {
	for len(data) > 0 {
		part, rest, ended := bytes.Cut(data, []byte("\n"))
		data = rest
		if !l.skip {
			l.rest = append(l.rest, part...)
		}
		if len(l.rest) > record.MaxLine {
			l.rest, l.skip = l.rest[:0], true
			l.tooLong++
		}
		if !ended {
			return nil
		}
		line := bytes.TrimSpace(l.rest)
		if !l.skip && len(line) > 0 {
			if err := each(line); err != nil {
				return err
			}
		}
		l.rest, l.skip = l.rest[:0], false
	}
	return nil
}
