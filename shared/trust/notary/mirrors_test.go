package notary_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
)

// mirror is a second server with what the first one has now.
func (b *bench) mirror(t *testing.T) *trusttest.Notary {
	t.Helper()
	mirror := trusttest.NewNotary(t)
	mirror.SetState(b.server.State())
	b.scope.Servers = []string{b.server.URL, mirror.URL}
	return mirror
}

// TestDeadServerCostsNoTimeout: the next server is asked after half a second,
// and the one that was silent is asked last from then on.
func TestDeadServerCostsNoTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Timeout = 20 * time.Second
	mirror := b.mirror(t)
	b.server.Fault(silent)
	v := notary.New(b.opts)
	began := time.Now()
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the first question took %v, the timeout's time", took)
	}
	b.server.Requests()
	for range 3 {
		_, err = b.verifyWith(t, v, gun+":v1")
		must(t, err)
	}
	if asked := b.server.Requests(); len(asked) != 0 {
		t.Errorf("the silent server was asked again at once: %v", asked)
	}
	if len(mirror.Requests()) == 0 {
		t.Error("the mirror was not asked")
	}
	b.server.Fault(nil)
	b.now = b.now.Add(time.Minute)
	_, err = b.verifyWith(t, v, gun+":v1")
	must(t, err)
	if len(b.server.Requests()) == 0 {
		t.Error("the server was never asked again")
	}
}

// TestMirrorRolledBack: older metadata is tried past and reported, wherever in
// the order its server stands.
func TestMirrorRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	mirror := b.mirror(t) // has version 1, for good
	var log bytes.Buffer
	b.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.scope.Servers = []string{mirror.URL, b.server.URL}
	signed, err := b.verify(t, gun+":v1")
	must(t, err)
	if signed.Digest != other || signed.Source != trust.Server {
		t.Errorf("got %+v, want the newer digest from the server", signed)
	}
	if text := log.String(); !strings.Contains(text, mirror.URL) || !strings.Contains(text, "rollback") {
		t.Errorf("the rollback is not reported: %q", text)
	}
	b.scope.Servers = []string{mirror.URL}
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Rollback)
}

// TestMirrorFrozen: expired metadata of one server does not keep the fresh
// metadata of another from being found.
func TestMirrorFrozen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Expires["timestamp"] = time.Now().Add(time.Hour)
	b.Publish()
	b.mirror(t)
	b.Expires["timestamp"] = time.Now().Add(48 * time.Hour)
	b.Publish()
	b.scope.Servers = []string{b.scope.Servers[1], b.scope.Servers[0]}
	b.now = b.now.Add(24 * time.Hour)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
}

// TestPartialMirror: a mirror need not have every repository.
func TestPartialMirror(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	empty := trusttest.NewNotary(t)
	b.scope.Servers = []string{empty.URL, b.server.URL}
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.server.Fault(status(http.StatusServiceUnavailable))
	_, err = b.verify(t, gun+":v2")
	wantReason(t, err, trust.Unsigned) // a no outranks a silence
}

// TestNoServer: a site may have none, and is told what that means.
func TestNoServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.scope.Servers = nil
	_, err := b.verify(t, gun+":v1")
	wantReason(t, err, trust.Unreachable)
	if !strings.Contains(trust.Explain(err), "docker stig trust import") {
		t.Errorf("no way on is shown: %v", trust.Explain(err))
	}
}

// TestSlowServerDoesNotHoldUpWhatIsKnown: a question waits for a slow round as
// long as one answer may take, and then has what was verified before.
func TestSlowServerDoesNotHoldUpWhatIsKnown(t *testing.T) {
	t.Parallel()
	for name, fresh := range map[string]bool{"in memory": false, "on disk": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.opts.Refresh = time.Minute
			v := notary.New(b.opts)
			_, err := b.verifyWith(t, v, gun+":v1")
			must(t, err)
			if fresh {
				v = notary.New(b.opts)
			}
			held := make(chan struct{})
			defer close(held)
			b.opts.Timeout = time.Second
			// Each answer comes in time, and all of them together do not.
			state := b.server.State()
			b.server.Fault(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-held:
				case <-r.Context().Done():
				case <-time.After(400 * time.Millisecond):
				}
				_, _ = w.Write(state[r.URL.Path])
			})
			b.now = b.now.Add(2 * time.Minute)
			signed, err := b.verifyWith(t, v, gun+":v1")
			must(t, err)
			if signed.Digest != good {
				t.Errorf("got %+v", signed)
			}
		})
	}
}
