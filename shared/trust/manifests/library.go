package manifests

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/renameio/v2"
	"github.com/opencontainers/go-digest"
)

// Bounds of a library, where Options give none: what 20,000 manifests of
// 3 KiB come to. One that is kept on disk costs about 400 bytes of memory
// (BenchmarkFirst).
const (
	defaultManifests = 20_000
	defaultBytes     = 64 << 20
)

// lookEvery is how often the folder is asked whether it has changed.
const lookEvery = time.Second

// Options of a Library. The zero value keeps a bounded library in memory.
type Options struct {
	Dir          string           // documents lie in Dir/sha256/<hex>; "": in memory
	MaxManifests int              // 0: 20,000
	MaxBytes     int64            // of all documents together; 0: 64 MiB
	Now          func() time.Time // nil: time.Now
	Log          *slog.Logger     // what was skipped, once a file; nil: nowhere
}

// A Library holds manifests and lists by the digest of their bytes. What lies
// in its folder is hashed when it is read, never believed. It is safe for
// concurrent use, by several processes too: a document only ever has one
// content, and a file appears whole.
type Library struct {
	dir          string // Dir/sha256; "": in memory
	maxManifests int
	maxBytes     int64
	now          func() time.Time
	log          *slog.Logger

	first  sync.Once
	look   sync.Mutex   // one look at the folder at a time
	looked atomic.Int64 // when the last one began, Unix time in ns
	folder folder       // what it saw; under look

	mu    sync.RWMutex
	graph graph
	bytes int64
	raw   map[sum][]byte // in memory only
}

// ErrFull says that the library has reached its bounds. An error of Add is
// ErrFull (errors.Is) in this case and no other: a full disk is none.
var ErrFull = errors.New("the library of manifests is full")

// Open is New for a folder; "" keeps the documents in memory. It reads
// nothing before it is asked.
func Open(dir string) *Library { return New(Options{Dir: dir}) }

// New makes a library. It reads nothing before it is asked.
func New(o Options) *Library {
	l := &Library{
		maxManifests: cmp.Or(o.MaxManifests, defaultManifests),
		maxBytes:     cmp.Or(o.MaxBytes, defaultBytes),
		now:          o.Now,
		log:          cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		graph:        newGraph(),
		raw:          map[sum][]byte{},
	}
	if l.now == nil {
		l.now = time.Now
	}
	if o.Dir != "" {
		l.dir = filepath.Join(o.Dir, string(digest.SHA256))
	}
	return l
}

// Add takes a manifest or list in, if Parse accepts it, and gives its digest;
// the error is ErrFull if there is no room. One that is known already has room.
// The file is there when it returns, whole, also after a crash.
func (l *Library) Add(raw []byte) (digest.Digest, error) {
	m, err := Parse(raw)
	if err != nil {
		return "", err
	}
	l.notice()
	n := newNode(raw, m)
	l.look.Lock() // so that no look at the folder misses the file and forgets the document
	defer l.look.Unlock()
	if !l.hasRoom(n) {
		return "", fmt.Errorf("keeping manifest %s: %w (%d documents, %d MiB): remove from %s what is no longer needed",
			n.digest, ErrFull, l.maxManifests, l.maxBytes>>20, cmp.Or(l.dir, "it"))
	}
	if err := l.write(n.digest, raw); err != nil {
		return "", fmt.Errorf("keeping manifest %s: %w", n.digest, err)
	}
	l.take(n, raw)
	return n.digest, nil
}

// hasRoom reports whether a document is there already or has room.
func (l *Library) hasRoom(n *node) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.graph.nodes[n.sum] != nil || (len(l.graph.nodes) < l.maxManifests && l.bytes+n.size <= l.maxBytes)
}

// take puts a document into the graph. The caller holds look.
func (l *Library) take(n *node, raw []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.graph.nodes[n.sum] != nil {
		return
	}
	l.graph.add(n)
	l.bytes += n.size
	if l.dir == "" {
		l.raw[n.sum] = bytes.Clone(raw)
	}
}

// write makes sure that the file of a document is there, and is its own.
func (l *Library) write(d digest.Digest, raw []byte) error {
	if l.dir == "" {
		return nil
	}
	if kept, err := readFile(l.path(d)); err == nil && bytes.Equal(kept, raw) {
		return nil
	}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(l.path(d), raw, 0o600, renameio.WithTempDir(l.dir))
}

func (l *Library) path(d digest.Digest) string { return filepath.Join(l.dir, d.Encoded()) }

// Get gives the bytes of a manifest or list, hashed again. The error of one
// that is not there is fs.ErrNotExist.
func (l *Library) Get(d digest.Digest) ([]byte, error) {
	sum, ok := sumOf(d)
	if !ok {
		return nil, fmt.Errorf("reading manifest %.90q: it is no sha256 digest", d)
	}
	if l.dir == "" {
		l.mu.RLock()
		defer l.mu.RUnlock()
		if raw, ok := l.raw[sum]; ok {
			return bytes.Clone(raw), nil
		}
		return nil, fmt.Errorf("reading manifest %s: %w", d, fs.ErrNotExist)
	}
	raw, err := readFile(l.path(d))
	if err != nil {
		return nil, fmt.Errorf("reading manifest %s: %w", d, err)
	}
	if digest.FromBytes(raw) != d {
		return nil, fmt.Errorf("reading manifest %s: %w: remove %s, and add it again", d, errDamaged, l.path(d))
	}
	return raw, nil
}

// Has reports whether a manifest or list is known. It answers from memory,
// and reads and hashes nothing: whoever needs the bytes asks Get, which may
// still find the file gone or damaged.
func (l *Library) Has(d digest.Digest) bool {
	l.notice()
	s, ok := sumOf(d)
	return ok && l.knows(s)
}

// Parents gives the digests of all documents known to name d: the manifests
// whose configuration it is, the lists it is in, and the lists these are in,
// nearest first. It answers from memory.
func (l *Library) Parents(d digest.Digest) []digest.Digest {
	l.notice()
	sum, ok := sumOf(d)
	if !ok {
		return nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.graph.above(sum)
}
