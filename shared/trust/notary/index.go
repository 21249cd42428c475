package notary

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// An index is what the verified metadata of one repository says. It is never
// changed after it was made, but for its source.
type index struct {
	source trust.Source
	base   map[data.RoleName]time.Time // expiry of root, timestamp, snapshot and targets
	signed []signingKey                // the keys that signed them
	roles  map[data.RoleName]*role
	broken map[data.RoleName]error // delegations that exist and did not verify
}

// A role is targets or a delegation of it, verified with all above it.
type role struct {
	targets   map[string]digest.Digest // by tag; only tags that it and all above it may sign
	expires   time.Time                // the first of its own expiry and of those above
	keys      []signingKey             // that signed it
	above     []signingKey             // and those that signed the delegations above
	threshold int
	paths     []data.DelegationRole // itself and the delegations above
}

// index reads the verified repository.
func (l *loader) index(repo *tuf.Repo) (*index, error) {
	x := &index{
		base: map[data.RoleName]time.Time{
			data.CanonicalRootRole:      repo.Root.Signed.Expires,
			data.CanonicalTimestampRole: repo.Timestamp.Signed.Expires,
			data.CanonicalSnapshotRole:  repo.Snapshot.Signed.Expires,
			data.CanonicalTargetsRole:   repo.Targets[data.CanonicalTargetsRole].Signed.Expires,
		},
		roles:  map[data.RoleName]*role{},
		broken: map[data.RoleName]error{},
	}
	targets := repo.Targets[data.CanonicalTargetsRole]
	signatures := map[data.RoleName][]data.Signature{
		data.CanonicalRootRole:      l.roots.current().Signatures,
		data.CanonicalTimestampRole: repo.Timestamp.Signatures,
		data.CanonicalSnapshotRole:  repo.Snapshot.Signatures,
		data.CanonicalTargetsRole:   targets.Signatures,
	}
	for name, list := range signatures {
		base, err := repo.GetBaseRole(name)
		if err != nil {
			return nil, classify(name, err)
		}
		keys, err := signedBy(list, base)
		if err != nil {
			return nil, refuse(trust.BadSignature, name, err)
		}
		x.signed = append(x.signed, keys...)
		if name == data.CanonicalTargetsRole {
			x.roles[name] = newRole(targets, data.DelegationRole{BaseRole: base, Paths: []string{""}}, keys, nil)
		}
	}
	names := l.scope.needs()
	for _, delegated := range targets.Signed.Delegations.Roles {
		names = append(names, delegated.Name)
	}
	for _, name := range parentsFirst(names) {
		l.addDelegation(x, repo, name)
	}
	return x, nil
}

// addDelegation files a delegation under roles or broken. One that its parent
// does not name is in neither.
func (l *loader) addDelegation(x *index, repo *tuf.Repo, name data.RoleName) {
	parent := x.roles[name.Parent()]
	if parent == nil {
		if err := x.broken[name.Parent()]; err != nil {
			x.broken[name] = err
		}
		return
	}
	delegated, err := repo.Targets[name.Parent()].BuildDelegationRole(name)
	if errors.As(err, new(data.ErrNoSuchRole)) {
		return
	}
	if err != nil {
		x.broken[name] = classify(name, err)
		return
	}
	_, listed := repo.Snapshot.Signed.Meta[string(name)]
	metadata, verified := repo.Targets[name]
	switch {
	case verified:
		keys, err := signedBy(metadata.Signatures, delegated.BaseRole)
		if err != nil {
			x.broken[name] = refuse(trust.BadSignature, name, err)
			return
		}
		x.roles[name] = newRole(metadata, delegated, keys, parent)
	case listed:
		x.broken[name] = cmp.Or(l.broken[name], refuse(trust.BadSignature, name, errors.New("its metadata was not read")))
	case l.kept.Versions[name] > 0:
		x.broken[name] = refuse(trust.Rollback, name, errors.New("it has been seen, and the server now denies that it was ever signed"))
	default:
		x.broken[name] = refuse(trust.Unsigned, name, errors.New("it is delegated, and nothing was ever signed into it"))
	}
}

// newRole reads a verified role below its parent; targets has none.
func newRole(metadata *data.SignedTargets, delegated data.DelegationRole, keys []signingKey, parent *role) *role {
	r := &role{
		targets:   make(map[string]digest.Digest, len(metadata.Signed.Targets)),
		expires:   metadata.Signed.Expires,
		keys:      keys,
		threshold: delegated.Threshold,
		paths:     []data.DelegationRole{delegated},
	}
	if parent != nil {
		r.paths = append(r.paths, parent.paths...)
		r.above = slices.Concat(parent.keys, parent.above)
		if parent.expires.Before(r.expires) {
			r.expires = parent.expires
		}
	}
	for tag, meta := range metadata.Signed.Targets {
		sum := meta.Hashes[notary.SHA256]
		allowed := !slices.ContainsFunc(r.paths, func(d data.DelegationRole) bool { return !d.CheckPaths(tag) })
		if allowed && len(sum) == 32 {
			r.targets[tag] = digest.NewDigestFromBytes(digest.SHA256, sum)
		}
	}
	return r
}

// fresh checks the base roles' expiry. TUF 1.0.31, 5.3.10, 5.4.4, 5.5.6 and
// 5.6.5; the scope's allowance is for an air gap and excuses only timestamp
// and snapshot, whose one purpose is to show that an answer is recent.
func (x *index) fresh(now time.Time, s Scope) error {
	for _, name := range data.BaseRoles {
		expires := x.base[name]
		if excused(name) && s.AllowExpired == Unbounded {
			continue
		}
		if excused(name) {
			expires = expires.Add(s.AllowExpired)
		}
		if now.After(expires) {
			return refuse(trust.Expired, name, fmt.Errorf("it was good until %s", x.base[name].UTC().Format(time.RFC3339)))
		}
	}
	return nil
}

func excused(name data.RoleName) bool {
	return name == data.CanonicalTimestampRole || name == data.CanonicalSnapshotRole
}
