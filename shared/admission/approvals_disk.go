package admission

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/google/renameio/v2"
)

// work is one change to the folder: an approval to write, or, without one, a
// file to remove.
type work struct{ approval *Approval }

// queue leaves work to the writer. The lock is held; only the last change of a
// container counts.
func (s *Approvals) queue(container string, w *work) {
	s.pending[container] = w
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// settle is how long what is queued rests before it is written: the engine is
// about to answer, and a container of docker run --rm may be gone before.
const settle = 500 * time.Millisecond

// write does what is queued until Approvals are closed and nothing is left.
func (s *Approvals) write() {
	defer close(s.done)
	for range s.wake {
		select {
		case <-time.After(settle):
		case <-s.closing:
		}
		s.drain()
	}
	s.drain()
}

func (s *Approvals) drain() {
	for {
		container, w, ok := s.next()
		if !ok {
			return
		}
		s.finish(container, w, s.do(container, w))
	}
}

func (s *Approvals) next() (string, *work, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for container, w := range s.pending {
		return container, w, true
	}
	return "", nil, false
}

func (s *Approvals) do(container string, w *work) error {
	if w.approval == nil {
		err := os.Remove(s.path(container))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	raw, err := w.approval.encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return err
	}
	// Its own folder is known to be on the same file system.
	return renameio.WriteFile(s.path(container), raw, 0o600, renameio.WithTempDir(s.opts.Dir), renameio.WithStaticPermissions(0o600))
}

// finish takes work off the queue, unless there is newer of the same container.
// An approval that could not be written holds no longer.
func (s *Approvals) finish(container string, w *work, err error) {
	s.tell(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[container] == w {
		delete(s.pending, container)
	}
	if err == nil {
		delete(s.lost, container)
	}
	if err == nil || w.approval == nil {
		return
	}
	s.lost[container] = true
	if s.held[container] == w.approval {
		delete(s.held, container)
	}
}

// tell logs the first failure of a row, and its end.
func (s *Approvals) tell(err error) {
	switch {
	case err != nil && !s.failing:
		s.opts.Log.Error("approvals cannot be written; containers are judged anew at each start until they can", "folder", s.opts.Dir, "error", err)
	case err == nil && s.failing:
		s.opts.Log.Info("approvals are written again", "folder", s.opts.Dir)
	}
	s.failing = err != nil
}

// load reads what is on the disk.
func (s *Approvals) load() {
	for container := range s.files() {
		if len(s.held) >= maxApprovals {
			s.opts.Log.Warn("there are more approvals than are kept in memory", "folder", s.opts.Dir, "kept", maxApprovals)
			return
		}
		a, err := s.read(container)
		if err != nil {
			s.disbelieve(container, err)
			continue
		}
		s.held[container] = a
	}
}

// A file that was being written has a name of renameio's, and is a second old.
var unfinished = regexp.MustCompile(`^\.[0-9a-f]{64}\.json[0-9]+$`)

const unfinishedFor = time.Hour

// maxFiles bounds how many names of the folder are looked at.
const maxFiles = 4 * maxApprovals

// files lists the approvals in the folder by container.
func (s *Approvals) files() map[string]fs.FileInfo {
	files := map[string]fs.FileInfo{}
	folder, err := os.Open(s.opts.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return files
	}
	if err != nil {
		s.opts.Log.Warn("approvals cannot be read; containers are judged anew", "folder", s.opts.Dir, "error", err)
		return files
	}
	defer folder.Close()
	for seen := 0; seen < maxFiles; {
		entries, err := folder.ReadDir(1000)
		for _, entry := range entries {
			s.file(files, entry)
		}
		seen += len(entries)
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			s.opts.Log.Warn("not all approvals can be read; their containers are judged anew", "folder", s.opts.Dir, "error", err)
			return files
		}
	}
	s.opts.Log.Warn("the folder of approvals has more files than are looked at: remove what does not belong there", "folder", s.opts.Dir, "looked", maxFiles)
	return files
}

func (s *Approvals) file(files map[string]fs.FileInfo, entry fs.DirEntry) {
	info, err := entry.Info()
	if err != nil {
		return // it is gone
	}
	if name := fileNames.FindStringSubmatch(entry.Name()); name != nil {
		files[name[1]] = info
		return
	}
	if s.opts.Clear && unfinished.MatchString(entry.Name()) && s.opts.Now().Sub(info.ModTime()) > unfinishedFor {
		_ = os.Remove(filepath.Join(s.opts.Dir, entry.Name()))
	}
}
