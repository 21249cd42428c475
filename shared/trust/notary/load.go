package notary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker/go/canonical/json"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/errgroup"
)

// Bounds of one repository. A role's size is bounded by its source.
const (
	maxDelegations = 64      // read only to name signers; those the scope needs are always read
	maxOptional    = 4 << 20 // bytes of a delegation that is read only to name signers
	maxParallel    = 8       // requests under way for one repository
	maxRound       = 30 * time.Second
)

// errNotFound says that a source has no such metadata.
var errNotFound = errors.New("not found")

// A source holds the untrusted metadata of one repository.
type source interface {
	// root gives one version of the root, the current one for version 0.
	root(ctx context.Context, version int) ([]byte, error)
	// role gives the metadata of a role, the one that info names when its
	// checksum is known.
	role(ctx context.Context, name data.RoleName, info tuf.ConsistentInfo) ([]byte, error)
}

// A loader verifies one repository from one source.
type loader struct {
	rooting
	src  source
	kept copyOf // what was verified before; no version may be lower

	roots   chain
	raw     map[data.RoleName][]byte // as accepted
	version map[data.RoleName]int    // of what was accepted
	broken  map[data.RoleName]error  // delegations that did not verify
}

// load verifies a repository from src against what was verified before, and
// gives what is to be kept of it.
func (v *Verifier) load(ctx context.Context, gun data.GUN, s Scope, src source, kept copyOf) (*index, copyOf, error) {
	l := loader{rooting: rooting{gun: gun, scope: s, now: v.opts.Now()}, src: src, kept: kept}
	repo, err := l.verifyAll(ctx)
	if err != nil {
		return nil, copyOf{}, err
	}
	index, err := l.index(repo)
	return index, kept.with(l.roots.raw, l.raw, l.version), err
}

// verifyAll starts from the root it knows, for the price of one request when
// nothing has changed, and from the server's current root when that fails.
func (l *loader) verifyAll(ctx context.Context) (*tuf.Repo, error) {
	known, err := l.follow(ctx, l.kept, chain{})
	if err != nil {
		known = chain{} // nothing is known, or the policy no longer accepts it
	}
	if len(known.roots) > 0 {
		repo, err := l.verifyFrom(ctx, known)
		if err == nil || unanswered(err) {
			return repo, err
		}
	}
	current, err := l.follow(ctx, l.src, known)
	if err != nil {
		return nil, err
	}
	return l.verifyFrom(ctx, current)
}

// verifyFrom verifies every role under a root that the pins have accepted.
func (l *loader) verifyFrom(ctx context.Context, roots chain) (*tuf.Repo, error) {
	l.roots, l.raw, l.version, l.broken = roots, map[data.RoleName][]byte{}, map[data.RoleName]int{}, map[data.RoleName]error{}
	version := roots.current().Signed.Version
	if seen := l.kept.Versions[data.CanonicalRootRole]; version < seen {
		return nil, refuse(trust.Rollback, data.CanonicalRootRole, fmt.Errorf("version %d, but version %d has been seen", version, seen))
	}
	l.version[data.CanonicalRootRole] = version
	builder := tuf.NewRepoBuilder(l.gun, nil, roots.notaryPins(l.gun))
	// Expiry is ours to judge, by the caller's clock: see index.fresh.
	if err := builder.Load(data.CanonicalRootRole, roots.currentRaw(), 1, true); err != nil {
		return nil, classify(data.CanonicalRootRole, err)
	}
	for _, role := range []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole, data.CanonicalTargetsRole} {
		if err := l.fetchRole(ctx, builder, role); err != nil {
			return nil, err
		}
	}
	if err := l.fetchDelegations(ctx, builder); err != nil {
		return nil, err
	}
	repo, _, err := builder.Finish()
	return repo, err
}

func (l *loader) fetchRole(ctx context.Context, builder tuf.RepoBuilder, role data.RoleName) error {
	raw, err := l.src.role(ctx, role, builder.GetConsistentInfo(role))
	if errors.Is(err, errNotFound) && role == data.CanonicalTimestampRole {
		return refuse(trust.Unsigned, role, fmt.Errorf("the trust server has no signatures for %s any more", l.gun))
	}
	if err != nil {
		return unanswerable(role, err)
	}
	return l.accept(builder, role, raw)
}

// accept hands untrusted bytes to the builder, which checks signatures,
// threshold, hash and version.
func (l *loader) accept(builder tuf.RepoBuilder, role data.RoleName, raw []byte) error {
	untrusted, err := parseSigned(raw)
	if err != nil && role == data.CanonicalTimestampRole {
		return unanswerable(role, err)
	}
	if err != nil {
		return refuse(trust.BadSignature, role, err) // a timestamp vouched for these bytes
	}
	if err := builder.Load(role, raw, max(1, l.kept.Versions[role]), true); err != nil {
		return l.explain(role, untrusted, err)
	}
	l.raw[role] = raw
	l.version[role] = builder.GetLoadedVersion(role)
	return nil
}

// fetchDelegations reads the delegations that the scope needs, and others as
// far as they name signers. One that does not verify is remembered as such;
// whether it matters is decided by the question.
func (l *loader) fetchDelegations(ctx context.Context, builder tuf.RepoBuilder) error {
	published, err := l.published(builder)
	if err != nil {
		return err
	}
	needed := l.scope.needs()
	var group errgroup.Group
	group.SetLimit(maxParallel)
	raws, errs := make([][]byte, len(published)), make([]error, len(published))
	for i, role := range published {
		info := builder.GetConsistentInfo(role)
		group.Go(func() error {
			raws[i], errs[i] = l.src.role(ctx, role, info)
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	for i, role := range published {
		err := errs[i]
		if err != nil {
			err = unanswerable(role, err)
		} else {
			err = l.accept(builder, role, raws[i])
		}
		if unanswered(err) && slices.Contains(needed, role) {
			return err
		}
		l.broken[role] = err
	}
	return nil
}

// published lists the delegations to read, parents first: those that the
// signed snapshot has metadata for.
func (l *loader) published(builder tuf.RepoBuilder) ([]data.RoleName, error) {
	var snapshot struct{ Signed data.Snapshot }
	if err := json.Unmarshal(l.raw[data.CanonicalSnapshotRole], &snapshot); err != nil {
		return nil, unanswerable(data.CanonicalSnapshotRole, err)
	}
	targets, err := l.verifiedTargets(data.CanonicalTargetsRole)
	if err != nil {
		return nil, unanswerable(data.CanonicalTargetsRole, err)
	}
	needed := l.scope.needs()
	roles := slices.Clone(needed)
	for i, role := range targets.Signed.Delegations.Roles {
		if i < maxDelegations && builder.GetConsistentInfo(role.Name).Length() <= maxOptional {
			roles = append(roles, role.Name)
		}
	}
	roles = parentsFirst(roles)
	return slices.DeleteFunc(roles, func(role data.RoleName) bool {
		_, listed := snapshot.Signed.Meta[string(role)]
		return !listed
	}), nil
}

// parentsFirst sorts roles by depth and name, each once.
func parentsFirst(roles []data.RoleName) []data.RoleName {
	slices.SortFunc(roles, func(a, b data.RoleName) int {
		return cmp.Or(cmp.Compare(strings.Count(string(a), "/"), strings.Count(string(b), "/")), cmp.Compare(a, b))
	})
	return slices.Compact(roles)
}

// verifiedTargets reads a role that the builder has accepted.
func (l *loader) verifiedTargets(name data.RoleName) (*data.SignedTargets, error) {
	accepted, err := parseSigned(l.raw[name])
	if err != nil {
		return nil, err
	}
	return data.TargetsFromSigned(accepted, name)
}

// releases is the delegation that docker trust signs every tag into.
const releases data.RoleName = "targets/releases"

// needs lists the delegations a scope cannot do without, and their parents.
func (s Scope) needs() []data.RoleName {
	roles := []data.RoleName{releases}
	for _, signer := range s.Signers {
		for role := signerRole(signer); data.IsDelegation(role); role = role.Parent() {
			roles = append(roles, role)
		}
	}
	return parentsFirst(roles)
}

func signerRole(signer string) data.RoleName {
	return data.CanonicalTargetsRole + "/" + data.RoleName(signer)
}
