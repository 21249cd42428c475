package notary_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/theupdateframework/notary/tuf/data"
)

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
	b.rollBack(t, v)
	_, err := b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// rollBack has v see a newer version of the repository than is served from now
// on.
func (b *bench) rollBack(t *testing.T, v *notary.Verifier) {
	t.Helper()
	before := b.server.State()
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.server.SetState(before)
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
