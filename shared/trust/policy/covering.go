package policy

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// Bounds of what questions may make the verifier fetch and keep.
const (
	maxFetches  = 64               // manifests, for one question
	fetchers    = 8                // at the same time
	fetchWithin = 3 * time.Second  // for all of it; a decision has 5 s
	fetchPause  = 10 * time.Second // between two looks through one repository, and after an error
	missedFor   = 10 * time.Minute // what a registry does not have is not asked for again
	maxShelves  = 64               // repositories whose manifests are kept
	shelfCount  = 2_000            // manifests of one repository
	shelfBytes  = 1 << 20          // of them together
)

// contents know which manifests and lists name which content. What they know
// is hashed, so it does not matter who gave it; but what one repository's
// registry gave is kept apart, so that no other is crowded out.
type contents struct {
	imported *manifests.Library // what bundles brought, for good
	clients  *access.Clients
	now      func() time.Time

	mu      sync.Mutex
	shelves map[string]*shelf // by repository
}

// libraries are where a repository's manifests may be.
func (c *contents) libraries(name string) []*manifests.Library {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.shelves[name]; ok {
		return []*manifests.Library{c.imported, s.kept()}
	}
	return []*manifests.Library{c.imported}
}

// parents are the manifests and lists that are known to name a digest.
func (c *contents) parents(ref reference.Named, dgst digest.Digest) []digest.Digest {
	var parents []digest.Digest
	for _, library := range c.libraries(ref.Name()) {
		parents = append(parents, library.Parents(dgst)...)
	}
	return parents
}

func (c *contents) has(ref reference.Named, dgst digest.Digest) bool {
	return slices.ContainsFunc(c.libraries(ref.Name()), func(l *manifests.Library) bool { return l.Has(dgst) })
}

func (c *contents) get(ref reference.Named, dgst digest.Digest) ([]byte, bool) {
	for _, library := range c.libraries(ref.Name()) {
		if raw, err := library.Get(dgst); err == nil {
			return raw, true
		}
	}
	return nil, false
}

// cover completes a question with the manifests and lists that are known to
// name what it is about.
func (c *contents) cover(q trust.Question) trust.Question {
	if digested, ok := q.Ref.(reference.Digested); ok {
		q.Covering = c.parents(q.Ref, digested.Digest())
	}
	q.Content.Covering = nil
	own := q.Content.Own()
	if q.Content.Store == trust.GraphdriverStore && q.Content.ID != "" {
		own = append(own, q.Content.ID) // the digest of its configuration
	}
	for _, dgst := range own {
		q.Content.Covering = append(q.Content.Covering, c.parents(q.Ref, dgst)...)
	}
	return q
}

// mayBeCovered reports whether a refusal may come of not knowing what the
// content belongs to.
func mayBeCovered(q trust.Question, err error) bool {
	refused := new(trust.Error)
	if !errors.As(err, &refused) || (refused.Reason != trust.DigestMismatch && refused.Reason != trust.Unsigned) {
		return false
	}
	return isDigested(q.Ref) || !q.Content.IsZero()
}

func isDigested(ref reference.Named) bool {
	_, ok := ref.(reference.Digested)
	return ok
}

// learn fetches manifests of the repository that are vouched for and may cover
// what the question is about; others may learn from it, so it goes on when
// nobody waits any more. The error says that what is vouched for is revoked.
func (v *Verifier) learn(ctx context.Context, q trust.Question) error {
	s := v.contents.shelf(q.Ref.Name())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchWithin)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil // the refusal stays what it is
	}
	candidates, err := v.candidates(ctx, q, s)
	if err != nil {
		return err
	}
	v.contents.fetchAll(ctx, q.Ref, s, candidates)
	if q.Content.Store == trust.GraphdriverStore {
		// Its image ID is the digest of a configuration, which only the
		// manifest of a platform names.
		v.contents.fetchAll(ctx, q.Ref, s, v.contents.children(q.Ref, candidates))
	}
	return nil
}

// unseen reports whether the policy revokes digests, one of which a list that
// is vouched for may hold without anybody here knowing it.
func (v *Verifier) unseen(ref reference.Named, dgst digest.Digest) bool {
	return len(v.policy.Revoked.Digests) > 0 && dgst != "" && !v.contents.has(ref, dgst) && !v.contents.shelf(ref.Name()).missing(dgst, v.contents.now())
}

// look fetches manifests. What cannot be had is not known to hold anything
// that is revoked: whoever revokes a part of a list revokes the list too.
func (v *Verifier) look(ctx context.Context, ref reference.Named, digests ...digest.Digest) {
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	v.contents.fetchAll(ctx, ref, v.contents.shelf(ref.Name()), digests)
}

// candidates are the digests whose manifests may tell: of a tag the one it is
// signed for, else all that are vouched for, now and then.
func (v *Verifier) candidates(ctx context.Context, q trust.Question, s *shelf) ([]digest.Digest, error) {
	if _, tagged := q.Ref.(reference.Tagged); tagged && !isDigested(q.Ref) {
		signed, err := v.judge(ctx, trust.Question{Ref: q.Ref})
		if trust.IsRevoked(err) {
			return nil, err
		}
		if err == nil && signed.Digest != "" {
			return []digest.Digest{signed.Digest}, nil
		}
	}
	now := v.contents.now()
	if now.Sub(s.looked[q.Content.Store]).Abs() < fetchPause {
		return nil, nil
	}
	s.looked[q.Content.Store] = now // under turn
	var digests []digest.Digest
	if scope, pinned := v.scope(q.Ref); pinned {
		digests = v.notary.VouchedFor(ctx, q.Ref, scope)
	}
	_, listed, _ := v.digests.find(q.Ref.Name())
	return append(digests, listed...), nil
}

// children are what known lists name.
func (c *contents) children(ref reference.Named, lists []digest.Digest) []digest.Digest {
	var children []digest.Digest
	for _, dgst := range lists {
		raw, ok := c.get(ref, dgst)
		if !ok {
			continue
		}
		if m, err := manifests.Parse(raw); err == nil {
			for _, child := range m.Manifests {
				children = append(children, child.Digest)
			}
		}
	}
	return children
}

// maxParts bounds what is listed of what digests name: a list of all the
// platforms there are names some twenty manifests, and as many attestations.
const maxParts = 256

// parts lists what known documents with these digests name, and what that
// names. It is false if that is more than is listed.
func (c *contents) parts(ref reference.Named, digests []digest.Digest) ([]digest.Digest, bool) {
	var parts []digest.Digest
	for next := sorted(digests); len(next) > 0; {
		next = slices.DeleteFunc(sorted(c.named(ref, next)), func(d digest.Digest) bool { return slices.Contains(parts, d) })
		parts = append(parts, next...)
		if len(parts) > maxParts {
			return nil, false
		}
	}
	return sorted(parts), true
}

// named are the images, lists and configurations that known documents name.
func (c *contents) named(ref reference.Named, digests []digest.Digest) []digest.Digest {
	var named []digest.Digest
	for _, dgst := range digests {
		raw, ok := c.get(ref, dgst)
		if !ok {
			continue
		}
		m, err := manifests.Parse(raw)
		if err != nil {
			continue
		}
		for _, part := range append(m.Manifests, m.Config) {
			if slices.Contains(c.parents(ref, part.Digest), dgst) { // an attestation is no part
				named = append(named, part.Digest)
			}
		}
	}
	return named
}

// fetchAll gets manifests that are not known, as far as they can be had.
func (c *contents) fetchAll(ctx context.Context, ref reference.Named, s *shelf, digests []digest.Digest) {
	var group errgroup.Group
	group.SetLimit(fetchers)
	for _, dgst := range c.unknown(ref, s, digests) {
		group.Go(func() error {
			_, err := c.manifest(ctx, ref, dgst)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				s.miss(dgst, c.now().Add(missedFor))
			case err != nil:
				s.miss(dgst, c.now().Add(fetchPause))
			}
			return nil
		})
	}
	_ = group.Wait() // what cannot be had covers nothing
}

func (c *contents) unknown(ref reference.Named, s *shelf, digests []digest.Digest) []digest.Digest {
	digests = slices.Clone(digests)
	slices.Sort(digests)
	var unknown []digest.Digest
	for _, dgst := range slices.Compact(digests) {
		if len(unknown) < maxFetches && !c.has(ref, dgst) && !s.missing(dgst, c.now()) {
			unknown = append(unknown, dgst)
		}
	}
	return unknown
}

// manifest gives the bytes with a digest: known ones, else the registry's.
func (c *contents) manifest(ctx context.Context, ref reference.Named, dgst digest.Digest) ([]byte, error) {
	if raw, ok := c.get(ref, dgst); ok {
		return raw, nil
	}
	canonical, err := reference.WithDigest(reference.TrimNamed(ref), dgst)
	if err != nil {
		return nil, err
	}
	base, client, err := c.clients.Registry(ref)
	if err != nil {
		return nil, err
	}
	raw, err := manifests.Fetch(ctx, client, base, canonical)
	if err != nil {
		return nil, err
	}
	if err := c.shelf(ref.Name()).keep(raw); err != nil && !errors.Is(err, manifests.ErrFull) {
		return nil, err
	}
	return raw, nil
}
