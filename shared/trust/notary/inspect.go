package notary

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

// A Repository is what the verified metadata of one repository says.
type Repository struct {
	GUN    string
	Source trust.Source
	Roles  []Role    // root, targets, snapshot, timestamp, then delegations by name
	Tags   []Tag     // by name
	Until  time.Time // when the scope stops to accept anything of it; zero: never
	Err    error     // why it accepts nothing already, such as an expired timestamp
}

// A Role is one role of a repository.
type Role struct {
	Name      string
	Version   int       // zero: there is no metadata that verifies
	Expires   time.Time // by its own word
	Threshold int
	Keys      []Key
	Paths     []string // that a delegation may sign, by prefix; all: ""
	Tags      int      // that it lists
	Err       error    // why it cannot be used
}

// A Key is one that may sign for a role.
type Key struct {
	ID            string // canonical, as pins and signer-keys name it
	CertificateID string // of a root's certificate
	Algorithm     string
	Signed        bool // the current metadata
}

// A Tag is what the scope says of one tag.
type Tag struct {
	Name   string
	Signed trust.Signed
	Err    error // why it is not vouched for; Signed is zero then
}

// Digests are those that the scope vouches for, each once.
func (r Repository) Digests() []digest.Digest {
	var digests []digest.Digest
	for _, tag := range r.Tags {
		if tag.Err == nil {
			digests = append(digests, tag.Signed.Digest)
		}
	}
	slices.Sort(digests)
	return slices.Compact(digests)
}

// NextExpiry is the role that expires first, and when.
func (r Repository) NextExpiry() (role string, at time.Time) {
	for _, candidate := range r.Roles {
		if !candidate.Expires.IsZero() && (at.IsZero() || candidate.Expires.Before(at)) {
			role, at = candidate.Name, candidate.Expires
		}
	}
	return role, at
}

// Inspect verifies a repository afresh and tells all that it says. Its error
// is a *trust.Error without a Ref.
func (v *Verifier) Inspect(ctx context.Context, ref reference.Named, s Scope) (Repository, error) {
	gun := data.GUN(ref.Name())
	read, _, err := v.refresh(ctx, gun, s, func() entry { return entry{} })
	if err != nil {
		return Repository{}, about(ref, err)
	}
	return v.describe(ref, read, s), nil
}

// Kept tells what the cache on disk says, and asks no server.
func (v *Verifier) Kept(ctx context.Context, ref reference.Named, s Scope) (Repository, error) {
	gun := data.GUN(ref.Name())
	kept, err := v.remembered(openCache(v.opts.CacheDir, gun), entry{})
	if err != nil {
		return Repository{}, about(ref, err)
	}
	read, err := v.fromCache(ctx, gun, s, kept)
	if err != nil {
		return Repository{}, about(ref, err)
	}
	return v.describe(ref, read, s), nil
}

func (v *Verifier) describe(ref reference.Named, read reading, s Scope) Repository {
	now := latest(v.opts.Now(), read.index.seen)
	r := Repository{GUN: ref.Name(), Source: read.index.source, Until: read.index.until(s), Err: read.index.fresh(now, s)}
	for _, name := range []data.RoleName{data.CanonicalRootRole, data.CanonicalTargetsRole, data.CanonicalSnapshotRole, data.CanonicalTimestampRole} {
		r.Roles = append(r.Roles, read.baseRole(name))
	}
	names := slices.Concat(slices.Collect(maps.Keys(read.index.roles)), slices.Collect(maps.Keys(read.index.broken)))
	for _, name := range parentsFirst(names) {
		if name != data.CanonicalTargetsRole {
			r.Roles = append(r.Roles, read.delegation(name))
		}
	}
	tags := map[string]bool{}
	for _, role := range read.index.roles {
		for tag := range role.targets {
			tags[tag] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		tag := Tag{Name: name}
		tagged, err := reference.WithTag(reference.TrimNamed(ref), name)
		if err != nil {
			continue // signed under a name that no image can have
		}
		if tag.Signed, err = read.index.answer(trust.Question{Ref: tagged}, s, now); err != nil {
			tag.Err = about(tagged, err)
		}
		r.Tags = append(r.Tags, tag)
	}
	return r
}

// until is when the scope stops to accept anything of the repository: with the
// first base role, or with the first delegation it cannot do without.
func (x *index) until(s Scope) time.Time {
	until := x.expires(s)
	for _, name := range s.needs() {
		if r := x.roles[name]; r != nil && (until.IsZero() || r.expires.Before(until)) {
			until = r.expires
		}
	}
	return until.UTC()
}

func (read reading) baseRole(name data.RoleName) Role {
	role := Role{Name: string(name), Expires: read.index.base[name].UTC(), Version: read.kept.Floors[name].Version}
	base, err := read.repo.GetBaseRole(name)
	if err != nil {
		role.Err = err
		return role
	}
	role.Threshold = base.Threshold
	var signatures []data.Signature
	switch name {
	case data.CanonicalRootRole:
		signatures = read.repo.Root.Signatures
	case data.CanonicalTargetsRole:
		signatures = read.repo.Targets[name].Signatures
		role.Tags = len(read.index.roles[name].targets)
	case data.CanonicalSnapshotRole:
		signatures = read.repo.Snapshot.Signatures
	case data.CanonicalTimestampRole:
		signatures = read.repo.Timestamp.Signatures
	}
	role.Keys = describeKeys(base, signatures)
	return role
}

func (read reading) delegation(name data.RoleName) Role {
	role := Role{Name: string(name), Err: read.index.broken[name]}
	if delegated, err := read.repo.GetDelegationRole(name); err == nil {
		role.Threshold, role.Paths = delegated.Threshold, delegated.Paths
		var signatures []data.Signature
		if metadata := read.repo.Targets[name]; metadata != nil {
			signatures = metadata.Signatures
		}
		role.Keys = describeKeys(delegated.BaseRole, signatures)
	}
	if known := read.index.roles[name]; known != nil {
		role.Version, role.Tags = read.kept.Floors[name].Version, len(known.targets)
		role.Expires = read.repo.Targets[name].Signed.Expires.UTC()
	}
	return role
}

func describeKeys(role data.BaseRole, signatures []data.Signature) []Key {
	var keys []Key
	for _, id := range slices.Sorted(maps.Keys(role.Keys)) {
		public := role.Keys[id]
		key := Key{ID: id, Algorithm: public.Algorithm()}
		if canonical, err := canonicalID(public); err == nil && canonical != id {
			key.ID, key.CertificateID = canonical, id
		}
		key.Signed = slices.ContainsFunc(signatures, func(s data.Signature) bool { return s.KeyID == id && s.IsValid })
		keys = append(keys, key)
	}
	return keys
}

// Signer is the name of a delegation's signer, as docker trust shows it; empty
// for the base roles and for releases, which is everybody's.
func (r Role) Signer() string {
	name, ok := strings.CutPrefix(r.Name, "targets/")
	if !ok || data.RoleName(r.Name) == releases {
		return ""
	}
	return name
}
