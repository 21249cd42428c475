package notary_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
)

func named(text string) reference.Named {
	ref, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		panic(err)
	}
	return ref
}

// TestInspect tells of each role what its own metadata says, and of each tag
// what the scope says.
func TestInspect(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Delegate("targets/bob")
	b.Sign("v2", other, "targets/releases", "targets/bob")
	b.Publish()
	b.scope.Signers = []string{"alice"}
	got, err := notary.New(b.opts).Inspect(t.Context(), named(gun), b.scope)
	must(t, err)
	want := map[string]int{"root": 1, "targets": 1, "snapshot": 1, "timestamp": 1, "targets/releases": 1, "targets/alice": 1, "targets/bob": 1}
	for _, role := range got.Roles {
		if len(role.Keys) != want[role.Name] || !role.Keys[0].Signed || role.Threshold != 1 || role.Version < 1 || role.Expires.IsZero() || role.Err != nil {
			t.Errorf("role %+v", role)
		}
		delete(want, role.Name)
	}
	if len(want) > 0 {
		t.Errorf("roles that were not told: %v", want)
	}
	if got.Roles[0].Keys[0].ID != b.RootKeyID() || got.Roles[0].Keys[0].CertificateID != b.RootKey().ID() {
		t.Errorf("root key %+v", got.Roles[0].Keys[0])
	}
	if len(got.Tags) != 2 || got.Tags[0].Err != nil || got.Tags[0].Signed.Digest != good {
		t.Fatalf("tags %+v", got.Tags)
	}
	wantReason(t, got.Tags[1].Err, trust.Unsigned) // bob is not asked for
	if role, at := got.NextExpiry(); role != "timestamp" || !at.Equal(got.Until) {
		t.Errorf("expires first: %s at %v, until %v", role, at, got.Until)
	}
	if digests := got.Digests(); len(digests) != 1 || digests[0] != good {
		t.Errorf("digests %v", digests)
	}
}

// TestRenewBy counts what a server renews only where no server answers.
func TestRenewBy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	signed, err := b.verify(t, gun+":v1")
	must(t, err)
	if !signed.RenewBy.IsZero() {
		t.Errorf("a timestamp that its server renews is announced: %v", signed.RenewBy)
	}
	b.now = b.now.Add(time.Hour)
	b.server.Fault(status(http.StatusServiceUnavailable))
	signed, err = b.verify(t, gun+":v1")
	must(t, err)
	if !signed.RenewBy.Equal(signed.Expires) || signed.RenewBy.IsZero() {
		t.Errorf("the cache's end is not announced: %v", signed.RenewBy)
	}
	b.server.Fault(nil)
	due := b.now.Add(10 * 24 * time.Hour).Truncate(time.Second)
	b.Expires["targets/releases"] = due
	b.Sign("v1", good, "targets/releases")
	b.Publish()
	signed, err = b.verify(t, gun+":v1")
	must(t, err)
	if !signed.RenewBy.Equal(due) {
		t.Errorf("got %v, want %v", signed.RenewBy, due)
	}
}

// TestCandidate shows a root that nobody has pinned, and keeps nothing of it.
func TestCandidate(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	right := b.scope.RootKeys
	b.scope.RootKeys = nil
	v := notary.New(b.opts)
	got, err := v.Candidate(t.Context(), named(gun), b.scope)
	must(t, err)
	if len(got.Keys) != 1 || got.Keys[0].ID != right[0] || got.Keys[0].CertificateID != b.RootKey().ID() || got.Version != 1 {
		t.Errorf("got %+v", got)
	}
	if names, err := v.Repositories(); err != nil || len(names) != 0 {
		t.Errorf("kept %v, %v", names, err)
	}
	b.Impersonate(b.RootKey()) // lists a key that has not signed
	got, err = v.Candidate(t.Context(), named(gun), b.scope)
	must(t, err)
	for _, key := range got.Keys {
		if key.ID == right[0] {
			t.Error("a key is offered that did not sign")
		}
	}
	_, err = v.Candidate(t.Context(), named("registry.example.com/prod/none"), b.scope)
	wantReason(t, err, trust.Unsigned)
}

// TestCopy carries a repository to where no server is: by another key of the
// chain, never backwards, and until it expires.
func TestCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := b.scope
	first, _, err := notary.New(b.opts).Copy(t.Context(), named(gun), b.scope)
	must(t, err)
	b.RotateRoot()
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	b.scope.RootKeys = []string{b.RootKeyID()} // the new one alone
	exporter := b.opts
	exporter.CacheDir = t.TempDir()
	second, described, err := notary.New(exporter).Copy(t.Context(), named(gun), b.scope)
	must(t, err)
	if len(second.Roots) < 2 {
		t.Errorf("%d roots: whoever pins the first key cannot follow", len(second.Roots))
	}

	old.Servers = nil
	b.opts.CacheDir = t.TempDir()
	far := notary.New(b.opts)
	_, err = far.Check(t.Context(), named(gun), old, second)
	must(t, err)
	_, err = far.Kept(t.Context(), named(gun), old)
	if err == nil {
		t.Error("a look keeps something")
	}
	adopted, err := far.Adopt(t.Context(), named(gun), old, second)
	must(t, err)
	if adopted.Source != trust.Bundle || !adopted.Until.Equal(described.Until) {
		t.Errorf("got %+v", adopted)
	}
	b.scope = old
	signed, err := b.verifyWith(t, far, gun+":v1")
	must(t, err)
	if signed.Digest != other || signed.Source != trust.Bundle {
		t.Errorf("got %+v", signed)
	}
	_, err = far.Adopt(t.Context(), named(gun), old, first)
	wantReason(t, err, trust.Rollback)
	_, err = far.Adopt(t.Context(), named(gun), old, second) // again: nothing new
	must(t, err)
	foreign := old
	foreign.RootKeys = []string{digest.FromString("x").Encoded()}
	_, err = notary.New(notary.Options{Now: b.opts.Now, CacheDir: t.TempDir()}).Adopt(t.Context(), named(gun), foreign, second)
	wantReason(t, err, trust.UnknownSigner)
	b.now = b.now.AddDate(0, 0, 15)
	_, err = b.verifyWith(t, far, gun+":v1")
	wantReason(t, err, trust.Expired)
	_, err = far.Adopt(t.Context(), named(gun), old, second)
	wantReason(t, err, trust.Expired)
	b.scope.AllowExpired = 30 * 24 * time.Hour
	_, err = b.verifyWith(t, far, gun+":v1")
	must(t, err)
	if names, err := far.Repositories(); err != nil || len(names) != 1 || names[0] != gun {
		t.Errorf("known: %v, %v", names, err)
	}
}

// TestCopyOfTheCacheIsNoNews: what a server did not say now is not exported.
func TestCopyOfTheCacheIsNoNews(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.server.Fault(status(http.StatusServiceUnavailable))
	_, _, err = notary.New(b.opts).Copy(t.Context(), named(gun), b.scope)
	wantReason(t, err, trust.Unreachable)
}
