package notary

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/theupdateframework/notary/tuf/data"
)

// Defaults of what is kept in memory.
const (
	DefaultMaxRepositories = 20_000
	DefaultMaxMemory       = 96 << 20 // bytes; one repository with ten tags costs about 8 KiB, see BenchmarkMemory
	maxRefusals            = 1_000    // anybody can ask about names that nobody signed
)

// A memory holds what was last found out about repositories, bounded in number
// and bytes: the one that was asked about longest ago goes first. Refusals are
// kept apart, so that they push out nothing that is known.
type memory struct {
	mu       sync.Mutex
	known    shelf
	refusals shelf
}

// An entry is what was found out about one repository under one scope: its
// index, or why it is refused; both, if it was known before that.
type entry struct {
	gun     data.GUN
	scope   Scope
	index   *index
	err     error
	unsaved copyOf    // what was verified, if the cache on disk could not take it
	checked time.Time // when it was found out, or confirmed
	asked   time.Time // when a question last came
}

// unchanged is the index, if it was made of just this copy.
func (e entry) unchanged(kept copyOf) *index {
	if e.index == nil || e.index.partial || e.index.timestamp != sha256.Sum256(kept.Roles[data.CanonicalTimestampRole]) {
		return nil
	}
	return e.index
}

// changed reports whether questions may be answered otherwise by what was
// found now. A repository that was not known before is no change.
func (e entry) changed(now entry) bool {
	if e.index == nil || unanswered(now.err) {
		return false
	}
	if e.err != nil || now.err != nil {
		return (e.err == nil) != (now.err == nil)
	}
	return e.index.timestamp != now.index.timestamp // which names all the rest by hash
}

// Stats is what is kept in memory.
type Stats struct {
	Repositories int
	Bytes        int64                // an estimate, see the costs below
	Scopes       map[string]Freshness // by pattern of the policy
}

// Freshness is what is known of the repositories under one pattern.
type Freshness struct {
	Verified time.Time // when one was last found good
	Until    time.Time // when the first ends to be accepted, if nothing is renewed; zero: never
}

// stats works on a copy: who collects numbers holds up no question.
func (m *memory) stats() Stats {
	m.mu.Lock()
	s := Stats{Repositories: m.known.order.Len(), Bytes: m.known.bytes, Scopes: map[string]Freshness{}}
	entries := make([]entry, 0, s.Repositories)
	for element := m.known.order.Front(); element != nil; element = element.Next() {
		entries = append(entries, element.Value.(*slot).entry)
	}
	m.mu.Unlock()
	for _, e := range entries {
		f := s.Scopes[e.scope.Pattern]
		if e.err == nil && e.checked.After(f.Verified) {
			f.Verified = e.checked
		}
		if until := e.index.expires(e.scope); f.Until.IsZero() || (!until.IsZero() && until.Before(f.Until)) {
			f.Until = until
		}
		s.Scopes[e.scope.Pattern] = f
	}
	return s
}

func newMemory(maxRepositories int, maxBytes int64) *memory {
	return &memory{
		known:    newShelf(maxRepositories, maxBytes),
		refusals: newShelf(maxRefusals, maxRefusals*averageRefusal),
	}
}

// get gives what was found out last, and notes that it was asked for.
func (m *memory) get(key string, now time.Time) (entry, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, shelf := range []*shelf{&m.known, &m.refusals} {
		if e := shelf.use(key, now); e != nil {
			return *e, true
		}
	}
	return entry{}, false
}

// verified gives what was last known, and whether it has been refused since.
func (m *memory) verified(key string) entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if element, ok := m.known.slots[key]; ok {
		return element.Value.(*slot).entry
	}
	return entry{}
}

// put keeps an entry. A refusal is noted beside what was known, and not in its
// place: versions that were seen are not forgotten over it.
func (m *memory) put(key string, e entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.index == nil && m.known.refuse(key, e) {
		return
	}
	if e.index == nil {
		m.refusals.put(key, e, averageRefusal)
		return
	}
	m.refusals.remove(key)
	m.known.put(key, e, int64(len(key))+e.index.size()+e.unsaved.size())
}

// stale lists entries that were last found out before a time and have been
// asked about since another.
func (m *memory) stale(checkedBefore, askedAfter time.Time) map[string]entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	due := map[string]entry{}
	for element := m.known.order.Front(); element != nil; element = element.Next() {
		slot := element.Value.(*slot)
		if slot.entry.asked.Before(askedAfter) {
			break // and so were all behind it
		}
		if slot.entry.err == nil && slot.entry.checked.Before(checkedBefore) {
			due[slot.key] = slot.entry
		}
	}
	return due
}

// A shelf is a bounded set of entries in the order they were last asked for.
type shelf struct {
	maxCount int
	maxBytes int64
	bytes    int64
	order    *list.List // of *slot, the latest first
	slots    map[string]*list.Element
}

type slot struct {
	key   string
	entry entry
	bytes int64
}

// averageRefusal is what a refusal is counted as.
const averageRefusal = 1 << 10 // bytes

func newShelf(maxCount int, maxBytes int64) shelf {
	return shelf{maxCount: maxCount, maxBytes: maxBytes, order: list.New(), slots: map[string]*list.Element{}}
}

// use gives an entry that a question asks for, nil if there is none.
func (s *shelf) use(key string, now time.Time) *entry {
	element, ok := s.slots[key]
	if !ok {
		return nil
	}
	s.order.MoveToFront(element)
	used := &element.Value.(*slot).entry
	used.asked = now
	return used
}

// refuse notes a refusal beside what is known, if anything is.
func (s *shelf) refuse(key string, refusal entry) bool {
	element, ok := s.slots[key]
	if !ok {
		return false
	}
	known := &element.Value.(*slot).entry
	known.err, known.checked = refusal.err, refusal.checked
	return true
}

// put keeps an entry, in its place if it was there, and drops the last until
// all fit. The first stays even if it alone is too large: it is asked for.
func (s *shelf) put(key string, e entry, bytes int64) {
	if element, ok := s.slots[key]; ok {
		old := element.Value.(*slot)
		e.asked = old.entry.asked
		s.bytes += bytes - old.bytes
		old.entry, old.bytes = e, bytes
	} else {
		s.slots[key] = s.order.PushFront(&slot{key: key, entry: e, bytes: bytes})
		s.bytes += bytes
	}
	for s.order.Len() > 1 && (s.order.Len() > s.maxCount || s.bytes > s.maxBytes) {
		s.remove(s.order.Back().Value.(*slot).key)
	}
}

func (s *shelf) remove(key string) {
	if element, ok := s.slots[key]; ok {
		s.bytes -= element.Value.(*slot).bytes
		s.order.Remove(element)
		delete(s.slots, key)
	}
}

// Rough costs in memory, on 64-bit machines; BenchmarkMemory holds the sum of
// them against what the runtime says.
const (
	indexBytes = 2_000
	roleBytes  = 700
	tagBytes   = 110 // beside the tag itself
	keyBytes   = 180
)

func (x *index) size() int64 {
	size := int64(indexBytes + keyBytes*len(x.signed))
	size += roleBytes * int64(len(x.broken))
	for _, r := range x.roles {
		size += roleBytes + keyBytes*int64(len(r.keys))
		for tag := range r.targets {
			size += tagBytes + int64(len(tag))
		}
	}
	return size
}

func (kept copyOf) size() int64 {
	var size int64
	for _, raw := range kept.Roots {
		size += int64(len(raw))
	}
	for _, raw := range kept.Roles {
		size += int64(len(raw))
	}
	return size
}
