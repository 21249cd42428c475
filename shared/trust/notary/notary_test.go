package notary_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

const gun = "registry.example.com/prod/app"

var (
	good  = digest.FromString("good")
	other = digest.FromString("other")
)

// A bench is a repository on a fake server, and what a site's policy says of it.
type bench struct {
	*trusttest.Repository
	server *trusttest.Notary
	scope  notary.Scope
	opts   notary.Options
	now    time.Time
	image  string // asked for instead of v1, when set
}

func (b *bench) asked() string { return cmp.Or(b.image, gun+":v1") }

// newBench signs tag v1 as good into releases, as docker trust does, with a
// signer named alice.
func newBench(t *testing.T) *bench {
	t.Helper()
	server := trusttest.NewNotary(t)
	b := &bench{Repository: server.NewRepository(t, gun), server: server, now: time.Now()}
	b.opts = notary.Options{Now: func() time.Time { return b.now }, CacheDir: t.TempDir(), Timeout: 5 * time.Second}
	b.Delegate("targets/releases")
	b.Delegate("targets/alice")
	b.Sign("v1", good, "targets/releases", "targets/alice")
	b.Publish()
	b.scope = notary.Scope{Pattern: gun, RootKeys: []string{b.RootKeyID()}, Servers: []string{server.URL}, CA: server.CA}
	return b
}

func (b *bench) verify(t *testing.T, image string, content ...trust.Content) (trust.Signed, error) {
	t.Helper()
	return b.verifyWith(t, notary.New(b.opts), image, content...)
}

func (b *bench) verifyWith(t *testing.T, v *notary.Verifier, image string, content ...trust.Content) (trust.Signed, error) {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		t.Fatal(err)
	}
	q := trust.Question{Ref: ref}
	if len(content) > 0 {
		q.Content = content[0]
	}
	return v.Verify(t.Context(), q, b.scope)
}

func wantReason(t *testing.T, err error, want trust.Reason) {
	t.Helper()
	refused := new(trust.Error)
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal: %s", err, want)
	}
	if refused.Reason != want {
		t.Fatalf("got reason %q, want %q: %v", refused.Reason, want, err)
	}
}

func TestAcceptsSignedTag(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	signed, err := b.verify(t, gun+":v1")
	if err != nil {
		t.Fatal(err)
	}
	if signed.Digest != good || signed.Method != trust.DCT || signed.Source != trust.Server || !slices.Equal(signed.Signers, []string{"alice"}) {
		t.Errorf("got %+v", signed)
	}
	if len(signed.KeyIDs) == 0 || signed.Expires.Before(b.now.Add(13*24*time.Hour)) || signed.Expires.After(b.now.Add(15*24*time.Hour)) {
		t.Errorf("keys %v, expires %v: want the timestamp's two weeks", signed.KeyIDs, signed.Expires)
	}
}

func TestQuestions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Sign("old", other, data.CanonicalTargetsRole)
	b.Sign("v1", other, data.CanonicalTargetsRole) // shadowed by releases
	b.Publish()
	held := func(id digest.Digest) trust.Content { return trust.Content{ID: id, Store: trust.ContainerdStore} }
	pulled := trust.Content{ID: digest.FromString("config"), Store: trust.GraphdriverStore, RepoDigests: []string{gun + "@" + string(good)}}
	for name, test := range map[string]struct {
		image   string
		content trust.Content
		want    trust.Reason
		digest  digest.Digest
	}{
		"tag": {image: gun + ":v1", digest: good},
		"tag, signed by the repository key alone": {image: gun + ":old", digest: other},
		"tag nobody signed":                       {image: gun + ":v2", want: trust.Unsigned},
		"digest":                                  {image: gun + "@" + string(good), digest: good},
		"digest nobody signed":                    {image: gun + "@" + string(digest.FromString("x")), want: trust.Unsigned},
		"digest beside a wrong tag":               {image: gun + ":v2@" + string(good), digest: good},
		"tag and its content":                     {image: gun + ":v1", content: held(good), digest: good},
		"tag and other content":                   {image: gun + ":v1", content: held(other), want: trust.DigestMismatch},
		"tag and pulled content":                  {image: gun + ":v1", content: pulled, digest: good},
		"digest and other content":                {image: gun + "@" + string(good), content: held(other), want: trust.DigestMismatch},
		"content alone":                           {image: gun, content: pulled, digest: good},
		"content alone, unsigned":                 {image: gun, content: held(digest.FromString("x")), want: trust.Unsigned},
		"content of a store nobody knows":         {image: gun, content: trust.Content{ID: good}, want: trust.Unsigned},
		"RepoDigests on the containerd store": {
			image: gun + ":v1", want: trust.DigestMismatch,
			content: trust.Content{ID: other, Store: trust.ContainerdStore, RepoDigests: []string{gun + "@" + string(good)}},
		},
		"content loaded from a file": {
			image: gun + ":v1", want: trust.DigestMismatch,
			content: trust.Content{ID: digest.FromString("config"), Store: trust.GraphdriverStore},
		},
		"tag of another case": {image: gun + ":V1", want: trust.Unsigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signed, err := b.verify(t, test.image, test.content)
			if test.want != "" {
				wantReason(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if signed.Digest != test.digest {
				t.Errorf("got %s, want %s", signed.Digest, test.digest)
			}
		})
	}
}

// TestAttacks spoils a repository, each time in one way, and wants the reason.
// The attacks that any verifier has to survive are those of TestContract.
func TestAttacks(t *testing.T) {
	t.Parallel()
	stranger := func(b *bench) data.PublicKey { return b.NewKey("targets/alice") }
	for name, test := range map[string]struct {
		spoil func(b *bench)
		want  trust.Reason
	}{
		"unsigned repository": {func(b *bench) { b.server.SetState(nil) }, trust.Unsigned},
		"no pin for the root": {func(b *bench) { b.scope.RootKeys = []string{strings.Repeat("0", 64)} }, trust.UnknownSigner},
		"certificate pin wins over the root key": {func(b *bench) {
			b.scope.CertIDs = []string{strings.Repeat("0", 64)}
		}, trust.UnknownSigner},
		"GUN mix-up under one root key": {func(b *bench) {
			b.UseCertificateFor("registry.example.com/dev/app")
			b.Publish()
			b.server.Forget(gun, "1.root")
		}, trust.UnknownSigner},
		"root not signed by the pinned key it lists": {func(b *bench) {
			key := b.RootKey()
			b.Impersonate(key)
		}, trust.UnknownSigner},
		"targets signed by a stranger": {func(b *bench) {
			b.Replace("targets", b.SignWith("targets", stranger(b)))
		}, trust.UnknownSigner},
		"too few keys": {func(b *bench) {
			only := b.Threshold("targets/releases", 2)
			b.Publish()
			b.Replace("targets/releases", b.SignWith("targets/releases", only))
		}, trust.BelowThreshold},
		"root expired": {func(b *bench) {
			b.Expires["root"] = b.now.Add(time.Hour)
			b.Publish()
			b.scope.AllowExpired = notary.Unbounded
			b.now = b.now.Add(2 * time.Hour)
		}, trust.Expired},
		"targets expired, though stale timestamps are allowed": {func(b *bench) {
			b.Expires["targets"] = b.now.Add(time.Hour)
			b.Publish()
			b.scope.AllowExpired = notary.Unbounded
			b.now = b.now.Add(2 * time.Hour)
		}, trust.Expired},
		"releases expired: no falling back to targets": {func(b *bench) {
			b.Sign("v1", good, "targets")
			b.Expires["targets/releases"] = b.now.Add(time.Hour)
			b.Publish()
			b.now = b.now.Add(2 * time.Hour)
		}, trust.Expired},
		"signer the repository does not have": {func(b *bench) { b.scope.Signers = []string{"mallory"} }, trust.UnknownSigner},
		"signer who did not sign the tag": {func(b *bench) {
			b.Delegate("targets/bob")
			b.Publish()
			b.scope.Signers = []string{"alice", "bob"}
		}, trust.Unsigned},
		"signers who disagree": {func(b *bench) {
			b.Delegate("targets/bob")
			b.Sign("v1", other, "targets/bob")
			b.Publish()
			b.scope.Signers = []string{"alice", "bob"}
		}, trust.DigestMismatch},
		"signer with a key the policy does not allow": {func(b *bench) {
			b.scope.Signers = []string{"alice"}
			b.scope.SignerKeys = map[string][]string{"alice": {strings.Repeat("0", 64)}}
		}, trust.UnknownSigner},
		"revoked root key":   {func(b *bench) { b.scope.RevokedKeys = []string{b.RootKeyID()} }, trust.Revoked},
		"server wants login": {func(b *bench) { b.server.Fault(status(http.StatusUnauthorized)) }, trust.Unreachable},
		"HTML, not JSON":     {func(b *bench) { b.server.Fault(body("text/html", "<html>sign in</html>")) }, trust.Unreachable},
		"no metadata":        {func(b *bench) { b.server.Fault(body("application/json", `{}`)) }, trust.Unreachable},
		"wrong CA":           {func(b *bench) { b.scope.CA = trusttest.StrangeCA(b.TB()) }, trust.Unreachable},
		"no CA":              {func(b *bench) { b.scope.CA = "" }, trust.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			test.spoil(b)
			_, err := b.verify(t, b.asked())
			wantReason(t, err, test.want)
		})
	}
}

func silent(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func body(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(text))
	}
}

// TestHiddenReleases has the server deny a role that was seen, so that an
// older entry in targets would answer instead.
func TestHiddenReleases(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Sign("v1", other, "targets")
	b.Publish()
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Fatal(err)
	}
	delete(b.TUF.Snapshot.Signed.Meta, "targets/releases")
	b.ResignSnapshot()
	_, err := b.verify(t, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// TestRootRotation follows several rotations from the pinned key, on a fresh
// machine and on one that knew an earlier root.
func TestRootRotation(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		b.RotateRoot()
		b.Publish()
	}
	for name, dir := range map[string]string{"fresh machine": t.TempDir(), "known root": b.opts.CacheDir} {
		b.opts.CacheDir = dir
		if signed, err := b.verify(t, gun+":v1"); err != nil || signed.Digest != good {
			t.Errorf("%s: got %v, %v", name, signed, err)
		}
	}
}

// TestRootJump serves a root that was not signed by the one before it.
func TestRootJump(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.RotateRoot()
	b.ForgetOldRoot()
	b.Publish()
	_, err := b.verify(t, gun+":v1")
	if err == nil {
		t.Fatal("a root that jumps was accepted")
	}
	refused := new(trust.Error)
	if errors.As(err, &refused) && refused.Inconclusive() {
		t.Errorf("want a no, got %v", err)
	}
}

func TestNothingUnpinnedIsCached(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.scope.RootKeys = []string{strings.Repeat("0", 64)}
	_, err := b.verify(t, gun+":v1")
	wantReason(t, err, trust.UnknownSigner)
	entries, err := os.ReadDir(b.opts.CacheDir)
	if err != nil || len(entries) > 0 {
		t.Errorf("the cache holds %v (%v)", entries, err)
	}
}

// TestCacheServesSilentServer: the cached copy serves until its own expiry.
func TestCacheServesSilentServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Fatal(err)
	}
	b.server.Fault(status(http.StatusServiceUnavailable))
	signed, err := b.verify(t, gun+":v1")
	if err != nil || signed.Source != trust.Cache {
		t.Fatalf("got %+v, %v", signed, err)
	}
	b.now = b.now.Add(15 * 24 * time.Hour)
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Expired)
	b.scope.AllowExpired = 90 * 24 * time.Hour
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Fatalf("allow-expired: %v", err)
	}
	b.now = b.now.Add(90 * 24 * time.Hour)
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Expired)
}

func TestSpoiledCacheIsNotBelieved(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(b.opts.CacheDir, "*.json"))
	if err != nil || len(files) != 1 {
		t.Fatalf("cache files: %v, %v", files, err)
	}
	for _, spoiled := range []string{"", "{", `{"roots":["e30="],"roles":{"timestamp":"e30="}}`} {
		if err := os.WriteFile(files[0], []byte(spoiled), 0o600); err != nil {
			t.Fatal(err)
		}
		if signed, err := b.verify(t, gun+":v1"); err != nil || signed.Source != trust.Server {
			t.Errorf("%q: got %+v, %v", spoiled, signed, err)
		}
	}
}

// TestKnownAnswerAsksNobody holds within the refresh interval, and one request
// is enough after it when nothing has changed.
func TestKnownAnswerAsksNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh = time.Minute
	v := notary.New(b.opts)
	for range 2 {
		if _, err := b.verifyWith(t, v, gun+":v1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.server.Requests()); n != 6 {
		t.Errorf("%d requests, want 6: root, timestamp, snapshot, targets, releases, alice", n)
	}
	b.now = b.now.Add(2 * time.Minute)
	if _, err := b.verifyWith(t, v, gun+":v1"); err != nil {
		t.Fatal(err)
	}
	if requests := b.server.Requests(); len(requests) != 1 || !strings.HasSuffix(requests[0], "/timestamp.json") {
		t.Errorf("refresh asked for %v", requests)
	}
}

func TestSecondServerIsAsked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.scope.Servers = []string{"https://127.0.0.1:1", b.server.URL}
	if _, err := b.verify(t, gun+":v1"); err != nil {
		t.Fatal(err)
	}
}

func TestCancelledQuestion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.server.Fault(silent)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ref, _ := reference.ParseNormalizedNamed(gun + ":v1")
	_, err := notary.New(b.opts).Verify(ctx, trust.Question{Ref: ref}, b.scope)
	wantReason(t, err, trust.Unreachable)
}
