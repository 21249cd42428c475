package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clients is how many of them make a load.
const clients = 8

// awayPause is how long a client leaves an engine alone that is not there.
const awayPause = 20 * time.Millisecond

// A load is what several clients ask of an engine at the same time: signed and
// unsigned, judged and harmless, until it ends.
type load struct {
	*bed
	cancel context.CancelFunc
	done   sync.WaitGroup

	requests, underway    atomic.Int64
	allowed, denied, cut  atomic.Int64 // of what is judged
	harmless              atomic.Int64
	harmlessOf, allowedOf atomic.Int64 // asked for; the rest got no good answer

	mu       sync.Mutex
	slowest  time.Duration
	slow     string
	through  []string // that should not have been allowed
	unwanted []string // refusals of what is signed or harmless
}

// A deed is one thing that a client does; name is its own.
type deed func(l *load, ctx context.Context, c client, name string)

// deeds are what all clients do in turn, each beginning elsewhere.
var deeds = []deed{
	(*load).runSigned, (*load).list, (*load).createUnsigned, (*load).startOld,
	(*load).pullSigned, (*load).createMoved, (*load).stopAndLogs, (*load).pullUnsigned,
}

// begin starts a load. It ends with the test at the latest.
func (b *bed) begin(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{bed: b, cancel: cancel}
	for i := range clients {
		prefix := b.name("load")
		l.done.Go(func() {
			c := newClient(b)
			defer c.CloseIdleConnections()
			for n := i; ctx.Err() == nil; n++ {
				// What is begun is ended: a request that the client gave up
				// would not tell how long it takes.
				deeds[n%len(deeds)](l, context.WithoutCancel(ctx), c, fmt.Sprintf("%s-%d", prefix, n))
			}
		})
	}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	return l
}

// end ends a load and wants nothing let through, nobody kept waiting, and that
// it was one.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	t.Logf("%d requests: %d of %d allowed, %d denied, %d cut, %d of %d harmless ones answered; the slowest took %v (%s)",
		l.requests.Load(), l.allowed.Load(), l.allowedOf.Load(), l.denied.Load(), l.cut.Load(), l.harmless.Load(), l.harmlessOf.Load(), l.slowest.Round(time.Millisecond), l.slow)
	for _, what := range l.through {
		t.Errorf("LET THROUGH: %s", what)
	}
	if l.slowest > deadline {
		t.Errorf("%s took %v, and nothing may take longer than %v", l.slow, l.slowest, deadline)
	}
	if l.allowed.Load() == 0 || l.denied.Load() == 0 || l.harmless.Load() == 0 {
		t.Error("the load was none: it takes allowed, denied and harmless requests to prove something")
	}
}

// nothingRefused wants every request that is signed or harmless to have had
// its good answer.
func (l *load) nothingRefused(t *testing.T) {
	t.Helper()
	for _, what := range l.unwanted {
		t.Errorf("refused: %s", what)
	}
}

// ask is a client's, timed. More than hopeless, nobody waits.
func (l *load) ask(ctx context.Context, c client, method, path string, body any) (answer, error) {
	const hopeless = 4 * deadline
	ctx, cancel := context.WithTimeout(ctx, hopeless)
	defer cancel()
	l.underway.Add(1)
	got, err := c.ask(ctx, method, path, body)
	l.underway.Add(-1)
	l.requests.Add(1)
	if got.cut() {
		l.cut.Add(1)
	}
	if err != nil {
		time.Sleep(awayPause)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if got.took > l.slowest {
		l.slowest, l.slow = got.took, method+" "+path
	}
	return got, err
}

// good asks for what is signed or harmless and reports whether the engine did
// it.
func (l *load) good(ctx context.Context, c client, asked, done *atomic.Int64, method, path string, body any) bool {
	asked.Add(1)
	got, err := l.ask(ctx, c, method, path, body)
	if err == nil && (got.code < 400 || !got.denied()) && !strings.Contains(got.body, `"errorDetail"`) {
		done.Add(1)
		return got.code < 400
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwanted = append(l.unwanted, fmt.Sprintf("%s %s: %d %.300s %v", method, path, got.code, got.body, err))
	return false
}

// bad asks for what must be refused. An engine that is away refuses, too.
func (l *load) bad(ctx context.Context, c client, path string, body any) {
	got, err := l.ask(ctx, c, http.MethodPost, path, body)
	if err != nil {
		return
	}
	if got.denied() {
		l.denied.Add(1)
		return
	}
	if got.code < 300 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.through = append(l.through, fmt.Sprintf("%s: %d %.300s", path, got.code, got.body))
	}
}

func (l *load) runSigned(ctx context.Context, c client, name string) {
	if l.good(ctx, c, &l.allowedOf, &l.allowed, http.MethodPost, "/containers/create?name="+name, container(l.signed.Ref)) {
		l.good(ctx, c, &l.allowedOf, &l.allowed, http.MethodPost, "/containers/"+name+"/start", nil)
	}
	l.good(ctx, c, &l.harmlessOf, &l.harmless, http.MethodGet, "/containers/"+name+"/logs?stdout=1", nil)
	l.good(ctx, c, &l.harmlessOf, &l.harmless, http.MethodDelete, "/containers/"+name+"?force=1", nil)
}

func (l *load) list(ctx context.Context, c client, _ string) {
	for range 5 {
		l.good(ctx, c, &l.harmlessOf, &l.harmless, http.MethodGet, "/containers/json?all=1", nil)
	}
}

// createUnsigned asks for it by name and by ID, and tries to start what came
// of it.
func (l *load) createUnsigned(ctx context.Context, c client, name string) {
	for _, image := range []string{l.unsigned.Ref, l.unsigned.ID} {
		l.bad(ctx, c, "/containers/create?name="+name, container(image))
		l.bad(ctx, c, "/containers/"+name+"/start", nil)
	}
}

func (l *load) createMoved(ctx context.Context, c client, name string) {
	l.bad(ctx, c, "/containers/create?name="+name, container(l.moved.Ref))
	l.bad(ctx, c, "/containers/"+name+"/start", nil)
}

func (l *load) startOld(ctx context.Context, c client, _ string) {
	for _, name := range []string{oldName, l.old, l.old[:12]} {
		for _, verb := range []string{"start", "restart"} {
			l.bad(ctx, c, "/containers/"+name+"/"+verb, nil)
		}
	}
}

func (l *load) stopAndLogs(ctx context.Context, c client, _ string) {
	l.good(ctx, c, &l.harmlessOf, &l.harmless, http.MethodPost, "/containers/"+oldName+"/stop?t=0", nil)
	l.good(ctx, c, &l.harmlessOf, &l.harmless, http.MethodGet, "/containers/"+oldName+"/logs?stdout=1", nil)
}

func (l *load) pullSigned(ctx context.Context, c client, _ string) {
	l.good(ctx, c, &l.allowedOf, &l.allowed, http.MethodPost, pull(l.signed.Ref), nil)
}

func (l *load) pullUnsigned(ctx context.Context, c client, _ string) {
	l.bad(ctx, c, pull(l.unsigned.Ref), nil)
}

func pull(ref string) string {
	colon := strings.LastIndexByte(ref, ':')
	return "/images/create?" + url.Values{"fromImage": {ref[:colon]}, "tag": {ref[colon+1:]}}.Encode()
}

// answered waits until the load has had some more answers.
func (l *load) answered(t *testing.T, more int64) {
	t.Helper()
	from := l.requests.Load()
	await(t, "answers to the load", func() bool { return l.requests.Load() >= from+more })
}
