package admission

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Allowances keep break-glass in one file, which docker stig authz allow
// writes and the plugin reads. They are looked at only after a refusal.
//
// What was seen to have ended has ended for this process, whatever becomes of
// its clock; allowed again, it is another allowance. That is not written down:
// a restart believes the clock as it stands then.
type Allowances struct {
	Path  string // STATE/allowances.json
	Log   *slog.Logger
	Owner func(fs.FileInfo) error // whose file is believed; nil: root's alone

	mu    sync.Mutex // never held while the disk is waited for
	seen  stamp      // of the file that list was read of
	list  []Allowance
	ended map[Allowance]bool // of list
}

// A stamp tells a file from the one that was there before: each is a new one.
type stamp struct {
	inode          uint64
	size           int64
	written, moved syscall.Timespec
}

// Find gives an allowance that holds now for the content of one of the
// questions, and that question. A file that cannot be read allows nothing.
func (s *Allowances) Find(questions []trust.Question, now time.Time) (Allowance, trust.Question, bool) {
	for _, a := range s.Holding(now) {
		for _, q := range questions {
			if a.lets(q) {
				return a, q, true
			}
		}
	}
	return Allowance{}, trust.Question{}, false
}

// Names reports whether an allowance that holds now is for an image ID, in
// whatever repository.
func (s *Allowances) Names(id digest.Digest, now time.Time) bool {
	return slices.ContainsFunc(s.Holding(now), func(a Allowance) bool { return a.Digest == id })
}

// Holding lists the allowances that hold now.
func (s *Allowances) Holding(now time.Time) []Allowance {
	list := s.current()
	s.mu.Lock()
	defer s.mu.Unlock()
	var holding []Allowance
	for _, a := range list {
		if !now.Before(a.Until) {
			s.end(a)
		}
		if a.Holds(now) && !s.ended[a] {
			holding = append(holding, a)
		}
	}
	return holding
}

// end notes that an allowance has ended. The lock is held.
func (s *Allowances) end(a Allowance) {
	if s.ended == nil {
		s.ended = map[Allowance]bool{}
	}
	s.ended[a] = true
}

// current gives what the file says, reading it if it has changed. What is
// wrong with it is logged once.
func (s *Allowances) current() []Allowance {
	now, err := stampOf(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.keep(stamp{}, nil)
	}
	s.mu.Lock()
	seen, list := s.seen, s.list
	s.mu.Unlock()
	if err == nil && now == seen {
		return list
	}
	list, readErr := s.read()
	if err := errors.Join(err, readErr); err != nil {
		s.Log.Error("the file of allowances is not believed: break-glass is closed", "file", s.Path, "error", err)
		list = nil
		if !errors.Is(err, errUnbelieved) {
			now = stamp{} // it may be read the next time
		}
	}
	return s.keep(now, list)
}

// keep remembers what the file said, and forgets what had ended and is gone:
// not for a file that cannot be read just now.
// Of two who read at once, the one with the older file is corrected by the
// next look at its stamp.
func (s *Allowances) keep(of stamp, list []Allowance) []Allowance {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.list = of, list
	if len(list) > 0 {
		maps.DeleteFunc(s.ended, func(a Allowance, _ bool) bool { return !slices.Contains(list, a) })
	}
	return list
}

func stampOf(path string) (stamp, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return stamp{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, fmt.Errorf("%s cannot be told from other files", path)
	}
	return stamp{inode: stat.Ino, size: stat.Size, written: stat.Mtim, moved: stat.Ctim}, nil
}

func (s *Allowances) read() ([]Allowance, error) {
	owner := s.Owner
	if owner == nil {
		owner = rootsAlone
	}
	raw, err := readOwned(s.Path, maxAllowFile, owner)
	if err != nil {
		return nil, err
	}
	return parseAllowances(raw)
}

// List gives the allowances in the file, those included that have ended or do
// not hold yet.
func (s *Allowances) List() ([]Allowance, error) {
	list, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the allowances: %w", err)
	}
	return list, nil
}

// Add writes an allowance, made now, in the place of an older one for the same
// content, and drops those that have ended. It waits for other processes that
// do the same.
func (s *Allowances) Add(ctx context.Context, a Allowance, now time.Time) error {
	a.Made, a.Until = now.UTC(), a.Until.UTC()
	if err := a.Check(); err != nil {
		return err
	}
	if err := s.add(ctx, a, now); err != nil {
		return fmt.Errorf("adding an allowance: %w", err)
	}
	return nil
}

func (s *Allowances) add(ctx context.Context, a Allowance, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return err
	}
	return s.change(ctx, now, func(list []Allowance) ([]Allowance, error) {
		return append(slices.DeleteFunc(list, a.sameContent), a), nil
	})
}

// ErrNoAllowance says that there is no such allowance to end.
var ErrNoAllowance = errors.New("there is no such allowance")

// Remove ends an allowance for content before its time, and gives it. One that
// has ended by itself is ErrNoAllowance.
func (s *Allowances) Remove(ctx context.Context, repository string, dgst digest.Digest, now time.Time) (Allowance, error) {
	if _, err := os.Lstat(s.Path); errors.Is(err, fs.ErrNotExist) {
		return Allowance{}, ErrNoAllowance // and no lock is left behind
	}
	removed := Allowance{Repository: repository, Digest: dgst}
	err := s.change(ctx, now, func(list []Allowance) ([]Allowance, error) {
		i := slices.IndexFunc(list, removed.sameContent)
		if i < 0 {
			return nil, ErrNoAllowance
		}
		removed = list[i]
		return slices.Delete(list, i, i+1), nil
	})
	if err != nil {
		return Allowance{}, fmt.Errorf("ending an allowance: %w", err)
	}
	return removed, nil
}

// change writes what edit makes of the allowances that have not ended. It
// waits for other processes that do the same.
func (s *Allowances) change(ctx context.Context, now time.Time, edit func([]Allowance) ([]Allowance, error)) error {
	unlock, err := lock(ctx, s.Path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	list, err := s.read()
	if errors.Is(err, errUnbelieved) {
		return fmt.Errorf("%w: move %s away and try again; what it allows ends with that", err, s.Path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	list, err = edit(slices.DeleteFunc(list, func(old Allowance) bool { return !now.Before(old.Until) }))
	if err != nil {
		return err
	}
	raw, err := encodeAllowances(list)
	if err != nil {
		return err
	}
	// Its own folder is known to be on the same file system.
	return renameio.WriteFile(s.Path, raw, 0o600, renameio.WithTempDir(filepath.Dir(s.Path)), renameio.WithStaticPermissions(0o600))
}

// lockPause is between two tries for a lock, which is held for milliseconds.
const lockPause = 5 * time.Millisecond

// lock keeps other processes out until unlock is called.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing unlocks
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("another program has locked %s: end it (fuser %s names it) and try again", path, path), ctx.Err(), file.Close())
		case <-time.After(lockPause):
		}
	}
}
