package enforce

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
const journalVersion = 2

// A Journal is what enabling changes, written before the first change and kept
// until it is taken back.
type Journal struct {
	Version int
	Begun   time.Time
	Phase   Phase
	Engine  string // its public socket
	Managed bool   // by systemd
	Refused bool   // whether the plugin was asked, and refused, before
	Said    bool   // the files had said so before, whether the engine had read them or not
	Guard   bool   // the guard was put in place
	Files   []File // their bytes lie beside the journal
}

// A Folder is where the journal lies: STATE/enable.
type Folder string

// FolderIn is the folder in the daemon's state.
func FolderIn(state string) Folder { return Folder(filepath.Join(state, "enable")) }

// state is the daemon's.
func (f Folder) state() string { return filepath.Dir(string(f)) }

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// original and enabled are where a file's bytes lie, before and after. A kind
// stands in a journal once.
func (f Folder) original(file File) string { return f.path(string(file.Kind) + ".original") }
func (f Folder) enabled(file File) string  { return f.path(string(file.Kind) + ".enabled") }

// Read gives the journal: nil if nothing was enabled here.
func (f Folder) Read() (*Journal, error) {
	raw, err := readBounded(f.path("journal.json"), maxConfig)
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
	for i := range j.Files {
		if err := f.readBytes(&j.Files[i]); err != nil {
			return nil, fmt.Errorf("reading what was enabled: %w: put the originals in %s back by hand, then remove its journal.json", err, f)
		}
	}
	return &j, nil
}

// readBytes reads a file's bytes, which have to be those that were kept.
func (f Folder) readBytes(file *File) error {
	for _, kept := range []struct {
		path, sum string
		into      *[]byte
	}{{f.original(*file), file.BeforeSum, &file.Before}, {f.enabled(*file), file.AfterSum, &file.After}} {
		if kept.path == f.original(*file) && !file.Existed {
			continue
		}
		raw, err := readBounded(kept.path, maxPolicy)
		if err != nil {
			return err
		}
		if sumOf(raw) != kept.sum {
			return fmt.Errorf("%s is not what was kept there", kept.path)
		}
		*kept.into = raw
	}
	return nil
}

// sumOf is the SHA-256 of bytes, in hexadecimal.
func sumOf(raw []byte) string { return fmt.Sprintf("%x", sha256.Sum256(raw)) }

// write keeps the journal, and the originals as files that a person can put
// back: a daemon.json may hold a proxy's password, so they are root's alone.
func (f Folder) write(j Journal) error {
	j.Files = slices.Clone(j.Files)
	for i := range j.Files {
		file := &j.Files[i]
		file.BeforeSum, file.AfterSum = sumOf(file.Before), sumOf(file.After)
		if err := (File{Path: f.enabled(*file), Mode: 0o600}).write(file.After); err != nil {
			return err
		}
		if !file.Existed {
			continue
		}
		if err := (File{Path: f.original(*file), Mode: 0o600}).write(file.Before); err != nil {
			return err
		}
	}
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return File{Path: f.path("journal.json"), Mode: 0o600}.write(append(raw, '\n'))
}

// keep writes the journal, and wants to be able to take back by it.
func (f Folder) keep(j Journal) error {
	err := f.write(j)
	if err == nil {
		_, err = f.Read()
	}
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("keeping the originals: %w", err), f.clear(&j)) // nothing was changed yet
}

// clear forgets what was taken back: the journal first, which is nothing
// without the rest.
func (f Folder) clear(j *Journal) error {
	paths := []string{f.path("journal.json")}
	for _, file := range j.Files {
		paths = append(paths, f.original(file), f.enabled(file))
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
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
