package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// A start is the engine's event of one.
type start struct {
	Actor struct {
		ID         string
		Attributes map[string]string
	}
	TimeNano int64 `json:"timeNano"`
}

// A witness follows the engine's own word of what starts, for as long as the
// test lasts. Containers that are gone by the end have started for it all the
// same. The engine names the image as the create did.
type witness struct {
	signed   map[string]bool // references and IDs of what may start
	forgiven map[string]bool // containers that started on purpose

	mu   sync.Mutex
	seen []start
	last int64
}

func follow(t *testing.T, b *bed) *witness {
	t.Helper()
	w := &witness{signed: map[string]bool{b.signed.Ref: true, b.signed.ID: true}, forgiven: map[string]bool{}, last: time.Now().UnixNano()}
	ctx, cancel := context.WithCancel(t.Context())
	done, listening := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(done)
		for ctx.Err() == nil { // the engine ends a stream when it restarts
			w.listen(ctx, newClient(b), listening)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-listening
	return w
}

func (w *witness) listen(ctx context.Context, c client, listening chan<- struct{}) {
	defer c.CloseIdleConnections()
	w.mu.Lock()
	since := w.last
	w.mu.Unlock()
	query := url.Values{
		"filters": {`{"type":["container"],"event":["start","restart","unpause","exec_start"]}`},
		"since":   {fmt.Sprintf("%d.%09d", since/1e9, since%1e9)},
	}
	req, err := request(ctx, http.MethodGet, "/events?"+query.Encode(), nil)
	if err != nil {
		return
	}
	resp, err := c.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return
	}
	select {
	case listening <- struct{}{}:
	default: // nobody waits any more
	}
	w.read(resp.Body)
}

func (w *witness) read(stream io.Reader) {
	for dec := json.NewDecoder(stream); ; {
		var s start
		if dec.Decode(&s) != nil {
			return
		}
		w.mu.Lock()
		w.last = max(w.last, s.TimeNano)
		w.seen = append(w.seen, s)
		w.mu.Unlock()
	}
}

// strangers are the starts of other than signed content.
func (w *witness) strangers() []start {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.seen), func(s start) bool {
		return w.signed[s.Actor.Attributes["image"]] || w.forgiven[s.Actor.ID]
	})
}

// witnessSees starts unsigned content while the engine asks no plugin yet, and
// removes it: both ways of looking must see it, or they would see nothing later.
func witnessSees(t *testing.T, b *bed) {
	t.Helper()
	id, got, err := b.client.create(t.Context(), b.name("control"), b.unsigned.Ref)
	if err != nil || id == "" {
		t.Fatalf("creating: %+v, %v", got, err)
	}
	if got, err := b.client.ask(t.Context(), http.MethodPost, "/containers/"+id+"/start", nil); err != nil || got.code != http.StatusNoContent {
		t.Fatalf("starting: %+v, %v", got, err)
	}
	list, err := b.Containers(t.Context())
	if err != nil || !slices.ContainsFunc(list, func(c testbed.Container) bool { return c.ID == id && !c.Started.IsZero() && !b.isSigned(c.ImageID) }) {
		t.Errorf("the unsigned container that started does not show: %+v, %v", list, err)
	}
	if got, err := b.client.ask(t.Context(), http.MethodDelete, "/containers/"+id+"?force=1", nil); err != nil || got.code != http.StatusNoContent {
		t.Fatalf("removing: %+v, %v", got, err)
	}
	await(t, "the witness to see an unsigned start", func() bool { return len(b.witness.strangers()) == 1 })
	b.witness.forgiven[id] = true
	b.enforce(t)
}
