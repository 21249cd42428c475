package signing

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// maxRepositories bounds the repositories that are published at the same time.
const maxRepositories = 8

// renewBefore is how long before its expiry a signature is made anew although
// it says the same: notary's client begins to warn six months before.
const renewBefore = 183 * 24 * time.Hour

// A Target is a tag and the manifest that it is to name.
type Target struct {
	GUN    string        `json:"gun"` // the repository's full name, such as docker.io/library/alpine
	Tag    string        `json:"tag"`
	Digest digest.Digest `json:"digest"` // of the manifest or list, sha256
	Size   int64         `json:"size"`   // of the same, in bytes
}

// String is the tag as docker names it. What no registry takes as a tag is
// quoted: whoever signed it may have meant a terminal.
func (t Target) String() string {
	if !anchoredTag.MatchString(t.Tag) {
		return fmt.Sprintf("%s:%.200q", t.GUN, t.Tag)
	}
	return t.GUN + ":" + t.Tag
}

// A Result is what became of one repository: all of its targets are served, or
// none that was not before.
type Result struct {
	GUN       string
	Published []Target // signed now; the server serves them
	Unchanged []Target // were signed so, for long enough, by the same roles
	Failed    []Target // are not signed; Err says why
	Began     bool     // the repository had no signatures before
	RootKey   string   // its root key's ID, if it began: what a policy pins
	Roles     []string // that hold the tags, such as targets/releases
	Err       error
}

// Order says who signs, and who hears of it.
type Order struct {
	Signer string       // whose delegation is written, beside targets/releases; empty: all whose keys are here
	Done   func(Result) // of each repository, one at a time; nil: nobody
}

// Publish signs targets and publishes them, several repositories at the same
// time, each in one piece. A repository without signatures begins with the
// signer's delegation, as `docker trust signer add` would make it. The results
// are in the order of the repositories' names.
//
// When ctx ends, what is under way fails; whether a change that had been sent
// took place is told by publishing once more, which changes nothing that is
// there already.
func (s *Signer) Publish(ctx context.Context, targets []Target, order Order) []Result {
	groups := byRepository(targets)
	return each(len(groups), order.Done, func(i int) Result {
		return s.publish(ctx, groups[i][0].GUN, groups[i], order.Signer)
	})
}

// byRepository sorts targets by repository, in the order of their names.
func byRepository(targets []Target) [][]Target {
	groups := map[string][]Target{}
	for _, t := range targets {
		groups[t.GUN] = append(groups[t.GUN], t)
	}
	var sorted [][]Target
	for _, gun := range slices.Sorted(maps.Keys(groups)) {
		sorted = append(sorted, groups[gun])
	}
	return sorted
}

// each does something with n repositories, several at the same time, and tells
// done of each, one at a time. The results are in the repositories' order.
func each(n int, done func(Result), do func(i int) Result) []Result {
	results := make([]Result, n)
	var group errgroup.Group
	group.SetLimit(maxRepositories)
	var told sync.Mutex
	for i := range results {
		group.Go(func() error {
			results[i] = do(i)
			if done != nil {
				told.Lock()
				defer told.Unlock()
				done(results[i])
			}
			return nil
		})
	}
	_ = group.Wait() // each result has its own error
	return results
}

func (s *Signer) publish(ctx context.Context, gun string, targets []Target, signer string) Result {
	if err := ctx.Err(); err != nil {
		return failed(gun, targets, notBegun(gun, err))
	}
	if err := checkTargets(targets); err != nil {
		return failed(gun, targets, err)
	}
	j := &job{targets: targets, signer: signer, now: time.Now()}
	began, err := s.change(ctx, gun, j.plan, j.served)
	if err != nil {
		return failed(gun, targets, err)
	}
	return j.result(gun, began)
}

// failed is a repository of which nothing was done.
func failed(gun string, targets []Target, err error) Result {
	return Result{GUN: gun, Failed: targets, Err: err}
}

func notBegun(gun string, err error) error { return fmt.Errorf("%s was not begun: %w", gun, err) }

// checkTargets refuses what cannot be a tag of a signed manifest, and a tag
// that is to name two.
func checkTargets(targets []Target) error {
	seen := map[string]digest.Digest{}
	for _, t := range targets {
		if t.Digest.Validate() != nil || t.Digest.Algorithm() != digest.SHA256 {
			return fmt.Errorf("%s: %.90q is no sha256 digest", t, t.Digest)
		}
		if t.Size <= 0 || t.Tag == "" {
			return fmt.Errorf("%s: a target has a tag, and the size of its manifest in bytes", t)
		}
		if other, ok := seen[t.Tag]; ok && other != t.Digest {
			return fmt.Errorf("%s is to name %s and %s at once", t, other, t.Digest)
		}
		seen[t.Tag] = t.Digest
	}
	return nil
}
