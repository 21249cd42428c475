package notary

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// An index is what the verified metadata of one repository says. It is never
// changed once it is known to others.
type index struct {
	source    trust.Source
	timestamp [sha256.Size]byte           // of the timestamp's bytes: everything hangs on them
	seen      time.Time                   // the clock, when this was last found fresh
	skew      time.Duration               // of the server's clock against ours
	base      map[data.RoleName]time.Time // expiry of root, timestamp, snapshot and targets
	signed    []signingKey                // the keys that signed them
	roles     map[data.RoleName]*role
	signers   []data.RoleName         // delegations that are a signer's, by name
	broken    map[data.RoleName]error // delegations that exist and did not verify
	partial   bool                    // for one of them a server may have given other bytes than were signed
}

// from is the same index, known by another way.
func (x *index) from(source trust.Source) *index {
	same := *x
	same.source = source
	return &same
}

// A role is targets or a delegation of it, verified with all above it.
type role struct {
	targets   map[string]sum // by tag; only tags that it and all above it may sign
	expires   time.Time      // the first of its own expiry and of those above
	keys      []signingKey   // that signed it
	keyIDs    []string       // theirs, sorted
	above     []signingKey   // and those that signed the delegations above
	threshold int
	paths     []data.DelegationRole // itself and the delegations above
}

// index reads the verified repository.
func (l *loader) index(repo *tuf.Repo) (*index, error) {
	x := &index{
		timestamp: sha256.Sum256(l.raw[data.CanonicalTimestampRole]),
		base: map[data.RoleName]time.Time{
			data.CanonicalRootRole:      earliest(repo.Root.Signed.Expires, l.pinnedUntil(l.roots)),
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
	for i, delegated := range targets.Signed.Delegations.Roles {
		if i < maxDelegations {
			names = append(names, delegated.Name)
		}
	}
	for _, name := range parentsFirst(names) {
		l.addDelegation(x, repo, name)
	}
	for name := range x.roles {
		if name != releases && name != data.CanonicalTargetsRole {
			x.signers = append(x.signers, name)
		}
	}
	slices.Sort(x.signers)
	x.partial = len(l.broken) > 0
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
	case l.kept.Floors[name].under(delegated.ListKeyIDs()) > 0:
		x.broken[name] = refuse(trust.Rollback, name, errors.New("it has been seen, and the server now denies that it was ever signed"))
	default:
		x.broken[name] = refuse(trust.Unsigned, name, errors.New("it is delegated, and nothing was ever signed into it"))
	}
}

// A sum is a SHA-256 digest, the only one that counts.
type sum [sha256.Size]byte

func (s sum) digest() digest.Digest { return digest.NewDigestFromBytes(digest.SHA256, s[:]) }

func sumOf(d digest.Digest) (s sum, ok bool) {
	encoded, ok := strings.CutPrefix(string(d), "sha256:")
	if !ok || len(encoded) != hex.EncodedLen(len(s)) || strings.ContainsAny(encoded, "ABCDEF") {
		return s, false // capitals would be another text for the same digest
	}
	_, err := hex.Decode(s[:], []byte(encoded))
	return s, err == nil
}

// newRole reads a verified role below its parent; targets has none.
func newRole(metadata *data.SignedTargets, delegated data.DelegationRole, keys []signingKey, parent *role) *role {
	r := &role{
		targets:   make(map[string]sum, len(metadata.Signed.Targets)),
		expires:   metadata.Signed.Expires,
		keys:      keys,
		keyIDs:    slices.Concat(keys...),
		threshold: delegated.Threshold,
		paths:     []data.DelegationRole{delegated},
	}
	slices.Sort(r.keyIDs)
	if parent != nil {
		r.paths = append(r.paths, parent.paths...)
		r.above = slices.Concat(parent.keys, parent.above)
		if parent.expires.Before(r.expires) {
			r.expires = parent.expires
		}
	}
	for tag, meta := range metadata.Signed.Targets {
		hash := meta.Hashes[notary.SHA256]
		allowed := !slices.ContainsFunc(r.paths, func(d data.DelegationRole) bool { return !d.CheckPaths(tag) })
		if allowed && len(hash) == sha256.Size {
			r.targets[strings.Clone(tag)] = sum(hash) // the metadata is not to be kept for its tags
		}
	}
	return r
}
