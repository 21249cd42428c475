package signing

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/errgroup"
)

// maxRepositories bounds the repositories that are published at the same time.
const maxRepositories = 8

// renewBefore is how long before its expiry a signature is made anew although
// it says the same: notary's client begins to warn six months before.
const renewBefore = 183 * 24 * time.Hour

// A Target is a tag and the manifest that it is to name.
type Target struct {
	GUN    string // the repository's full name, such as docker.io/library/alpine
	Tag    string
	Digest digest.Digest // of the manifest or list, sha256
	Size   int64         // of the same, in bytes
}

// String is the tag as docker names it.
func (t Target) String() string { return t.GUN + ":" + t.Tag }

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
	byGUN := map[string][]Target{}
	for _, t := range targets {
		byGUN[t.GUN] = append(byGUN[t.GUN], t)
	}
	var results []Result
	for gun := range byGUN {
		results = append(results, Result{GUN: gun})
	}
	slices.SortFunc(results, func(a, b Result) int { return strings.Compare(a.GUN, b.GUN) })
	var group errgroup.Group
	group.SetLimit(maxRepositories)
	var told sync.Mutex
	for i := range results {
		group.Go(func() error {
			results[i] = s.publish(ctx, results[i].GUN, byGUN[results[i].GUN], order.Signer)
			if order.Done != nil {
				told.Lock()
				defer told.Unlock()
				order.Done(results[i])
			}
			return nil
		})
	}
	_ = group.Wait() // each result has its own error
	return results
}

func (s *Signer) publish(ctx context.Context, gun string, targets []Target, signer string) Result {
	result := Result{GUN: gun}
	fail := func(err error) Result {
		result.Err, result.Failed = err, targets
		result.Published, result.Unchanged = nil, nil
		return result
	}
	if err := ctx.Err(); err != nil {
		return fail(fmt.Errorf("%s was not begun: %w", gun, err))
	}
	if err := checkTargets(targets); err != nil {
		return fail(err)
	}
	j := &job{targets: targets, signer: signer, now: time.Now()}
	began, err := s.change(ctx, gun, j.plan, j.served)
	if err != nil {
		return fail(err)
	}
	result.Began, result.RootKey = began, j.rootKey
	for _, role := range j.roles {
		result.Roles = append(result.Roles, role.String())
	}
	for _, t := range targets {
		if slices.Contains(j.unchanged, t) {
			result.Unchanged = append(result.Unchanged, t)
		} else {
			result.Published = append(result.Published, t)
		}
	}
	return result
}

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

// A job is the targets of one repository on their way into its roles.
type job struct {
	targets   []Target
	signer    string
	now       time.Time
	roles     []data.RoleName // that are written
	unchanged []Target
	rootKey   string
}

// plan stages the targets.
func (j *job) plan(r *repository) error {
	j.unchanged = nil
	if r.found == nil {
		if err := j.begin(r); err != nil {
			return err
		}
	} else if err := j.choose(r); err != nil {
		return err
	}
	for _, t := range j.targets {
		if r.found != nil && j.stands(r.found, t) {
			j.unchanged = append(j.unchanged, t)
			continue
		}
		target, err := t.notary()
		if err != nil {
			return err
		}
		if err := r.AddTarget(target, j.roles...); err != nil {
			return err
		}
	}
	return nil
}

// notary is the target in notary's words.
func (t Target) notary() (*client.Target, error) {
	sum, err := hex.DecodeString(t.Digest.Encoded())
	if err != nil {
		return nil, err
	}
	return &client.Target{Name: t.Tag, Hashes: data.Hashes{notary.SHA256: sum}, Length: t.Size}, nil
}

// begin makes the repository with a first signer.
func (j *job) begin(r *repository) error {
	if j.signer == "" {
		return fmt.Errorf("%s has no signatures yet: say with --signer whose delegation it is to begin with", r.gun)
	}
	key, err := r.keys.signerKey(j.signer)
	if err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	j.roles = []data.RoleName{releasesRole, roleOf(j.signer)}
	if j.rootKey, err = r.signer.rootKey(); err != nil {
		return err
	}
	return r.addSigner(j.signer, []data.PublicKey{key})
}

// choose finds the roles that the targets go to, and opens their keys.
func (j *job) choose(r *repository) error {
	roles, err := j.candidates(r)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if delegation := r.delegations()[role]; delegation != nil {
			for _, t := range j.targets {
				if !delegation.CheckPaths(t.Tag) {
					return fmt.Errorf("%s of %s may not sign the tag %s: its paths are %s", role, r.gun, t.Tag, strings.Join(delegation.Paths, ", "))
				}
			}
		}
	}
	j.roles = roles
	if err := r.unlock(roles...); err != nil {
		return err
	}
	for _, role := range roles {
		if err := r.renew(role, j.now); err != nil {
			return err
		}
	}
	return nil
}

// candidates are the roles that the order means.
func (j *job) candidates(r *repository) ([]data.RoleName, error) {
	delegations := r.delegations()
	if len(delegations) == 0 {
		if j.signer != "" {
			return nil, fmt.Errorf("%s has no signers, and its tags are in targets: docker stig trust signer add %s %[1]s makes %[2]s one", r.gun, j.signer)
		}
		return []data.RoleName{targetsRole}, nil
	}
	if j.signer != "" {
		role := roleOf(j.signer)
		if delegations[role] == nil {
			return nil, fmt.Errorf("%s is no signer of %s: docker stig trust signer add %[1]s %[2]s makes it one", j.signer, r.gun)
		}
		if delegations[releasesRole] == nil {
			return []data.RoleName{role}, nil
		}
		return []data.RoleName{releasesRole, role}, nil
	}
	var roles []data.RoleName
	for name := range delegations {
		if len(r.held(name)) > 0 {
			roles = append(roles, name)
		}
	}
	slices.Sort(roles)
	switch {
	case len(roles) == 0:
		return nil, fmt.Errorf("the keys of none of the signers of %s are in %s: bring one with docker stig trust key load", r.gun, r.keys.dir)
	case delegations[releasesRole] != nil && !slices.Contains(roles, releasesRole):
		return nil, fmt.Errorf("none of the keys of %s of %s is in %s, and that role decides what a tag names", releasesRole, r.gun, r.keys.dir)
	}
	return roles, nil
}

// stands reports whether all roles say so already, and for long enough.
func (j *job) stands(found *tuf.Repo, t Target) bool {
	for _, role := range j.roles {
		if !names(found, role, t) || found.Targets[role].Signed.Expires.Before(j.now.Add(renewBefore)) {
			return false
		}
	}
	return true
}

// names reports whether a role holds a target.
func names(found *tuf.Repo, role data.RoleName, t Target) bool {
	if found.Targets[role] == nil {
		return false
	}
	meta, ok := found.Targets[role].Signed.Targets[t.Tag]
	sum, err := hex.DecodeString(t.Digest.Encoded())
	return ok && err == nil && bytes.Equal(meta.Hashes[notary.SHA256], sum)
}

// served wants the targets where they were written.
func (j *job) served(found *tuf.Repo) error {
	for _, t := range j.targets {
		for _, role := range j.roles {
			if !names(found, role, t) {
				return errConflict
			}
		}
	}
	return nil
}

// errNothing says that there was nothing to take back.
var errNothing = errors.New("nothing was signed")
