package notary_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// TestClockSetBack: metadata that had expired by the time the clock once showed
// is not made fresh by setting it back, whoever serves it.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	began := b.now
	b.Expires["timestamp"] = began.Add(24 * time.Hour)
	b.Publish()
	b.now = began.Add(23 * time.Hour)
	v := notary.New(b.opts)
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	b.now = began.Add(time.Hour)
	_, err = b.verifyWith(t, v, gun+":v1")
	must(t, err) // it is fresh at the later time, too

	b.Expires["timestamp"] = began.Add(2 * time.Hour)
	b.Publish()
	for name, v := range map[string]*notary.Verifier{"the same process": v, "the next": notary.New(b.opts)} {
		_, err = b.verifyWith(t, v, gun+":v1")
		wantReason(t, err, trust.Expired)
		if !strings.Contains(err.Error(), "clock has been set back") {
			t.Errorf("%s does not name the clock: %v", name, err)
		}
	}
}

// TestClockAhead: where our clock and the server's differ, a refusal for age
// names both.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.now = b.now.AddDate(0, 0, 20)
	_, err := b.verify(t, gun+":v1")
	wantReason(t, err, trust.Expired)
	if !strings.Contains(err.Error(), "this machine's clock says") || !strings.Contains(trust.Advice(err), "clock") {
		t.Errorf("the clocks are not named: %v", trust.Explain(err))
	}
}

// TestWrongClockIsNotKept: a clock that was ahead of all metadata leaves
// nothing behind when it is right again.
func TestWrongClockIsNotKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.scope.AllowExpired = notary.Unbounded
	right := b.now
	b.now = right.AddDate(1, 0, 0)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.scope.AllowExpired = 0
	b.now = right
	_, err = b.verify(t, gun+":v1")
	must(t, err)
}

// TestDayFifteen: what was verified serves while no server answers until its
// timestamp's own end, and a bounded time longer where the scope allows it.
func TestDayFifteen(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.server.Fault(status(http.StatusServiceUnavailable))
	began := b.now
	for _, day := range []struct {
		days    int
		allowed time.Duration
		want    trust.Reason
	}{
		{13, 0, ""},
		{15, 0, trust.Expired},
		{15, 30 * 24 * time.Hour, ""},
		{43, 30 * 24 * time.Hour, ""},
		{45, 30 * 24 * time.Hour, trust.Expired},
	} {
		b.now = began.AddDate(0, 0, day.days)
		b.scope.AllowExpired = day.allowed
		signed, err := b.verify(t, gun+":v1")
		if day.want == "" {
			must(t, err)
			if signed.Source != trust.Cache {
				t.Errorf("day %d: source %q", day.days, signed.Source)
			}
			continue
		}
		wantReason(t, err, day.want)
	}
}

// TestFastForwardEnds: versions that a stolen online key pushed up do not bind
// once the root has taken that key away (TUF 1.0.31, 5.3.11).
func TestFastForwardEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before := b.server.State()
	b.TUF.Timestamp.Signed.Version += 1_000_000
	b.PublishSnapshot()
	_, err := b.verify(t, gun+":v1")
	must(t, err)
	b.server.SetState(before)
	_, err = b.verify(t, gun+":v1")
	wantReason(t, err, trust.Rollback)
	b.TUF.Timestamp.Signed.Version = 5
	must(t, b.TUF.ReplaceBaseKeys("timestamp", b.NewKey("timestamp")))
	b.Publish()
	_, err = b.verify(t, gun+":v1")
	must(t, err)
}
