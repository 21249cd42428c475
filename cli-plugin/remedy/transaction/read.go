package transaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// own looks at a folder or file of the store, which nobody else may be able to
// write: what a journal says is written and run.
func own(path string) (disk.State, error) {
	now, err := disk.Look(path)
	switch {
	case err != nil:
		return now, err
	case !now.Exists:
		return now, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case now.UID != os.Geteuid() || now.Mode&0o022 != 0:
		return now, fmt.Errorf("%s has owner and mode %s, and nobody but user %d may be able to write it, because what lies there is written elsewhere and run: see who put what there, then take it away, or chown it and chmod go-w", path, now.Ownership(), os.Geteuid())
	}
	return now, nil
}

// guarded wants the folder of transactions, and the one that it is in, to be
// the user's alone.
func (s Store) guarded() error {
	for _, path := range []string{filepath.Dir(s.Dir), s.Dir} {
		if _, err := own(path); err != nil {
			return fmt.Errorf("looking at the folder of transactions: %w", err)
		}
	}
	return nil
}

// Head gives a transaction as its journal has it, without any bytes. That of
// another version has its ID, its time and its phase, beside an error.
func (s Store) Head(id string) (*Journal, error) {
	if !idForm.MatchString(id) {
		return nil, fmt.Errorf("%q is no transaction: docker stig history lists them", id)
	}
	err := s.guarded()
	if err == nil {
		_, err = own(s.path(id, ""))
	}
	var file disk.State
	if err == nil {
		file, err = own(s.path(id, "journal.json"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no transaction %s: docker stig history lists them (%w)", id, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading transaction %s: %w", id, err)
	}
	j, err := decode(id, file.Bytes)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.path(id, "journal.json"), err)
	}
	return j, err
}

// decode reads a journal.
func decode(id string, raw []byte) (*Journal, error) {
	var head struct {
		Version int    `json:"version"`
		ID      string `json:"id"`
		Phase   Phase  `json:"phase"`
	}
	err := json.Unmarshal(raw, &head)
	if err == nil && head.ID != id {
		err = fmt.Errorf("it is that of %q", head.ID)
	}
	if err == nil && head.Version != journalVersion {
		return &Journal{Version: head.Version, ID: id, Phase: head.Phase}, errors.New("it was written by another version of docker stig: take it back with that one")
	}
	j := new(Journal)
	if err == nil {
		err = json.Unmarshal(raw, j)
	}
	if err != nil {
		return nil, fmt.Errorf("it cannot be read; the originals lie beside it: put them back by hand, then remove the folder (%w)", err)
	}
	return j, nil
}

// Read gives a transaction with its bytes.
func (s Store) Read(id string) (*Journal, error) {
	j, err := s.Head(id)
	if err == nil {
		err = s.readBytes(j)
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// readBytes reads the steps' bytes, which have to be those that were kept.
func (s Store) readBytes(j *Journal) error {
	for i := range j.Steps {
		step := &j.Steps[i]
		for _, kept := range []struct {
			path  string
			state *disk.State
		}{{s.original(j.ID, i), &step.Before}, {s.planned(j.ID, i), &step.After}} {
			if !hasBytes(*step, *kept.state) {
				continue
			}
			now, err := own(kept.path)
			if err == nil && now.Sum != kept.state.Sum {
				err = fmt.Errorf("%s is not what was kept there", kept.path)
			}
			if err != nil {
				return fmt.Errorf("transaction %s: %w", j.ID, err)
			}
			kept.state.Bytes = now.Bytes
		}
	}
	return nil
}

// List names all transactions, the oldest first. A folder without a journal is
// of one that had not begun to change anything.
func (s Store) List() ([]string, error) {
	entries, err := s.entries()
	if err != nil {
		return nil, err
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

// entries are what lies in the folder; none, if there is no folder.
func (s Store) entries() ([]os.DirEntry, error) {
	err := s.guarded()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("listing the transactions: %w", err)
	}
	return entries, nil
}

// sweep takes away what is left of transactions that had not begun to change
// anything, with the lock in hand.
func (s Store) sweep() error {
	entries, err := s.entries()
	if err != nil {
		return err
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
		j, err := s.Head(id)
		if j != nil && slices.Contains(finished, j.Phase) {
			continue // whether it can be read or not
		}
		if err == nil {
			err = s.readBytes(j)
		}
		if err != nil {
			return nil, err
		}
		unfinished = append(unfinished, j)
	}
	return unfinished, nil
}
