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
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/errgroup"
)

// Bounds of one repository. A role's size is bounded by its source.
const (
	maxDelegations = 64 // read only to name signers; those the scope needs are always read
	maxParallel    = 8  // requests under way for one repository
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
	gun   data.GUN
	scope Scope
	src   source
	seen  map[data.RoleName]int // versions verified before: none may be lower
	now   time.Time

	roots     chain
	untrusted map[data.RoleName][]byte // as fetched; kept when all of it has verified
	broken    map[data.RoleName]error  // delegations that did not verify
}

// load verifies a repository from src, against the versions the cache has
// seen, and keeps what it verified in the cache.
func (v *Verifier) load(ctx context.Context, gun data.GUN, s Scope, src source, cache cache, kept copyOf) (*index, error) {
	l := loader{gun: gun, scope: s, src: src, seen: kept.versions(), now: v.opts.Now()}
	roots, repo, err := l.verifyAll(ctx, kept)
	if err != nil {
		return nil, err
	}
	if _, fromServer := src.(*server); fromServer {
		if err := cache.write(kept.with(roots.raw, l.untrusted)); err != nil {
			v.opts.Log.Warn("cannot keep verified trust data; versions seen are not remembered", "gun", gun, "error", err)
		}
	}
	return l.index(roots, repo)
}

// verifyAll starts from the root it knows, for the price of one request when
// nothing has changed, and from the server's current root when that fails.
func (l *loader) verifyAll(ctx context.Context, kept copyOf) (chain, *tuf.Repo, error) {
	known, err := followRoots(ctx, l.gun, l.scope, kept, l.now)
	if err == nil {
		repo, err := l.verifyFrom(ctx, known)
		if err == nil || unanswered(err) {
			return known, repo, err
		}
	}
	current, err := followRoots(ctx, l.gun, l.scope, l.src, l.now)
	if err != nil {
		return chain{}, nil, err
	}
	repo, err := l.verifyFrom(ctx, current)
	return current, repo, err
}

// verifyFrom verifies every role under a root that the pins have accepted.
func (l *loader) verifyFrom(ctx context.Context, roots chain) (*tuf.Repo, error) {
	if version := roots.current().Signed.Version; version < l.seen[data.CanonicalRootRole] {
		return nil, refuse(trust.Rollback, data.CanonicalRootRole, fmt.Errorf("version %d, but version %d has been seen", version, l.seen[data.CanonicalRootRole]))
	}
	pins := trustpinning.TrustPinConfig{Certs: map[string][]string{string(l.gun): roots.certIDs()}, DisableTOFU: true}
	builder := tuf.NewRepoBuilder(l.gun, nil, pins)
	// Expiry is ours to judge, by the caller's clock: see index.fresh.
	if err := builder.Load(data.CanonicalRootRole, roots.raw[len(roots.raw)-1], 1, true); err != nil {
		return nil, classify(data.CanonicalRootRole, err)
	}
	l.roots = roots
	l.untrusted, l.broken = map[data.RoleName][]byte{}, map[data.RoleName]error{}
	for _, role := range []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole, data.CanonicalTargetsRole} {
		if err := l.fetch(ctx, builder, role); err != nil {
			return nil, err
		}
	}
	if err := l.fetchDelegations(ctx, builder); err != nil {
		return nil, err
	}
	repo, _, err := builder.Finish()
	return repo, err
}

func (l *loader) fetch(ctx context.Context, builder tuf.RepoBuilder, role data.RoleName) error {
	raw, err := l.src.role(ctx, role, builder.GetConsistentInfo(role))
	if err != nil {
		return unanswerable(role, err)
	}
	return l.accept(builder, role, raw)
}

// accept hands untrusted bytes to the builder, which checks signatures,
// threshold, hash and version.
func (l *loader) accept(builder tuf.RepoBuilder, role data.RoleName, raw []byte) error {
	untrusted, err := parseSigned(raw)
	if err != nil {
		return unanswerable(role, err)
	}
	if err := builder.Load(role, raw, max(1, l.seen[role]), true); err != nil {
		return l.explain(role, untrusted, err)
	}
	l.untrusted[role] = raw
	return nil
}

// fetchDelegations reads the delegations that the scope needs, and others as
// far as they name signers. One that does not verify is remembered as such;
// whether it matters is decided by the question.
func (l *loader) fetchDelegations(ctx context.Context, builder tuf.RepoBuilder) error {
	published, err := l.published()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxParallel)
	raws := make([][]byte, len(published))
	for i, role := range published {
		info := builder.GetConsistentInfo(role)
		group.Go(func() error {
			raw, err := l.src.role(ctx, role, info)
			raws[i] = raw
			if err != nil {
				return unanswerable(role, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, role := range published {
		err := l.accept(builder, role, raws[i])
		if unanswered(err) {
			return err
		}
		l.broken[role] = err
	}
	return nil
}

// published lists the delegations to read, parents first: those that the
// signed snapshot has metadata for.
func (l *loader) published() ([]data.RoleName, error) {
	var snapshot struct{ Signed data.Snapshot }
	if err := json.Unmarshal(l.untrusted[data.CanonicalSnapshotRole], &snapshot); err != nil {
		return nil, unanswerable(data.CanonicalSnapshotRole, err)
	}
	targets, err := l.verifiedTargets(data.CanonicalTargetsRole)
	if err != nil {
		return nil, unanswerable(data.CanonicalTargetsRole, err)
	}
	roles := l.scope.needs()
	for i, role := range targets.Signed.Delegations.Roles {
		if i < maxDelegations {
			roles = append(roles, role.Name)
		}
	}
	slices.SortFunc(roles, func(a, b data.RoleName) int {
		return cmp.Or(cmp.Compare(strings.Count(string(a), "/"), strings.Count(string(b), "/")), cmp.Compare(a, b))
	})
	roles = slices.Compact(roles)
	return slices.DeleteFunc(roles, func(role data.RoleName) bool {
		_, listed := snapshot.Signed.Meta[string(role)]
		return !listed
	}), nil
}

// verifiedTargets reads a role that the builder has accepted.
func (l *loader) verifiedTargets(name data.RoleName) (*data.SignedTargets, error) {
	accepted, err := parseSigned(l.untrusted[name])
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
		for role := signerRole(signer); role != data.CanonicalTargetsRole; role = role.Parent() {
			roles = append(roles, role)
		}
	}
	return roles
}

func signerRole(signer string) data.RoleName {
	return data.CanonicalTargetsRole + "/" + data.RoleName(signer)
}
