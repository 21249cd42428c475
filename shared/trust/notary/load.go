package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// Bounds of one repository. A role's size is bounded by its source.
const (
	maxDelegations = 64      // read only to name signers; those the scope needs are always read
	maxOptional    = 4 << 20 // bytes of all that are read only to name signers
	lightWeight    = 1 << 20 // bytes of roles that many repositories may have at the same time
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
	raw     map[data.RoleName][]byte       // as accepted
	signed  map[data.RoleName]*data.Signed // the same, read
	floors  map[data.RoleName]floor        // of what was accepted
	targets map[data.RoleName]*data.SignedTargets
	broken  map[data.RoleName]error // delegations that did not verify

	weight int64         // bytes of the roles that are read
	slot   chan struct{} // for the one heavy repository that is read at a time
	heavy  bool          // it is ours
}

// A reading is one repository, verified: what questions need to know, what is
// to be kept, and the metadata itself.
type reading struct {
	index *index
	kept  copyOf
	repo  *tuf.Repo
	raw   map[data.RoleName][]byte // of the roles below the root
}

// load verifies a repository from src against what was verified before.
func (v *Verifier) load(ctx context.Context, gun data.GUN, s Scope, src source, kept copyOf) (reading, error) {
	now := latest(v.opts.Now(), kept.Seen)
	l := loader{rooting: rooting{gun: gun, scope: s, now: now}, src: src, kept: kept, slot: v.heavy}
	defer l.release()
	repo, err := l.verifyAll(ctx)
	if err != nil {
		return reading{}, err
	}
	index, err := l.index(repo)
	if err != nil {
		return reading{}, err
	}
	read := reading{index: index, kept: kept.with(l.roots.raw, l.raw, l.floors), repo: repo, raw: l.raw}
	// The clock is believed as far as fresh metadata bears it out.
	if index.fresh(now, Scope{}) == nil {
		read.kept.Seen = now
	}
	index.seen = read.kept.Seen
	return read, nil
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
	l.roots, l.raw, l.floors = roots, map[data.RoleName][]byte{}, map[data.RoleName]floor{}
	l.signed = map[data.RoleName]*data.Signed{}
	l.targets, l.broken = map[data.RoleName]*data.SignedTargets{}, map[data.RoleName]error{}
	l.weight = 0
	version := roots.current().Signed.Version
	if seen := l.kept.rootVersion(); version < seen {
		return nil, olderRoot(version, seen)
	}
	l.floors[data.CanonicalRootRole] = floor{Version: version}
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
	info := builder.GetConsistentInfo(role)
	if role != data.CanonicalTimestampRole {
		if err := l.weigh(ctx, role, info.Length()); err != nil {
			return err
		}
	}
	raw, err := l.src.role(ctx, role, info)
	if errors.Is(err, errNotFound) && role == data.CanonicalTimestampRole {
		return refuse(trust.Unsigned, role, fmt.Errorf("the trust server has no signatures for %s any more", l.gun))
	}
	if err != nil {
		return unanswerable(role, err)
	}
	return l.accept(builder, role, raw)
}

// weigh counts the bytes of a role before they are read. Reading takes about
// twenty times that in memory, so repositories that are heavy wait for each
// other.
func (l *loader) weigh(ctx context.Context, role data.RoleName, bytes int64) error {
	l.weight += max(0, bytes)
	if l.weight > maxMetadata {
		return unanswerable(role, fmt.Errorf("with it the metadata of %s has %d bytes, more than the %d MiB that are read", l.gun, l.weight, maxMetadata>>20))
	}
	if l.heavy || l.weight <= lightWeight {
		return nil
	}
	select {
	case l.slot <- struct{}{}:
		l.heavy = true
		return nil
	case <-ctx.Done():
		return unanswerable(role, ctx.Err())
	}
}

func (l *loader) release() {
	if l.heavy {
		<-l.slot
	}
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
	keys, err := l.keyIDs(role)
	if err != nil {
		return err
	}
	if err := builder.Load(role, raw, max(1, l.kept.Floors[role].under(keys)), true); err != nil {
		return l.explain(role, untrusted, err)
	}
	l.raw[role], l.signed[role] = raw, untrusted
	l.floors[role] = floor{Version: builder.GetLoadedVersion(role), Keys: keys}
	return nil
}

// verifiedTargets reads a role that the builder has accepted.
func (l *loader) verifiedTargets(name data.RoleName) (*data.SignedTargets, error) {
	if targets, ok := l.targets[name]; ok {
		return targets, nil
	}
	accepted, ok := l.signed[name]
	if !ok {
		return nil, fmt.Errorf("%s has not been verified", name)
	}
	targets, err := data.TargetsFromSigned(accepted, name)
	if err != nil {
		return nil, err
	}
	l.targets[name] = targets
	return targets, nil
}
