package notary_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker/go/canonical/json"
	tnotary "github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// What these attackers hold is said of each; unless it is, they hold the
// online keys: those of timestamp and snapshot, which a Notary server keeps.

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

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

// TestRollbackBetweenProcesses: what one process has seen, another on the same
// cache does not forget for it.
func TestRollbackBetweenProcesses(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	daemon := notary.New(b.opts)
	before := b.server.State()
	_, err := b.verifyWith(t, daemon, gun+":v1")
	must(t, err)
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err = b.verify(t, gun+":v1") // the command sees it first
	must(t, err)
	b.server.SetState(before)
	for range 2 {
		_, err = b.verifyWith(t, daemon, gun+":v1")
		wantReason(t, err, trust.Rollback)
		_, err = b.verify(t, gun+":v1")
		wantReason(t, err, trust.Rollback)
	}
}

// TestConcurrentRounds: of two rounds under different scopes, the one that
// ends last does not take back what the other has seen.
func TestConcurrentRounds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	v := notary.New(b.opts)
	before := b.server.State()
	slow, release := make(chan struct{}), make(chan struct{})
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/root.json") {
			close(slow)
			<-release
		}
		_, _ = w.Write(before[r.URL.Path])
	})
	ended := make(chan error)
	go func() {
		_, err := b.verifyWith(t, v, gun+":v1")
		ended <- err
	}()
	<-slow
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	newer := b.server.State()
	b.server.Fault(nil)
	second := *b
	second.scope.Signers = []string{"alice"}
	_, err := second.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(before[r.URL.Path]) })
	close(release)
	if err := <-ended; err == nil {
		t.Error("the round that was overtaken was believed")
	}
	b.server.Fault(nil)
	b.server.SetState(newer)
	signed, err := b.verifyWith(t, v, gun+":v1")
	if err != nil || signed.Digest != other {
		t.Errorf("afterwards: got %+v, %v", signed, err)
	}
}

// TestFormsThatBreakReaders: a null where a role belongs, nesting without end,
// thousands of signatures. None ends the process or takes longer than a round.
func TestFormsThatBreakReaders(t *testing.T) {
	t.Parallel()
	const header = `{"signed":{"_type":"Targets","version":9,"expires":"2040-01-01T00:00:00Z","targets":{},"delegations":{"keys":{},"roles":`
	for name, raw := range map[string]string{
		"null role":        header + `[null]}},"signatures":[]}`,
		"null roles":       header + `null}},"signatures":[]}`,
		"deep":             header + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}},"signatures":[]}`,
		"other members":    `{"signed":{},"signatures":[],"signed ":{}}`,
		"not UTF-8":        "{\"signed\":{\"\xff\":1},\"signatures\":[]}",
		"data behind":      `{"signed":{},"signatures":[]}{}`,
		"signed is number": `{"signed":5,"signatures":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.ServeRaw("targets/alice", []byte(raw))
			b.scope.Signers = []string{"alice"}
			if _, err := b.verify(t, gun+":v1"); err == nil {
				t.Error("accepted")
			}
			b.scope.Signers = nil
			if _, err := b.verify(t, gun+":v1"); err != nil {
				t.Errorf("a delegation that nothing rests on was in the way: %v", err)
			}
		})
	}
}

// TestManySignatures: whoever answers for the server, without any key, may
// neither keep a processor busy nor keep the cached copy from serving.
func TestManySignatures(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	root := b.TUF.Root.Signed
	id := b.RootKey().ID()
	role := *root.Roles["root"]
	role.KeyIDs = strings.Split(strings.TrimSuffix(strings.Repeat(id+" ", 6000), " "), " ")
	root.Roles = map[data.RoleName]*data.RootRole{"root": &role, "targets": root.Roles["targets"], "snapshot": root.Roles["snapshot"], "timestamp": root.Roles["timestamp"]}
	unsigned, err := (&data.SignedRoot{Signed: root}).ToSigned()
	must(t, err)
	for range 2500 {
		unsigned.Signatures = append(unsigned.Signatures, data.Signature{KeyID: id, Method: "ecdsa", Signature: bytes.Repeat([]byte{1}, 64)})
	}
	raw, err := json.Marshal(unsigned)
	must(t, err)
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "root.json") {
			_, _ = w.Write(raw)
			return
		}
		_, _ = w.Write([]byte(`{"signed":{},"signatures":[]}`))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ref, err := reference.ParseNormalizedNamed(gun + ":v1")
	must(t, err)
	_, err = notary.New(b.opts).Verify(ctx, trust.Question{Ref: ref}, b.scope)
	if ctx.Err() != nil {
		t.Fatalf("it took more than 10 s: %v", err)
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

// TestRollbackByHiddenVersion hides the version from whoever remembers it.
func TestRollbackByHiddenVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := map[data.RoleName][]byte{}
	for _, role := range []data.RoleName{"targets", "targets/releases", "targets/alice"} {
		before[role] = b.Served(role)
	}
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	for role := range before {
		b.ServeRaw(role, append([]byte(`{"signed":5,`), b.Served(role)[1:]...))
	}
	_, _ = b.verify(t, gun+":v1")
	for role, raw := range before {
		b.ServeRaw(role, raw)
	}
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// TestRollbackInMemory: a process without a cache on disk remembers, too.
func TestRollbackInMemory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.CacheDir = ""
	v := notary.New(b.opts)
	before := b.server.State()
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.server.SetState(before)
	_, err = b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// TestLongName: the longest name there is has a file of its own all the same.
func TestLongName(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	long := data.GUN("registry.example.com/" + strings.Repeat("a/", 100) + "app")
	r := b.server.NewRepository(t, long)
	r.Sign("v1", good, "targets")
	r.Publish()
	b.scope.RootKeys = []string{r.RootKeyID()}
	_, err := b.verify(t, string(long)+":v1")
	must(t, err)
	b.server.Fault(status(http.StatusServiceUnavailable))
	if signed, err := b.verify(t, string(long)+":v1"); err != nil || signed.Source != trust.Cache {
		t.Errorf("got %+v, %v", signed, err)
	}
}

// TestSilentReleases: before targets may answer, the releases role has to be
// there, and to be good.
func TestSilentReleases(t *testing.T) {
	t.Parallel()
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.Sign("old", other, "targets")
		b.Expires["targets/releases"] = b.now.Add(time.Hour)
		b.Publish()
		b.now = b.now.Add(2 * time.Hour)
		_, err := b.verify(t, gun+":old")
		wantReason(t, err, trust.Expired)
	})
	t.Run("hidden, on a fresh machine", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.Sign("v1", other, "targets")
		b.Publish()
		delete(b.TUF.Snapshot.Signed.Meta, "targets/releases")
		b.ResignSnapshot()
		_, err := b.verify(t, gun+":v1")
		wantReason(t, err, trust.Unsigned)
	})
}

// TestNestedSigner: what a delegation may do ends where its parent's rights do.
func TestNestedSigner(t *testing.T) {
	t.Parallel()
	nested := func(t *testing.T) *bench {
		t.Helper()
		b := newBench(t)
		b.Delegate("targets/team")
		_, err := b.TUF.InitTargets("targets/team")
		must(t, err)
		b.Delegate("targets/team/qa")
		b.ForceSign("v1", good, "targets/team/qa")
		b.scope.Signers = []string{"team/qa"}
		return b
	}
	t.Run("good", func(t *testing.T) {
		t.Parallel()
		b := nested(t)
		b.Publish()
		_, err := b.verify(t, gun+":v1")
		must(t, err)
	})
	t.Run("outside its parent's paths", func(t *testing.T) {
		t.Parallel()
		b := nested(t)
		for _, role := range b.TUF.Targets["targets"].Signed.Delegations.Roles {
			if role.Name == "targets/team" {
				role.Paths = []string{"dev-"}
			}
		}
		b.Publish()
		_, err := b.verify(t, gun+":v1")
		wantReason(t, err, trust.Unsigned)
	})
	t.Run("expired parent", func(t *testing.T) {
		t.Parallel()
		b := nested(t)
		b.Expires["targets/team"] = b.now.Add(time.Hour)
		b.Publish()
		b.now = b.now.Add(2 * time.Hour)
		_, err := b.verify(t, gun+":v1")
		wantReason(t, err, trust.Expired)
	})
	t.Run("parent's key revoked", func(t *testing.T) {
		t.Parallel()
		b := nested(t)
		b.Publish()
		team, err := b.TUF.GetDelegationRole("targets/team")
		must(t, err)
		b.scope.RevokedKeys = team.ListKeyIDs()
		_, err = b.verify(t, gun+":v1")
		wantReason(t, err, trust.Revoked)
	})
	t.Run("after another scope's question", func(t *testing.T) {
		t.Parallel()
		b := nested(t)
		b.Publish()
		b.opts.Refresh = time.Hour
		v := notary.New(b.opts)
		b.scope.Signers = nil
		_, err := b.verifyWith(t, v, gun+":v1")
		must(t, err)
		b.scope.Signers = []string{"team/qa"}
		_, err = b.verifyWith(t, v, gun+":v1")
		must(t, err)
	})
}

// TestRootFork: whoever stole the pinned key after it was rotated away cannot
// lead a machine astray that has followed the rotation.
func TestRootFork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := b.RootKey()
	oldID := b.RootKeyID()
	b.RotateRoot()
	b.Publish()
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	root := b.TUF.Root.Signed
	root.Version = 3
	root.Keys[old.ID()] = old
	root.Roles[data.CanonicalRootRole].KeyIDs = []string{old.ID()}
	unsigned, err := (&data.SignedRoot{Signed: root}).ToSigned()
	must(t, err)
	private, _, err := b.Keys.GetPrivateKey(oldID)
	must(t, err)
	b.ServeRaw("root", b.SignRaw(unsigned, private, old.ID()))
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.BadSignature)
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

// TestDeletedRepository: a server that no longer has the signatures of a
// repository has answered, and the cached copy is not asked.
func TestDeletedRepository(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.server.SetState(nil)
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Unsigned)
}

// TestSeveralDigests: content with several digests is accepted if all signers
// agree on one of them, every time it is asked.
func TestSeveralDigests(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Delegate("targets/bob")
	b.Sign("v2", other, "targets/alice", "targets/bob")
	b.Publish()
	b.scope.Signers = []string{"alice", "bob"}
	b.opts.Refresh = time.Hour
	v := notary.New(b.opts)
	content := trust.Content{ID: good, Store: trust.GraphdriverStore, RepoDigests: []string{gun + "@" + string(good), gun + "@" + string(other)}}
	for range 50 {
		if signed, err := b.verifyWith(t, v, gun, content); err != nil || signed.Digest != other {
			t.Fatalf("got %+v, %v", signed, err)
		}
	}
}

// TestContentWithoutID is content all the same, and judged.
func TestContentWithoutID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1", trust.Content{Store: trust.GraphdriverStore, RepoDigests: []string{gun + "@" + string(other)}})
	wantReason(t, err, trust.DigestMismatch)
}

// TestSpoiledCacheDoesNotCrash: what lies on disk is outside input, too.
func TestSpoiledCacheDoesNotCrash(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	files, err := filepath.Glob(filepath.Join(b.opts.CacheDir, "*.json"))
	must(t, err)
	deep := base64.StdEncoding.EncodeToString([]byte(`{"signed":` + strings.Repeat("[", 1<<20)))
	must(t, os.WriteFile(files[0], []byte(fmt.Sprintf(`{"gun":%q,"roots":[%q],"roles":{"targets":%q}}`, gun, deep, deep)), 0o600))
	if signed, err := b.verify(t, gun+":v1"); err != nil || signed.Source != trust.Server {
		t.Errorf("got %+v, %v", signed, err)
	}
}

// FuzzParse: whatever bytes come, reading them ends, and what is accepted says
// the same to a reader of maps and to one of structs.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"signed":{"_type":"Targets","version":1},"signatures":[]}`))
	f.Add([]byte(`{"signed":{"a":1,"a":2},"signatures":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := notary.CheckForm(raw); err != nil {
			return
		}
		var first, second map[string]any
		if json.Unmarshal(raw, &first) != nil {
			return
		}
		again, err := json.Marshal(first)
		if err != nil || json.Unmarshal(again, &second) != nil || len(first) != len(second) {
			t.Errorf("accepted, and lost on the way: %q", raw)
		}
	})
}
