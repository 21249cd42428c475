package transaction

import (
	"context"
	"encoding/json"
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

	"golang.org/x/sys/unix"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Phase is how far a transaction has come.
type Phase string

// The phases. Applying and Undoing are those of one that was cut off, unless
// it is at work just now.
const (
	Applying  Phase = "applying"
	Applied   Phase = "applied"
	TakenBack Phase = "rolled back"
	Undoing   Phase = "undoing"
	Undone    Phase = "undone"
)

const (
	// journalVersion goes up when an older program could not take back by it.
	journalVersion = 1
	maxJournal     = 16 << 20 // bytes; a plan of some thousand steps
)

// A Journal is what a transaction changes, written before its first change.
type Journal struct {
	Version int               `json:"version"`
	ID      string            `json:"id"`
	Begun   time.Time         `json:"begun"`
	Ended   time.Time         `json:"ended,omitzero"`
	Phase   Phase             `json:"phase"`
	Rules   []stig.ID         `json:"rules"`
	Steps   []Step            `json:"steps"`
	Then    []change.Then     `json:"then,omitempty"`
	Tell    change.Disruption `json:"tell"` // what the engine is told: none, reload or restart
	Told    bool              `json:"told"`
	// Sticky says that an engine that reads its old file again keeps some of
	// what the new one said, until it is restarted.
	Sticky  bool            `json:"sticky,omitempty"`
	Dockerd *engine.Dockerd `json:"dockerd,omitempty"`
	Done    []string        `json:"done,omitempty"` // what cannot be taken back
	Why     string          `json:"why,omitempty"`  // it was taken back
}

// A Store is where transactions lie: STATE/transactions.
type Store struct {
	Dir string
	// Before is that of disk.Writer.
	Before func(step, path string) error
}

// StoreIn is the store in a state folder.
func StoreIn(state string) Store { return Store{Dir: filepath.Join(state, "transactions")} }

func (s Store) writer(tag string) disk.Writer { return disk.Writer{Tag: tag, Before: s.Before} }

func (s Store) path(id string, name string) string { return filepath.Join(s.Dir, id, name) }

// original and planned are where the bytes of a step lie, before and after.
func (s Store) original(id string, i int) string {
	return s.path(id, fmt.Sprintf("%03d.original", i+1))
}

func (s Store) planned(id string, i int) string { return s.path(id, fmt.Sprintf("%03d.planned", i+1)) }

func (s Store) originalOf(j *Journal, step Step) string {
	i := slices.IndexFunc(j.Steps, func(other Step) bool { return other.Path == step.Path && other.Target == step.Target })
	return s.original(j.ID, i)
}

// idForm is that of a transaction's name: the time, and a number if there are
// several of a second.
var idForm = regexp.MustCompile(`^\d{8}T\d{6}Z(-\d+)?$`)

// begin makes the folder, and keeps copies and journal in it.
func (s Store) begin(j *Journal) error {
	w := s.writer("begin")
	base := j.Begun.Format("20060102T150405Z")
	j.ID = base
	for n := 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(s.Dir, j.ID)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		j.ID = fmt.Sprintf("%s-%d", base, n)
	}
	var err error
	for _, folder := range disk.MissingFolders(s.path(j.ID, "journal.json")) {
		if err == nil {
			err = w.MakeFolder(folder, 0o700)
		}
	}
	for i, step := range j.Steps {
		if err == nil && hasBytes(step, step.Before) {
			err = w.Put(s.original(j.ID, i), secret(step.Before.Bytes))
		}
		if err == nil && hasBytes(step, step.After) {
			err = w.Put(s.planned(j.ID, i), secret(step.After.Bytes))
		}
	}
	if err == nil {
		err = s.write(j)
	}
	if err == nil {
		_, err = s.Read(j.ID) // it has to be possible to take back by it
	}
	if err != nil {
		_ = os.RemoveAll(filepath.Join(s.Dir, j.ID)) // what stays has no journal, and is swept by List
		return fmt.Errorf("keeping the originals, without which nothing is changed: %w", err)
	}
	return nil
}

// hasBytes reports whether a state of a step has bytes to keep.
func hasBytes(step Step, s disk.State) bool {
	return step.Target != "" || step.Path != "" && s.Regular()
}

// secret is a file for root alone: a configuration may hold passwords.
func secret(raw []byte) disk.State {
	return disk.State{UID: os.Geteuid(), GID: os.Getegid(), Mode: 0o600}.With(raw)
}

// write keeps the journal.
func (s Store) write(j *Journal) error {
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := s.writer("journal").Put(s.path(j.ID, "journal.json"), secret(append(raw, '\n'))); err != nil {
		return fmt.Errorf("writing the transaction's journal: %w", err)
	}
	return nil
}

// Read gives a transaction with its bytes.
func (s Store) Read(id string) (*Journal, error) {
	if !idForm.MatchString(id) {
		return nil, fmt.Errorf("%q is no transaction: docker stig history lists them", id)
	}
	raw, err := readBounded(s.path(id, "journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no transaction %s: docker stig history lists them (%w)", id, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading transaction %s: %w", id, err)
	}
	j := new(Journal)
	if err := json.Unmarshal(raw, j); err != nil {
		return nil, fmt.Errorf("%s cannot be read; the originals lie beside it: put them back by hand, then remove the folder (%w)", s.path(id, "journal.json"), err)
	}
	if j.Version != journalVersion {
		return nil, fmt.Errorf("%s was written by another version of docker stig: take it back with that one", s.path(id, "journal.json"))
	}
	for i := range j.Steps {
		if err := s.readBytes(id, i, &j.Steps[i]); err != nil {
			return nil, fmt.Errorf("transaction %s: %w", id, err)
		}
	}
	return j, nil
}

// readBytes reads a step's bytes, which have to be those that were kept.
func (s Store) readBytes(id string, i int, step *Step) error {
	for _, kept := range []struct {
		path  string
		state *disk.State
	}{{s.original(id, i), &step.Before}, {s.planned(id, i), &step.After}} {
		if !hasBytes(*step, *kept.state) {
			continue
		}
		now, err := disk.Look(kept.path)
		if err != nil {
			return err
		}
		if !now.Exists || now.Sum != kept.state.Sum {
			return fmt.Errorf("%s is not what was kept there", kept.path)
		}
		kept.state.Bytes = now.Bytes
	}
	return nil
}

// List names all transactions, the oldest first. A folder without a journal is
// of one that had not begun to change anything.
func (s Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the transactions: %w", err)
	}
	var ids []string
	for _, entry := range entries {
		if !idForm.MatchString(entry.Name()) {
			continue
		}
		if _, err := os.Lstat(s.path(entry.Name(), "journal.json")); err == nil {
			ids = append(ids, entry.Name())
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing the transactions: %w", err)
		}
	}
	slices.SortFunc(ids, byAge)
	return ids, nil
}

// sweep takes away what is left of transactions that had not begun to change
// anything, with the lock in hand.
func (s Store) sweep() error {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing the transactions: %w", err)
	}
	for _, entry := range entries {
		_, err := os.Lstat(s.path(entry.Name(), "journal.json"))
		if !idForm.MatchString(entry.Name()) || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.Dir, entry.Name())); err != nil {
			return fmt.Errorf("taking away what is left of transaction %s: %w", entry.Name(), err)
		}
	}
	return nil
}

// byAge orders names of one second by their number.
func byAge(a, b string) int {
	timeA, numberA, _ := strings.Cut(a, "-")
	timeB, numberB, _ := strings.Cut(b, "-")
	if order := strings.Compare(timeA, timeB); order != 0 {
		return order
	}
	if len(numberA) != len(numberB) {
		return len(numberA) - len(numberB)
	}
	return strings.Compare(numberA, numberB)
}

// Unfinished gives the transactions that were cut off, the newest first; one
// that is at work just now is among them, for whoever has not got the lock.
func (s Store) Unfinished() ([]*Journal, error) {
	ids, err := s.List()
	if err != nil {
		return nil, err
	}
	var unfinished []*Journal
	for _, id := range slices.Backward(ids) {
		j, err := s.Read(id)
		if err != nil {
			return nil, err
		}
		if j.Phase == Applying || j.Phase == Undoing {
			unfinished = append(unfinished, j)
		}
	}
	return unfinished, nil
}

// Lock keeps others from changing anything. It ends with the process. Whoever
// waits in vain hears who holds it.
func (s Store) Lock(ctx context.Context, who string, patience time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of transactions: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = file.Close() // it was not locked
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			holder, _ := io.ReadAll(io.LimitReader(file, 1<<10)) // bytes
			_ = file.Close()                                     // it was not locked
			return nil, fmt.Errorf("%s holds the lock: wait until it has ended", strings.TrimSpace(string(holder)))
		case <-time.After(lookEvery):
		}
	}
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(who+"\n"), 0) // only told to others
	}
	return func() { _ = file.Close() }, nil
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxJournal+1))
	if err == nil && len(raw) > maxJournal {
		err = fmt.Errorf("%s has more than %d MiB", path, maxJournal>>20)
	}
	return raw, err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func words(then change.Then) []string { return strings.Fields(string(then)) }
