package manifests

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
)

// errDamaged says that a file's bytes do not hash to its name.
var errDamaged = errors.New("its bytes do not hash to its name")

// A folder is what the last look at a library's folder saw.
type folder struct {
	modified time.Time
	settled  bool             // a second look at the same state saw nothing new
	skipped  map[string]stamp // files that are not believed, by name
	trouble  string           // why the folder could not be read
}

// A stamp changes with a file.
type stamp struct {
	modified time.Time
	size     int64
}

// notice takes in what another process has added or removed. The folder is
// asked once a second at most; only the very first question waits for a look
// that another began.
func (l *Library) notice() {
	if l.dir == "" {
		return
	}
	now := l.now().UnixNano()
	l.first.Do(func() { l.lookAt(now) })
	if passed := time.Duration(now - l.looked.Load()); passed >= 0 && passed < lookEvery { // a clock set back looks
		return
	}
	if !l.look.TryLock() {
		return
	}
	defer l.look.Unlock()
	l.lookLocked(now)
}

func (l *Library) lookAt(now int64) {
	l.look.Lock()
	defer l.look.Unlock()
	l.lookLocked(now)
}

// lookLocked reads the folder if its time has changed, and once more after
// that: a file that came within the same tick of the file system's clock left
// the time as it was.
func (l *Library) lookLocked(now int64) {
	l.looked.Store(now)
	info, err := os.Stat(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		l.forget(nil)
		l.folder = folder{}
		return
	}
	if err != nil {
		l.complain(err)
		return
	}
	same := info.ModTime().Equal(l.folder.modified)
	if same && l.folder.settled {
		return
	}
	if err := l.read(); err != nil {
		l.complain(err)
		return
	}
	l.folder.modified, l.folder.settled, l.folder.trouble = info.ModTime(), same, ""
}

// complain logs why the folder cannot be read, once. What is known stays
// known: that bytes hash to a digest does not stop being so.
func (l *Library) complain(err error) {
	if l.folder.trouble == err.Error() {
		return
	}
	l.folder.trouble = err.Error()
	l.log.Warn("cannot read the library of manifests; images known only by it are refused", slog.Any("error", err))
}

// read forgets the documents whose files are gone, and takes in the files
// that are not known.
func (l *Library) read() error {
	entries, err := l.list()
	if err != nil {
		return err
	}
	there := map[sum]bool{}
	for _, entry := range entries {
		if s, ok := sumOfName(entry.Name()); ok {
			there[s] = true
		}
	}
	l.forget(there)
	skipped := map[string]stamp{}
	full := false
	for _, entry := range entries {
		full = l.readEntry(entry, skipped) || full
	}
	if full {
		l.log.Warn("the library of manifests is full; images known only by the rest are refused", slog.String("folder", l.dir))
	}
	l.folder.skipped = skipped
	return nil
}

// list gives the files of the folder, up to a bound.
func (l *Library) list() ([]fs.DirEntry, error) {
	dir, err := os.Open(l.dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	most := 2 * l.maxManifests // some may be temporary, or not believed
	entries, err := dir.ReadDir(most)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if len(entries) == most {
		l.log.Warn("the library of manifests holds more files than are looked at", slog.String("folder", l.dir))
	}
	return entries, err
}

// readEntry takes in one file, or files it under skipped. It reports whether
// there was no room for it.
func (l *Library) readEntry(entry fs.DirEntry, skipped map[string]stamp) (full bool) {
	name := entry.Name()
	if strings.HasPrefix(name, ".") { // being written, or left over from a crash
		return false
	}
	if s, ok := sumOfName(name); ok && l.knows(s) {
		return false
	}
	info, err := entry.Info()
	if err != nil { // gone since
		return false
	}
	now := stamp{info.ModTime(), info.Size()}
	if before, ok := l.folder.skipped[name]; ok && before == now {
		skipped[name] = now
		return false
	}
	err = l.readDocument(name)
	if errors.Is(err, ErrFull) {
		return true
	}
	if err != nil {
		skipped[name] = now
		l.log.Warn("skipping a file in the library of manifests", slog.String("file", name), slog.Any("error", err))
	}
	return false
}

func sumOfName(name string) (sum, bool) {
	return sumOf(digest.NewDigestFromEncoded(digest.SHA256, name))
}

func (l *Library) readDocument(name string) error {
	if _, ok := sumOfName(name); !ok {
		return errors.New("its name is no sha256")
	}
	d := digest.NewDigestFromEncoded(digest.SHA256, name)
	raw, err := readFile(l.path(d))
	if err != nil {
		return err
	}
	if digest.FromBytes(raw) != d {
		return errDamaged
	}
	m, err := Parse(raw)
	if err != nil {
		return err
	}
	n := newNode(raw, m)
	if !l.hasRoom(n) {
		return ErrFull
	}
	l.take(n, raw)
	return nil
}

func (l *Library) knows(s sum) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.graph.nodes[s] != nil
}

// forget drops the documents that are not there.
func (l *Library) forget(there map[sum]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s, n := range l.graph.nodes {
		if !there[s] {
			l.graph.remove(n)
			l.bytes -= n.size
		}
	}
}

// readFile reads a regular file of bounded size. A symlink is refused, and a
// pipe does not hold the reader up.
func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	raw, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("it is longer than the %d MiB that are read", MaxSize>>20)
	}
	return raw, nil
}
