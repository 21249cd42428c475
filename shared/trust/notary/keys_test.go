package notary_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker/go/canonical/json"
	tnotary "github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

func certificateOf(t *testing.T, public any, isCA bool) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, IsCA: isCA, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(5, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}

// TestPinnedKeyInDisguise makes a root whose key is one thing to the pin and
// another to the signature: a PEM block with headers is seen by one reader of
// notary and not by the other. The attacker holds no key at all.
func TestPinnedKeyInDisguise(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pinned, err := utils.LoadCertFromPEM(b.RootKey().Public())
	must(t, err)
	evil := &bench{Repository: b.server.NewRepository(t, gun), server: b.server, now: b.now, opts: b.opts, scope: b.scope}
	private, _, err := evil.Keys.GetPrivateKey(evil.RootKeyID())
	must(t, err)
	own, err := utils.LoadCertFromPEM(evil.RootKey().Public())
	must(t, err)
	decoy := certificateOf(t, pinned.PublicKey, true)
	disguised := data.NewECDSAx509PublicKey(append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"X": "y"}, Bytes: own.Raw}), utils.CertToPEM(decoy)...))
	chain, err := utils.CertChainToPEM([]*x509.Certificate{own, decoy})
	must(t, err)
	plain := data.NewECDSAx509PublicKey(chain)
	if id, _ := utils.CanonicalKeyID(disguised); id != b.RootKeyID() {
		t.Fatal("the disguise does not work on notary's reader either")
	}
	evil.Sign("v1", other, data.CanonicalTargetsRole)
	root := evil.TUF.Root.Signed
	root.Keys[disguised.ID()], root.Keys[plain.ID()] = disguised, plain
	root.Roles[data.CanonicalRootRole].KeyIDs = []string{disguised.ID(), plain.ID()}
	root.Version = 7
	unsigned, err := (&data.SignedRoot{Signed: root}).ToSigned()
	must(t, err)
	targets, err := evil.TUF.SignTargets(data.CanonicalTargetsRole, time.Now().AddDate(1, 0, 0))
	must(t, err)
	rawTargets, err := json.Marshal(targets)
	must(t, err)
	evil.TUF.Snapshot.Signed.Meta = data.Files{"targets": {}, "root": {}}
	evil.ServeRaw(data.CanonicalTargetsRole, rawTargets)
	evil.ServeRaw(data.CanonicalRootRole, evil.SignRaw(unsigned, private, disguised.ID(), plain.ID()))
	_, err = evil.verify(t, gun+":v1")
	wantReason(t, err, trust.UnknownSigner)
}

// TestSignerKeyInDisguise does the same to signer-keys. The attacker holds the
// repository key too.
func TestSignerKeyInDisguise(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	alice, err := b.TUF.GetDelegationRole("targets/alice")
	must(t, err)
	aliceKey := alice.ListKeys()[0]
	alicePublic, err := x509.ParsePKIXPublicKey(aliceKey.Public())
	must(t, err)
	evilKey := b.NewKey("targets/alice")
	private, _, err := b.Keys.GetPrivateKey(evilKey.ID())
	must(t, err)
	evilPublic, err := x509.ParsePKIXPublicKey(evilKey.Public())
	must(t, err)
	key := data.NewECDSAx509PublicKey(append(
		pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: certificateOf(t, evilPublic, false).Raw}), utils.CertToPEM(certificateOf(t, alicePublic, false))...))
	targets := b.TUF.Targets["targets"].Signed
	targets.Delegations.Keys[key.ID()] = key
	for _, role := range targets.Delegations.Roles {
		if role.Name == "targets/alice" {
			role.KeyIDs = []string{key.ID()}
		}
	}
	sum := sha256.Sum256([]byte("other"))
	b.TUF.Targets["targets/alice"].Signed.Targets["v1"] = data.FileMeta{Length: 1, Hashes: data.Hashes{tnotary.SHA256: sum[:]}}
	signed, err := b.TUF.SignTargets("targets", time.Now().AddDate(1, 0, 0))
	must(t, err)
	rawTargets, err := json.Marshal(signed)
	must(t, err)
	b.ServeRaw("targets", rawTargets)
	unsigned, err := b.TUF.Targets["targets/alice"].ToSigned()
	must(t, err)
	b.ServeRaw("targets/alice", b.SignRaw(unsigned, private, key.ID()))
	b.scope.Signers = []string{"alice"}
	b.scope.SignerKeys = map[string][]string{"alice": {aliceKey.ID()}}
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.BadSignature)
}

// TestRevokedKeyInACertificate: what a key is wrapped in, and how, does not
// take it out of the reach of revocation.
func TestRevokedKeyInACertificate(t *testing.T) {
	t.Parallel()
	for behind, want := range map[string]trust.Reason{"": trust.Revoked, "\n": trust.BadSignature} {
		b := newBench(t)
		alice, err := b.TUF.GetDelegationRole("targets/alice")
		must(t, err)
		bare := alice.ListKeys()[0]
		public, err := x509.ParsePKIXPublicKey(bare.Public())
		must(t, err)
		private, _, err := b.Keys.GetPrivateKey(bare.ID())
		must(t, err)
		key := data.NewECDSAx509PublicKey(append(utils.CertToPEM(certificateOf(t, public, false)), behind...))
		targets := b.TUF.Targets["targets"].Signed
		targets.Delegations.Keys[key.ID()] = key
		for _, role := range targets.Delegations.Roles {
			if role.Name == "targets/alice" {
				role.KeyIDs = []string{key.ID()}
			}
		}
		signed, err := b.TUF.SignTargets("targets", time.Now().AddDate(1, 0, 0))
		must(t, err)
		raw, err := json.Marshal(signed)
		must(t, err)
		b.ServeRaw("targets", raw)
		unsigned, err := b.TUF.Targets["targets/alice"].ToSigned()
		must(t, err)
		b.ServeRaw("targets/alice", b.SignRaw(unsigned, private, key.ID()))
		b.scope.Signers = []string{"alice"}
		b.scope.RevokedKeys = []string{bare.ID()}
		_, err = b.verify(t, gun+":v1")
		wantReason(t, err, want)
	}
}

// TestRevokedPin revokes a pinned root key. It may not even vouch for the key
// that followed it.
func TestRevokedPin(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	pin := b.RootKeyID()
	b.RotateRoot()
	b.Publish()
	b.scope.RevokedKeys = []string{pin}
	if signed, err := b.verify(t, gun+":v1"); err == nil {
		t.Errorf("accepted through a revoked pin: %+v", signed)
	}
	b.scope.RootKeys = []string{pin, b.RootKeyID()}
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Errorf("the key that is pinned and not revoked does not suffice: %v", err)
	}
}

// TestRevokedOnlineKeys: a key of timestamp or snapshot counts as any other.
func TestRevokedOnlineKeys(t *testing.T) {
	t.Parallel()
	for _, role := range []data.RoleName{"timestamp", "snapshot", "targets", "targets/releases"} {
		b := newBench(t)
		var keys []string
		if data.IsDelegation(role) {
			delegated, err := b.TUF.GetDelegationRole(role)
			must(t, err)
			keys = delegated.ListKeyIDs()
		} else {
			base, err := b.TUF.GetBaseRole(role)
			must(t, err)
			keys = base.ListKeyIDs()
		}
		b.scope.RevokedKeys = keys
		_, err := b.verify(t, gun+":v1")
		wantReason(t, err, trust.Revoked)
	}
}

// TestSignerKeyTwice: one key named twice is one key.
func TestSignerKeyTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.Threshold("targets/alice", 2)
	b.Publish()
	b.scope.Signers = []string{"alice"}
	b.scope.SignerKeys = map[string][]string{"alice": {first.ID(), first.ID()}}
	_, err := b.verify(t, gun+":v1")
	wantReason(t, err, trust.UnknownSigner)
}
