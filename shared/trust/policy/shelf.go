package policy

import (
	"errors"
	"sync"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
)

// A shelf is what was fetched from one repository, in memory.
type shelf struct {
	turn chan struct{} // held by whoever fetches

	mu      sync.Mutex
	library *manifests.Library
	looked  map[trust.Store]time.Time   // when a question last looked through all that is vouched for
	missed  map[digest.Digest]time.Time // until when
	used    time.Time
}

func newShelf() *shelf {
	return &shelf{turn: make(chan struct{}, 1), library: newShelfLibrary(), looked: map[trust.Store]time.Time{}, missed: map[digest.Digest]time.Time{}}
}

func newShelfLibrary() *manifests.Library {
	return manifests.New(manifests.Options{MaxManifests: shelfCount, MaxBytes: shelfBytes})
}

// shelf gives a repository's shelf. When there is no room for another one, the
// one that was used longest ago goes.
func (c *contents) shelf(name string) *shelf {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.shelves[name]
	if !ok {
		if c.shelves == nil {
			c.shelves = map[string]*shelf{}
		}
		if len(c.shelves) >= maxShelves {
			delete(c.shelves, c.oldest())
		}
		s = newShelf()
		c.shelves[name] = s
	}
	s.used = c.now()
	return s
}

func (c *contents) oldest() string {
	var oldest string
	for name, s := range c.shelves {
		if oldest == "" || s.used.Before(c.shelves[oldest].used) {
			oldest = name
		}
	}
	return oldest
}

func (s *shelf) kept() *manifests.Library {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.library
}

// keep puts a manifest on the shelf, which is cleared when it is full: what is
// needed again is fetched again.
func (s *shelf) keep(raw []byte) error {
	_, err := s.kept().Add(raw)
	if !errors.Is(err, manifests.ErrFull) {
		return err
	}
	s.mu.Lock()
	s.library = newShelfLibrary()
	s.mu.Unlock()
	_, err = s.kept().Add(raw)
	return err
}

// miss notes that a manifest cannot be had before a time.
func (s *shelf) miss(dgst digest.Digest, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.missed) >= shelfCount {
		clear(s.missed)
	}
	s.missed[dgst] = until
}

func (s *shelf) missing(dgst digest.Digest, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.missed[dgst])
}
