package transaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Phase is how far a transaction has come.
type Phase string

// The phases. All but the finished ones are those of one that was cut off, or
// is at work just now.
const (
	Applying  Phase = "applying"
	Applied   Phase = "applied"
	TakenBack Phase = "rolled back"
	Undoing   Phase = "undoing"
	Undone    Phase = "undone"
)

// journalVersion goes up when an older program could not take back by it, or a
// newer one by what older ones have written.
const journalVersion = 2

var finished = []Phase{Applied, TakenBack, Undone}

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

	// leave says that programs that cannot be taken back are let be.
	leave bool
	// cutOff says that whoever changed it is not there any more, and who has
	// read its files meanwhile is unknown.
	cutOff bool
}

// MayBeTakenBack reports whether its copies are still needed.
func (j *Journal) MayBeTakenBack() bool { return j.Phase != TakenBack && j.Phase != Undone }

// A Store is where transactions lie: STATE/transactions.
type Store struct {
	Dir string
	// Before is that of disk.Writer.
	Before func(step, path string) error
}

// StoreIn is the store in a state folder, which may lie behind a symbolic link.
func StoreIn(state string) Store {
	if path, err := filepath.Abs(state); err == nil {
		state = path
	}
	if path, err := disk.Real(state); err == nil {
		state = path
	}
	return Store{Dir: filepath.Join(state, "transactions")}
}

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

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func words(then change.Then) []string { return strings.Fields(string(then)) }
