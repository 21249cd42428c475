package notary_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// TestChanged: who wants to know is told of other metadata, of a refusal and
// of its end, and of nothing else.
func TestChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var told []string
	b.opts.Refresh = time.Minute
	b.opts.Changed = func(gun string) { told = append(told, gun) }
	v := notary.New(b.opts)
	renew := func() {
		b.now = b.now.Add(2 * time.Minute)
		_, _ = b.verifyWith(t, v, gun+":v1") // what comes of it is told
	}
	steps := []struct {
		what string
		do   func()
		want int
	}{
		{"first known", func() {}, 0},
		{"nothing new", func() {}, 0},
		{"another digest", func() { b.Sign("v1", other, "targets/releases", "targets/alice"); b.Publish() }, 1},
		{"no answer", func() { b.server.Fault(status(http.StatusBadGateway)) }, 0},
		{"refused", func() { b.server.Fault(status(http.StatusNotFound)) }, 1},
		{"still refused", func() {}, 0},
		{"back again", func() { b.server.Fault(nil) }, 1},
	}
	for _, step := range steps {
		told = nil
		step.do()
		renew()
		if want := slices.Repeat([]string{gun}, step.want); !slices.Equal(told, want) {
			t.Errorf("%s: told %v, want %v", step.what, told, want)
		}
	}
	stats := v.Stats()
	scope := stats.Scopes[b.scope.Pattern]
	if stats.Repositories != 1 || stats.Bytes == 0 || !scope.Verified.Equal(b.now) || !scope.Until.After(b.now) {
		t.Errorf("at %v: got %+v", b.now, stats)
	}
}
