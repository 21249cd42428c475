package admission

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxApprovals bounds how many approvals are kept in memory: a hundred times
// the containers of a large engine, at about 1 KiB each.
const maxApprovals = 100_000

// ApprovalOptions say where approvals are kept. Dir, Now and Log are required.
type ApprovalOptions struct {
	Dir   string // STATE/approvals; made with the first approval
	Now   func() time.Time
	Log   *slog.Logger
	Owner func(fs.FileInfo) error // whose files are believed; nil: root's alone
	Clear bool                    // remove what is no approval, and what a crash left: for the daemon alone
}

// Approvals keep the approvals of an engine's containers, in memory and in one
// file each. A file is written soon after its approval holds, off the way of
// requests; what a crash takes before that is judged anew. If it cannot be written, the approval is forgotten. What another
// process writes meanwhile is found when it is asked for.
type Approvals struct {
	opts ApprovalOptions

	mu      sync.RWMutex
	held    map[string]*Approval // by container
	pending map[string]*work     // what is not on the disk yet
	closed  bool
	lost    map[string]bool // containers whose approval could not be written

	wake    chan struct{}
	closing chan struct{} // closed with Approvals
	done    chan struct{}

	failing bool // only the writer's: whether the last write failed
}

// OpenApprovals reads the approvals there are. What cannot be read, or is not
// an approval, is no approval; the log says so. It has to be closed.
func OpenApprovals(opts ApprovalOptions) *Approvals {
	if opts.Owner == nil {
		opts.Owner = rootsAlone
	}
	s := &Approvals{opts: opts, held: map[string]*Approval{}, pending: map[string]*work{}, lost: map[string]bool{}, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	s.load()
	go s.write()
	return s
}

// Find gives the approval of a container. Whether it still holds is for
// Upholds to say.
func (s *Approvals) Find(container string) (Approval, bool) {
	s.mu.RLock()
	a, ok := s.held[container]
	_, leaving := s.pending[container]
	s.mu.RUnlock()
	if ok {
		return *a, true
	}
	if leaving || !fullID.MatchString(container) {
		return Approval{}, false
	}
	a, err := s.read(container)
	if errors.Is(err, fs.ErrNotExist) {
		return Approval{}, false
	}
	if err != nil {
		s.disbelieve(container, err)
		return Approval{}, false
	}
	s.hold(a)
	return *a, true
}

// Len tells how many approvals are known.
func (s *Approvals) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.held)
}

// hold keeps in memory what was read of the disk, unless that is known to be
// old already.
func (s *Approvals) hold(a *Approval) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, newer := s.held[a.Container]
	if _, changing := s.pending[a.Container]; newer || changing || len(s.held) >= maxApprovals {
		return
	}
	s.held[a.Container] = a
}

// Record keeps an approval, at once in memory and soon on the disk.
func (s *Approvals) Record(a Approval) error {
	if err := a.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("approvals are closed")
	}
	if _, known := s.held[a.Container]; !known && len(s.held) >= maxApprovals {
		return fmt.Errorf("there are %d approvals, and no more are kept", maxApprovals)
	}
	s.held[a.Container] = &a
	s.queue(a.Container, &work{approval: &a})
	return nil
}

// Forget drops the approval of a container that is gone.
func (s *Approvals) Forget(container string) {
	if !fullID.MatchString(container) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	delete(s.held, container)
	delete(s.lost, container)
	s.queue(container, &work{})
}

// Keep drops the approvals of all containers but these, which were listed at
// or after a time: what was approved since then is of a container that the
// list may not have.
func (s *Approvals) Keep(containers []string, listed time.Time) {
	living := make(map[string]bool, len(containers))
	for _, id := range containers {
		living[id] = true
	}
	var gone []string
	s.mu.RLock()
	for id, a := range s.held {
		if !living[id] && a.Made.Before(listed) {
			gone = append(gone, id)
		}
	}
	s.mu.RUnlock()
	for id, info := range s.files() {
		if _, held := s.peek(id); !held && !living[id] && info.ModTime().Before(listed) {
			gone = append(gone, id)
		}
	}
	for _, id := range gone {
		s.Forget(id)
	}
}

func (s *Approvals) peek(container string) (*Approval, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, ok := s.held[container]
	return a, ok
}

// Close writes what is still to be written, as long as ctx lasts. The error
// counts the approvals that are not on the disk.
func (s *Approvals) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
		close(s.wake)
	}
	s.mu.Unlock()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if missing := len(s.lost) + len(s.pending); missing > 0 {
		return errors.Join(fmt.Errorf("%d approvals are not written to %s: look at its disk; these containers will be judged anew when they start", missing, s.opts.Dir), err)
	}
	return err
}

// read gets one approval from the disk.
func (s *Approvals) read(container string) (*Approval, error) {
	raw, err := readOwned(s.path(container), maxApproval, s.opts.Owner)
	if err != nil {
		return nil, err
	}
	a, err := parseApproval(container, raw)
	return &a, err
}

func (s *Approvals) path(container string) string {
	return filepath.Join(s.opts.Dir, container+".json")
}

// disbelieve says that a file holds no approval. Where the folder is kept
// clear, it goes: nobody can have made any use of it. What only could not be
// read stays, for it may be one.
func (s *Approvals) disbelieve(container string, err error) {
	if !errors.Is(err, errUnbelieved) || !s.opts.Clear {
		s.opts.Log.Warn("an approval cannot be read; its container is judged anew", "container", container, "error", err)
		return
	}
	s.opts.Log.Warn("a file is no approval and is removed; its container is judged anew", "container", container, "error", err)
	if err := os.Remove(s.path(container)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.opts.Log.Warn("a file that is no approval cannot be removed", "container", container, "error", err)
	}
}
