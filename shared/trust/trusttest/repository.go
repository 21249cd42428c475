package trusttest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/docker/go/canonical/json"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/cryptoservice"
	"github.com/theupdateframework/notary/passphrase"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
	"github.com/theupdateframework/notary/tuf/utils"
)

// A Repository is one GUN on a Notary, with all its private keys.
type Repository struct {
	GUN     data.GUN
	TUF     *tuf.Repo
	Keys    signed.CryptoService
	Expires map[data.RoleName]time.Time // of what is published next; absent: notary's default

	tb     testing.TB
	notary *Notary
}

// NewRepository makes a repository with keys of its own and nothing signed.
// Call Publish to serve it.
func (n *Notary) NewRepository(tb testing.TB, gun data.GUN) *Repository {
	tb.Helper()
	keys := cryptoservice.NewCryptoService(trustmanager.NewKeyMemoryStore(passphrase.ConstantRetriever("")))
	r := &Repository{GUN: gun, TUF: tuf.NewRepo(keys), Keys: keys, Expires: map[data.RoleName]time.Time{}, tb: tb, notary: n}
	role := map[data.RoleName]data.BaseRole{}
	for _, name := range data.BaseRoles {
		role[name] = data.NewBaseRole(name, 1, r.NewKey(name))
	}
	r.must(r.TUF.InitRoot(role[data.CanonicalRootRole], role[data.CanonicalTimestampRole],
		role[data.CanonicalSnapshotRole], role[data.CanonicalTargetsRole], false))
	_, err := r.TUF.InitTargets(data.CanonicalTargetsRole)
	r.must(err)
	r.must(r.TUF.InitSnapshot())
	r.must(r.TUF.InitTimestamp())
	return r
}

func (r *Repository) must(err error) {
	r.tb.Helper()
	if err != nil {
		r.tb.Fatal(err)
	}
}

// NewKey makes a key for a role; a root key comes as a certificate for the GUN.
func (r *Repository) NewKey(role data.RoleName) data.PublicKey {
	r.tb.Helper()
	key, err := r.Keys.Create(role, r.GUN, data.ECDSAKey)
	r.must(err)
	if role != data.CanonicalRootRole {
		return key
	}
	return r.Certify(key.ID(), r.GUN)
}

// Certify makes a root certificate of the key with this ID for a GUN.
func (r *Repository) Certify(keyID string, gun data.GUN) data.PublicKey {
	r.tb.Helper()
	private, _, err := r.Keys.GetPrivateKey(keyID)
	r.must(err)
	from := time.Now().AddDate(0, 0, -1)
	cert, err := cryptoservice.GenerateCertificate(private, gun, from, from.AddDate(10, 0, 0))
	r.must(err)
	return data.NewECDSAx509PublicKey(utils.CertToPEM(cert))
}

// RootKey is the current root certificate's key.
func (r *Repository) RootKey() data.PublicKey {
	r.tb.Helper()
	role, err := r.TUF.GetBaseRole(data.CanonicalRootRole)
	r.must(err)
	return role.ListKeys()[0]
}

// RootKeyID is the canonical ID of the current root key.
func (r *Repository) RootKeyID() string {
	r.tb.Helper()
	id, err := utils.CanonicalKeyID(r.RootKey())
	r.must(err)
	return id
}

// Delegate adds a delegation such as "targets/qa" with a new key, for all tags
// or for those with one of the given prefixes.
func (r *Repository) Delegate(role data.RoleName, paths ...string) data.PublicKey {
	r.tb.Helper()
	key := r.NewKey(role)
	r.must(r.TUF.UpdateDelegationKeys(role, data.KeyList{key}, nil, 1))
	if len(paths) == 0 {
		paths = []string{""}
	}
	r.must(r.TUF.UpdateDelegationPaths(role, paths, nil, false))
	return key
}

// Sign lists a tag with a digest in each of the roles.
func (r *Repository) Sign(tag string, dgst digest.Digest, roles ...data.RoleName) {
	r.tb.Helper()
	sum, err := hex.DecodeString(dgst.Encoded())
	r.must(err)
	meta := data.FileMeta{Length: 528, Hashes: data.Hashes{notary.SHA256: sum}}
	for _, role := range roles {
		_, err := r.TUF.AddTargets(role, data.Files{tag: meta})
		r.must(err)
	}
}

// Publish signs everything afresh and serves it.
func (r *Repository) Publish() {
	r.tb.Helper()
	root, err := r.TUF.SignRoot(r.expiry(data.CanonicalRootRole), nil)
	r.must(err)
	raw := r.serve(data.CanonicalRootRole, root)
	r.notary.serve(r.GUN, fmt.Sprintf("%d.root", r.TUF.Root.Signed.Version), raw)
	for role := range r.TUF.Targets {
		targets, err := r.TUF.SignTargets(role, r.expiry(role))
		r.must(err)
		r.serve(role, targets)
	}
	r.PublishSnapshot()
}

// PublishSnapshot signs snapshot and timestamp over what is there.
func (r *Repository) PublishSnapshot() {
	r.tb.Helper()
	snapshot, err := r.TUF.SignSnapshot(r.expiry(data.CanonicalSnapshotRole))
	r.must(err)
	r.serve(data.CanonicalSnapshotRole, snapshot)
	timestamp, err := r.TUF.SignTimestamp(r.expiry(data.CanonicalTimestampRole))
	r.must(err)
	r.serve(data.CanonicalTimestampRole, timestamp)
}

// Replace serves other metadata for a role, with snapshot and timestamp that
// vouch for it: what a server with stolen online keys can do.
func (r *Repository) Replace(role data.RoleName, metadata *data.Signed) {
	r.tb.Helper()
	raw := r.serve(role, metadata)
	sum := sha256.Sum256(raw)
	meta := r.TUF.Snapshot.Signed.Meta[string(role)]
	meta.Length, meta.Hashes = int64(len(raw)), data.Hashes{notary.SHA256: sum[:]}
	r.TUF.Snapshot.Signed.Meta[string(role)] = meta
	r.ResignSnapshot()
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
	timestamp, err := r.TUF.SignTimestamp(r.expiry(data.CanonicalTimestampRole))
	r.must(err)
	r.serve(data.CanonicalTimestampRole, timestamp)
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

// RotateRoot gives the repository a new root key; Publish signs the next root
// with the old one too.
func (r *Repository) RotateRoot() {
	r.tb.Helper()
	r.must(r.TUF.ReplaceBaseKeys(data.CanonicalRootRole, r.NewKey(data.CanonicalRootRole)))
}

func (r *Repository) expiry(role data.RoleName) time.Time {
	if expires, ok := r.Expires[role]; ok {
		return expires
	}
	if data.IsDelegation(role) {
		role = data.CanonicalTargetsRole
	}
	return time.Now().Add(data.NotaryDefaultExpiries[role])
}

func (r *Repository) serve(role data.RoleName, metadata *data.Signed) []byte {
	r.tb.Helper()
	raw, err := json.Marshal(metadata)
	r.must(err)
	r.notary.serveRole(r.GUN, role, raw)
	return raw
}

// TB is the test the repository belongs to.
func (r *Repository) TB() testing.TB { return r.tb }

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
