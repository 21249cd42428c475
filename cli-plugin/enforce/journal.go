package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A Phase is how far enabling has come.
type Phase string

const (
	// Applying has begun to change things, and has not been confirmed.
	Applying Phase = "applying"
	// InForce was checked, and confirmed where somebody was there to do it.
	InForce Phase = "in force"
)

// journalVersion goes up when an older program could not take back by it.
const journalVersion = 1

// A Journal is what enabling changes, written before the first change and kept
// until it is taken back.
type Journal struct {
	Version int
	Begun   time.Time
	Phase   Phase
	Engine  string // its public socket
	Managed bool   // by systemd
	Refused bool   // whether the plugin was asked, and refused, before
	Guard   bool   // the guard was put in place
	Files   []File // with their originals
}

// A Folder is where the journal lies: STATE/enable.
type Folder string

// FolderIn is the folder in the daemon's state.
func FolderIn(state string) Folder { return Folder(filepath.Join(state, "enable")) }

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// Read gives the journal: nil if nothing was enabled here.
func (f Folder) Read() (*Journal, error) {
	raw, err := readBounded(f.path("journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no journal is an answer here
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was enabled: %w", err)
	}
	var j Journal
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("%s cannot be read: the originals lie beside it; put them back by hand, then remove it (%w)", f.path("journal.json"), err)
	}
	if j.Version != journalVersion {
		return nil, fmt.Errorf("%s was written by another version of docker stig: take it back with that one", f.path("journal.json"))
	}
	return &j, nil
}

// write keeps the journal, and the originals as files that a person can put
// back: a daemon.json may hold a proxy's password, so they are root's alone.
func (f Folder) write(j Journal) error {
	for _, file := range j.Files {
		if !file.Existed {
			continue
		}
		original := File{Path: f.path(filepath.Base(file.Path) + ".original"), Mode: 0o600}
		if err := original.write(file.Before); err != nil {
			return err
		}
	}
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return File{Path: f.path("journal.json"), Mode: 0o600}.write(append(raw, '\n'))
}

// clear forgets what was taken back.
func (f Folder) clear(j *Journal) error {
	for _, file := range j.Files {
		if err := os.Remove(f.path(filepath.Base(file.Path) + ".original")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(f.path("journal.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(string(f))
}

// lock keeps others from enabling and disabling. It ends with the process.
func (f Folder) lock(ctx context.Context, patience time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(f.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if pause(ctx) != nil {
			_ = file.Close() // it was only locked
			return nil, errors.New("another docker stig authz enable or disable is at work: wait until it has ended")
		}
	}
}

// Busy reports whether somebody enables or disables just now.
func (f Folder) Busy() bool {
	file, err := os.Open(f.path("lock"))
	if err != nil {
		return false
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// pause waits for the next look at something that settles.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lookEvery):
		return nil
	}
}

// settle looks until what is wanted holds, and gives the last reason why not.
func settle(ctx context.Context, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for {
		err := holds(ctx)
		if err == nil {
			return nil
		}
		if pause(ctx) != nil {
			return err
		}
	}
}
