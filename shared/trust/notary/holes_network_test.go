package notary_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
)

// What may come of a server that is slow, or wrong for a while.

// slow makes the server keep every answer back until release, and verifiers
// made from then on lose their patience long before they hang up.
func (b *bench) slow(state trusttest.State) (release func()) {
	held := make(chan struct{})
	b.opts.Timeout = 200 * time.Millisecond
	b.opts.Clients = access.New(access.Options{Timeout: 20 * time.Second})
	b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
		raw, ok := state[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(raw)
	})
	return func() { close(held) }
}

// TestSlowServerHidesNothing: a process whose patience with a server ends
// answers by what all processes have seen, and not by what it saw itself.
func TestSlowServerHidesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh = time.Minute
	old := b.server.State()
	release := b.slow(old)
	defer release()
	slow := b.opts
	b.server.Fault(nil)
	b.opts.Timeout, slow.Timeout = 20*time.Second, 20*time.Second
	daemon := notary.New(slow)
	_, err := b.verifyWith(t, daemon, gun+":v1")
	must(t, err)
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err = b.verify(t, gun+":v1") // the command sees it first
	must(t, err)
	notary.SetPatience(daemon, 200*time.Millisecond)
	b.slow(old)
	for range 3 {
		b.now = b.now.Add(2 * time.Minute)
		signed, err := b.verifyWith(t, daemon, gun+":v1")
		must(t, err)
		wantOneOf(t, signed, err, []digest.Digest{other})
	}
}
