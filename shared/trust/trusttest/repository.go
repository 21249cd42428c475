package trusttest

import (
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
	r.notary.publish()
}

// PublishSnapshot signs snapshot and timestamp over what is there.
func (r *Repository) PublishSnapshot() {
	r.tb.Helper()
	snapshot, err := r.TUF.SignSnapshot(r.expiry(data.CanonicalSnapshotRole))
	r.must(err)
	r.serve(data.CanonicalSnapshotRole, snapshot)
	r.PublishTimestamp()
}

// PublishTimestamp signs a timestamp over what is there.
func (r *Repository) PublishTimestamp() {
	r.tb.Helper()
	timestamp, err := r.TUF.SignTimestamp(r.expiry(data.CanonicalTimestampRole))
	r.must(err)
	r.serve(data.CanonicalTimestampRole, timestamp)
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
