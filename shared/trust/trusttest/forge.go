package trusttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/go/canonical/json"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
)

// What only somebody with keys can do. An honest publisher has them all; what
// an attacker has stolen is said where the attack is.

// Steal gives a repository with the same keys and the same metadata as is
// served now. What is done with it is served, and the publisher does not know.
func (r *Repository) Steal() *Repository {
	r.tb.Helper()
	state := r.notary.State()
	builder := tuf.NewRepoBuilder(r.GUN, r.Keys, trustpinning.TrustPinConfig{})
	delegations := slices.DeleteFunc(slices.Collect(maps.Keys(r.TUF.Targets)), func(role data.RoleName) bool { return role == data.CanonicalTargetsRole })
	slices.SortFunc(delegations, func(a, b data.RoleName) int {
		return strings.Count(string(a), "/") - strings.Count(string(b), "/") // parents first
	})
	order := []data.RoleName{data.CanonicalRootRole, data.CanonicalTimestampRole, data.CanonicalSnapshotRole, data.CanonicalTargetsRole}
	for _, role := range slices.Concat(order, delegations) {
		r.must(builder.Load(role, state[Path(r.GUN, string(role))], 1, true))
	}
	stolen, _, err := builder.Finish()
	r.must(err)
	thief := *r
	thief.TUF = stolen
	return &thief
}

// Overtake raises the versions of what is published next above a thief's, as
// a server does that counts on from what it holds.
func (r *Repository) Overtake(thief *Repository) {
	r.TUF.Snapshot.Signed.Version = max(r.TUF.Snapshot.Signed.Version, thief.TUF.Snapshot.Signed.Version)
	r.TUF.Timestamp.Signed.Version = max(r.TUF.Timestamp.Signed.Version, thief.TUF.Timestamp.Signed.Version)
	for role, targets := range r.TUF.Targets {
		if stolen, ok := thief.TUF.Targets[role]; ok {
			targets.Signed.Version = max(targets.Signed.Version, stolen.Signed.Version)
		}
	}
}

// Replace serves other metadata for a role, with snapshot and timestamp that
// vouch for it: what a server with stolen online keys can do.
func (r *Repository) Replace(role data.RoleName, metadata *data.Signed) {
	r.tb.Helper()
	raw, err := json.Marshal(metadata)
	r.must(err)
	r.ServeRaw(role, raw)
}

// ReplaceSigned serves a role's targets as they are now, signed by the role's
// own keys, with snapshot and timestamp that vouch for it.
func (r *Repository) ReplaceSigned(role data.RoleName) {
	r.tb.Helper()
	metadata, err := r.TUF.SignTargets(role, r.expiry(role))
	r.must(err)
	raw, err := json.Marshal(metadata)
	r.must(err)
	r.ServeRaw(role, raw)
}

// ServeRaw serves other bytes for a role, with snapshot and timestamp that
// vouch for them.
func (r *Repository) ServeRaw(role data.RoleName, raw []byte) {
	r.tb.Helper()
	sum := sha256.Sum256(raw)
	r.Claim(role, int64(len(raw)), sum[:])
	r.notary.serveRole(r.GUN, role, raw)
}

// Claim makes the snapshot give a role this length and checksum.
func (r *Repository) Claim(role data.RoleName, length int64, sum []byte) {
	r.tb.Helper()
	r.TUF.Snapshot.Signed.Meta[string(role)] = data.FileMeta{Length: length, Hashes: data.Hashes{notary.SHA256: sum}}
	r.ResignSnapshot()
}

// Served is what the server gives for a role.
func (r *Repository) Served(role data.RoleName) []byte {
	return r.notary.State()[Path(r.GUN, string(role))]
}

// SignRaw signs metadata by hand with one private key, under each of the key
// IDs, be they its own or not.
func (r *Repository) SignRaw(unsigned *data.Signed, private data.PrivateKey, ids ...string) []byte {
	r.tb.Helper()
	var decoded map[string]any
	r.must(json.Unmarshal(*unsigned.Signed, &decoded))
	message, err := json.MarshalCanonical(decoded)
	r.must(err)
	signature, err := private.Sign(rand.Reader, message, nil)
	r.must(err)
	unsigned.Signatures = nil
	for _, id := range ids {
		unsigned.Signatures = append(unsigned.Signatures, data.Signature{KeyID: id, Method: data.ECDSASignature, Signature: signature})
	}
	raw, err := json.Marshal(unsigned)
	r.must(err)
	return raw
}

// ResignSnapshot serves the snapshot as it stands now, signed, and a timestamp
// of it, without reading the roles again.
func (r *Repository) ResignSnapshot() {
	r.tb.Helper()
	r.TUF.Snapshot.Signed.Version++
	unsigned, err := r.TUF.Snapshot.ToSigned()
	r.must(err)
	role, err := r.TUF.GetBaseRole(data.CanonicalSnapshotRole)
	r.must(err)
	unsigned.Signatures = nil
	r.must(signed.Sign(r.Keys, unsigned, role.ListKeys(), 1, nil))
	r.TUF.Snapshot.Signatures = unsigned.Signatures
	r.serve(data.CanonicalSnapshotRole, unsigned)
	r.PublishTimestamp()
}

// SignWith signs a role's current targets with the keys alone, whoever they
// belong to.
func (r *Repository) SignWith(role data.RoleName, keys ...data.PublicKey) *data.Signed {
	r.tb.Helper()
	unsigned, err := r.TUF.Targets[role].ToSigned()
	r.must(err)
	unsigned.Signatures = nil
	r.must(signed.Sign(r.Keys, unsigned, keys, len(keys), nil))
	return unsigned
}

// UseCertificateFor replaces the root certificate by one of the same key for
// another GUN.
func (r *Repository) UseCertificateFor(gun data.GUN) {
	r.tb.Helper()
	key := r.Certify(r.RootKeyID(), gun)
	r.must(r.TUF.ReplaceBaseKeys(data.CanonicalRootRole, key))
}

// Impersonate serves a root that lists key beside a stranger's, signed by the
// stranger alone: the pinned key is in it, and has not signed it.
func (r *Repository) Impersonate(key data.PublicKey) {
	r.tb.Helper()
	stranger := r.NewKey(data.CanonicalRootRole)
	root := r.TUF.Root.Signed
	root.Version++
	root.Keys[stranger.ID()] = stranger
	root.Roles[data.CanonicalRootRole].KeyIDs = []string{key.ID(), stranger.ID()}
	forged, err := (&data.SignedRoot{Signed: root}).ToSigned()
	r.must(err)
	r.must(signed.Sign(r.Keys, forged, data.KeyList{stranger}, 1, nil))
	raw := r.serve(data.CanonicalRootRole, forged)
	r.notary.serve(r.GUN, fmt.Sprintf("%d.root", root.Version), raw)
	r.notary.Forget(r.GUN, "1.root")
}

// ForgetOldRoot makes the next root be signed by the new key alone.
func (r *Repository) ForgetOldRoot() {
	r.tb.Helper()
	root := r.TUF.Root
	role, err := r.TUF.GetBaseRole(data.CanonicalRootRole)
	r.must(err)
	old := r.TUF
	r.TUF = tuf.NewRepo(r.Keys)
	get := func(name data.RoleName) data.BaseRole {
		base, err := old.GetBaseRole(name)
		r.must(err)
		return base
	}
	r.must(r.TUF.InitRoot(role, get(data.CanonicalTimestampRole), get(data.CanonicalSnapshotRole), get(data.CanonicalTargetsRole), false))
	r.TUF.Root.Signed.Version = root.Signed.Version
	r.TUF.Targets, r.TUF.Snapshot, r.TUF.Timestamp = old.Targets, old.Snapshot, old.Timestamp
}

// Threshold gives a delegation a second key and a threshold, and returns the
// first key.
func (r *Repository) Threshold(role data.RoleName, threshold int) data.PublicKey {
	r.tb.Helper()
	delegated, err := r.TUF.GetDelegationRole(role)
	r.must(err)
	first := delegated.ListKeys()[0]
	r.must(r.TUF.UpdateDelegationKeys(role, data.KeyList{r.NewKey(role)}, nil, threshold))
	for _, listed := range r.TUF.Targets[role.Parent()].Signed.Delegations.Roles {
		if listed.Name == role {
			listed.Threshold = threshold
		}
	}
	return first
}

// ForceSign lists a tag in a role whether its paths allow it or not.
func (r *Repository) ForceSign(tag string, dgst digest.Digest, role data.RoleName) {
	r.tb.Helper()
	sum, err := hex.DecodeString(dgst.Encoded())
	r.must(err)
	r.force(tag, role, data.Hashes{notary.SHA256: sum})
}

// ForceHash lists a tag with a hash of one algorithm only.
func (r *Repository) ForceHash(tag, algorithm string, role data.RoleName) {
	r.tb.Helper()
	r.force(tag, role, data.Hashes{algorithm: make([]byte, 64)})
}

func (r *Repository) force(tag string, role data.RoleName, hashes data.Hashes) {
	r.tb.Helper()
	if r.TUF.Targets[role] == nil {
		_, err := r.TUF.InitTargets(role)
		r.must(err)
	}
	r.TUF.Targets[role].Signed.Targets[tag] = data.FileMeta{Length: 528, Hashes: hashes}
}
