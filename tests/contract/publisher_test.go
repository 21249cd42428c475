package contract

import (
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
	tnotary "github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/client/changelist"
	"github.com/theupdateframework/notary/cryptoservice"
	"github.com/theupdateframework/notary/passphrase"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
	"github.com/theupdateframework/notary/tuf/utils"

	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

// A publisher publishes one repository as docker trust does: by means of
// notary's client, with the keys of timestamp and snapshot left to the server.
type publisher struct {
	tb    testing.TB
	gun   data.GUN
	keys  signed.CryptoService
	cache *storage.MemoryStore
	repo  client.Repository
}

// newPublisher makes a repository's root and targets keys. The server hears
// of it when something is published.
func newPublisher(tb testing.TB, gun data.GUN, server, ca string) *publisher {
	tb.Helper()
	keys := cryptoservice.NewCryptoService(trustmanager.NewKeyMemoryStore(passphrase.ConstantRetriever("")))
	root, err := keys.Create(data.CanonicalRootRole, "", data.ECDSAKey)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusttest.Pool(tb, ca), MinVersion: tls.VersionTLS12}}
	tb.Cleanup(transport.CloseIdleConnections)
	remote, err := storage.NewNotaryServerStore(server, gun, transport)
	if err != nil {
		tb.Fatal(err)
	}
	p := &publisher{tb: tb, gun: gun, keys: keys, cache: storage.NewMemoryStore(nil)}
	p.repo, err = client.NewRepository(gun, server, remote, p.cache, trustpinning.TrustPinConfig{}, keys, changelist.NewMemChangelist())
	p.must(err)
	p.must(p.repo.Initialize([]string{root.ID()}, data.CanonicalSnapshotRole))
	return p
}

func (p *publisher) must(err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatal(err)
	}
}

// Delegate adds a delegation with a key of its own.
func (p *publisher) Delegate(role data.RoleName, paths ...string) data.PublicKey {
	p.tb.Helper()
	key, err := p.keys.Create(role, p.gun, data.ECDSAKey)
	p.must(err)
	if len(paths) == 0 {
		paths = []string{""}
	}
	p.must(p.repo.AddDelegation(role, []data.PublicKey{key}, paths))
	return key
}

// Sign lists a tag with a digest in each of the roles.
func (p *publisher) Sign(tag string, dgst digest.Digest, roles ...data.RoleName) {
	p.tb.Helper()
	sum, err := hex.DecodeString(dgst.Encoded())
	p.must(err)
	p.must(p.repo.AddTarget(&client.Target{Name: tag, Hashes: data.Hashes{tnotary.SHA256: sum}, Length: 528}, roles...))
}

// ForceHash lists a tag with a hash of one algorithm.
func (p *publisher) ForceHash(tag, algorithm string, role data.RoleName) {
	p.tb.Helper()
	p.must(p.repo.AddTarget(&client.Target{Name: tag, Hashes: data.Hashes{algorithm: make([]byte, 64)}, Length: 528}, role))
}

// Publish makes the changes known to the server.
func (p *publisher) Publish() {
	p.tb.Helper()
	p.must(p.repo.Publish())
}

// RotateRoot replaces the root key, which the old one signs.
func (p *publisher) RotateRoot() {
	p.tb.Helper()
	p.must(p.repo.RotateKey(data.CanonicalRootRole, false, nil))
}

// RootKey is the key of the root that the client knows.
func (p *publisher) RootKey() data.PublicKey {
	p.tb.Helper()
	raw, err := p.cache.GetSized(data.CanonicalRootRole.String(), storage.NoSizeLimit)
	p.must(err)
	untrusted := new(data.Signed)
	p.must(json.Unmarshal(raw, untrusted))
	root, err := data.RootFromSigned(untrusted)
	p.must(err)
	role, err := root.BuildBaseRole(data.CanonicalRootRole)
	p.must(err)
	return role.ListKeys()[0]
}

// RootKeyID is its canonical ID.
func (p *publisher) RootKeyID() string {
	p.tb.Helper()
	id, err := utils.CanonicalKeyID(p.RootKey())
	p.must(err)
	return id
}
