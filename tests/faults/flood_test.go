package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

const (
	floodSize = 2000
	// bodyBytes is a large body, within what the engine passes on: 1 MiB on
	// old engines, 4 MiB on others.
	bodyBytes = 900 << 10
	// memoryMax is what the unit allows the plugin.
	memoryMax = 768 << 20 // bytes
	// listed is how long a list of containers may take beside a flood that the
	// engine itself has to swallow.
	listed = 10 * time.Second
)

// flooded sends two thousand creates at once. One in four has a large body, and
// one in four asks for a repository that nobody has heard of.
func flooded(t *testing.T, b *bed) {
	t.Helper()
	large := append(bytes.Repeat([]byte(" "), bodyBytes), fmt.Appendf(nil, `{"Image":%q,"HostConfig":{"NetworkMode":"none"}}`, b.unsigned.Ref)...)
	var denied, through, failed atomic.Int64
	var slowest atomic.Int64
	var flood sync.WaitGroup
	gate := make(chan struct{})
	c := newClient(b)
	for i := range floodSize {
		name := b.name("flood")
		var body any = container(b.unsigned.Ref)
		switch i % 4 {
		case 0:
			body = large
		case 1:
			body = container(fmt.Sprintf("%s/prod/flood%d:1", b.Registry(), i))
		}
		flood.Go(func() {
			<-gate
			got, err := c.ask(t.Context(), http.MethodPost, "/containers/create?name="+name, body)
			slowest.Store(max(slowest.Load(), int64(got.took)))
			switch {
			case err != nil:
				failed.Add(1)
			case got.code == http.StatusCreated:
				through.Add(1)
			case got.denied():
				denied.Add(1)
			}
		})
	}
	over := make(chan struct{})
	close(gate)
	go func() { flood.Wait(); close(over) }()
	lists := b.listsUntil(t, over)
	t.Logf("%d creates: %d denied, %d without answer, the slowest took %v; %d lists meanwhile, the slowest took %v; the plugin held %d MiB at most",
		floodSize, denied.Load(), failed.Load(), time.Duration(slowest.Load()).Round(time.Millisecond), lists.count, lists.slowest.Round(time.Millisecond), b.plugin.size(t, "VmHWM")>>20)
	if through.Load() != 0 {
		t.Errorf("%d creates were LET THROUGH", through.Load())
	}
	if denied.Load() < floodSize*9/10 {
		t.Errorf("only %d of %d creates were denied", denied.Load(), floodSize)
	}
	if lists.count == 0 || lists.slowest > listed {
		t.Errorf("%d lists beside the flood, the slowest took %v", lists.count, lists.slowest)
	}
	if peak := b.plugin.size(t, "VmHWM"); peak > memoryMax {
		t.Errorf("the plugin took %d MiB, and systemd would end it at %d", peak>>20, memoryMax>>20)
	}
}

type lists struct {
	count   int
	slowest time.Duration
}

// listsUntil lists containers until something is over.
func (b *bed) listsUntil(t *testing.T, over <-chan struct{}) lists {
	t.Helper()
	var all lists
	c := newClient(b)
	defer c.CloseIdleConnections()
	for {
		select {
		case <-over:
			return all
		default:
		}
		got, err := c.ask(t.Context(), http.MethodGet, "/containers/json", nil)
		if err != nil || got.code != http.StatusOK {
			t.Errorf("a list beside the flood: %+v, %v", got, err)
		}
		all.count++
		all.slowest = max(all.slowest, got.took)
	}
}

// restarts is how often the engine is restarted under load. The second takes
// twice as long over it.
var restarts = map[testbed.Engine]int{testbed.Docker: 5, testbed.Moby: 3}

// engineRestarted restarts the engine under the plugin, which goes on.
func engineRestarted(t *testing.T, b *bed) {
	t.Helper()
	process := b.plugin.process.Process.Pid
	l := b.begin(t)
	for range restarts[b.kind] {
		l.answered(t, 2*clients)
		if err := b.RestartEngine(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	l.answered(t, 2*clients)
	l.end(t)
	if b.plugin.process.Process.Pid != process || b.plugin.files(t) == 0 {
		t.Error("the plugin did not outlive its engine")
	}
}
