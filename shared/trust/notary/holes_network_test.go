package notary_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

// What a server may not bring about by being slow, or wrong for a while.

// patience is how long an impatient verifier waits for a round.
const patience = 200 * time.Millisecond

// impatient is a verifier that loses its patience long before it hangs up.
func (b *bench) impatient() *notary.Verifier {
	opts := b.opts
	opts.Timeout, opts.Clients = patience, access.New(access.Options{Timeout: 20 * time.Second})
	return notary.New(opts)
}

// hold makes the server keep back every answer, to be what state has.
func (b *bench) hold(t *testing.T, state trusttest.State) (release func()) {
	t.Helper()
	held := make(chan struct{})
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
		if raw, ok := state[r.URL.Path]; ok {
			_, _ = w.Write(raw)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	return release
}

// TestSlowServerHidesNothing: when its patience ends a process answers by what
// all processes have seen, and not by what it saw itself.
func TestSlowServerHidesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh, b.opts.Timeout = time.Minute, 20*time.Second
	daemon := b.impatient()
	_, err := b.verifyWith(t, daemon, gun+":v1")
	must(t, err)
	old := b.server.State()
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err = b.verify(t, gun+":v1") // the command sees it first
	must(t, err)
	b.now = b.now.Add(2 * time.Minute)
	release := b.hold(t, old)
	for range 3 {
		signed, err := b.verifyWith(t, daemon, gun+":v1")
		must(t, err)
		wantOneOf(t, signed, err, []digest.Digest{other})
	}
	release()
	signed, err := b.verifyWith(t, daemon, gun+":v1")
	wantOneOf(t, signed, err, []digest.Digest{other})
}

// TestSlowServerTakesNoRefusalBack: after a no, silence is not a yes.
func TestSlowServerTakesNoRefusalBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh, b.opts.Timeout = time.Minute, 20*time.Second
	v := b.impatient()
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.server.SetState(nil)
	b.now = b.now.Add(2 * time.Minute)
	_, err = b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Unsigned)
	b.now = b.now.Add(10 * time.Second)
	b.hold(t, nil)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
		signed, err := v.Verify(ctx, trust.Question{Ref: named(gun + ":v1")}, b.scope)
		cancel()
		if err == nil {
			t.Errorf("accepted after a refusal: %+v", signed)
		}
	}
}

// TestRefusalIsNotPushedOut: a no that nobody waited for is not forgotten over
// questions about names that nobody answers for, however many there are.
func TestRefusalIsNotPushedOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh = time.Hour
	v := notary.New(b.opts)
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.server.SetState(nil)
	b.now = b.now.Add(14 * time.Minute)
	notary.Renew(t.Context(), v, 12*time.Minute)
	nowhere := *b
	nowhere.scope.Servers = nil
	for i := range 1001 { // one more than are remembered
		_, err := nowhere.verifyWith(t, v, fmt.Sprintf("registry.example.com/prod/none%d:1", i))
		wantReason(t, err, trust.Unreachable)
	}
	_, err = b.verifyWith(t, v, gun+":v1")
	wantReason(t, err, trust.Unsigned)
}

// spoiled has the form of metadata, and no signature.
func spoiled([]byte) []byte { return []byte(`{"signed":{},"signatures":[]}`) }

// TestBadBytesDoNotLast: what somebody without any key put in the place of a
// role does no harm once the server is itself again, whether the scope rests on
// that role or, later, another one does.
func TestBadBytesDoNotLast(t *testing.T) {
	t.Parallel()
	for role, want := range map[data.RoleName]trust.Reason{"targets/releases": trust.BadSignature, "targets/alice": ""} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.opts.Refresh = time.Minute
			v := notary.New(b.opts)
			honest := b.server.State()
			b.server.Spoil(gun, role, spoiled)
			_, err := b.verifyWith(t, v, gun+":v1")
			if want == "" {
				must(t, err)
			} else {
				wantReason(t, err, want)
			}
			b.server.SetState(honest)
			for _, v := range []*notary.Verifier{v, notary.New(b.opts)} {
				b.now = b.now.Add(2 * time.Minute)
				signed, err := b.verifyWith(t, v, gun+":v1")
				must(t, err)
				if !slices.Equal(signed.Signers, []string{"alice"}) {
					t.Errorf("signers %v, want alice", signed.Signers)
				}
			}
			b.scope.Signers = []string{"alice"}
			_, err = b.verifyWith(t, v, gun+":v1")
			must(t, err)
		})
	}
}

// TestBadBytesAreTriedPast: another server may have the bytes that were signed.
func TestBadBytesAreTriedPast(t *testing.T) {
	t.Parallel()
	for _, role := range []data.RoleName{"root", "timestamp", "snapshot", "targets", "targets/releases"} {
		b := newBench(t)
		b.mirror(t)
		b.server.Spoil(gun, role, spoiled)
		if _, err := b.verify(t, gun+":v1"); err != nil {
			t.Errorf("%s: the mirror does not help: %v", role, err)
		}
	}
}
