package notary_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/theupdateframework/notary/tuf/data"
)

// What these attackers hold is said of each; unless it is, they hold the
// online keys: those of timestamp and snapshot, which a Notary server keeps.

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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
