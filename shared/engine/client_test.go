package engine

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust"
)

const (
	imageID     = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	containerID = "aaaa000000000000000000000000000000000000000000000000000000000000"
)

func TestClientReadsAndRemoves(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd().Start(t)
	engine.Images = []enginetest.Image{{ID: imageID, RepoTags: []string{"localhost:5000/app:v1"}, RepoDigests: []string{"localhost:5000/app@" + imageID}}}
	engine.Add(containerID, "web", imageID, "localhost:5000/app:v1", enginetest.Mount{Type: "bind", Source: "/"}, enginetest.Mount{Type: "image", Source: "m"})
	c := NewClient(engine.URL(), time.Now)
	t.Cleanup(func() { _ = c.Close() })

	image, err := c.Image(t.Context(), "localhost:5000/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(HeldImage{ID: imageID, RepoTags: []string{"localhost:5000/app:v1"}, RepoDigests: []string{"localhost:5000/app@" + imageID}}, image); diff != "" {
		t.Errorf("image:\n%s", diff)
	}
	got, err := c.Container(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	want := Container{ID: containerID, Name: "web", ImageID: imageID, ImageName: "localhost:5000/app:v1"}
	if mounts := ImageMounts(got.Host.Mounts); !slices.Equal(mounts, []string{"m"}) {
		t.Errorf("image mounts %v", mounts)
	}
	got.Host = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("container:\n%s", diff)
	}
	all, err := c.Containers(t.Context())
	listed := []Container{{ID: containerID, Name: "web", ImageName: "localhost:5000/app:v1", Running: true}}
	if diff := cmp.Diff(listed, all); err != nil || diff != "" {
		t.Errorf("list: %v\n%s", err, diff)
	}
	for range 2 { // gone already is no error
		if err := c.RemoveContainer(t.Context(), containerID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Container(t.Context(), "web"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a container that is gone: %v", err)
	}
	for _, asked := range engine.Asked() {
		method, _, _ := strings.Cut(asked, " ")
		if method != http.MethodGet && method != http.MethodHead && asked != "DELETE /containers/"+containerID {
			t.Errorf("the client did %s", asked)
		}
	}
}

// The store is asked once for all, and again when the answer is old.
func TestStoreIsRememberedForAWhile(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd().Start(t)
	var clock atomic.Int64
	c := NewClient(engine.URL(), func() time.Time { return time.Unix(clock.Load(), 0) })
	t.Cleanup(func() { _ = c.Close() })
	infos := func() int {
		n := 0
		for _, asked := range engine.Asked() {
			if asked == "GET /info" {
				n++
			}
		}
		return n
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if store, err := c.Store(t.Context()); err != nil || store != trust.ContainerdStore {
				t.Errorf("store %q, %v", store, err)
			}
		})
	}
	group.Wait()
	before := infos()
	if before == 0 || before > 20 {
		t.Fatalf("asked %d times", before)
	}
	clock.Store(int64(sessionAge/time.Second) - 1)
	if _, err := c.Store(t.Context()); err != nil || infos() != before {
		t.Errorf("asked again too early (%v)", err)
	}
	clock.Store(int64((sessionAge + staleAge) / time.Second))
	if _, err := c.Store(t.Context()); err != nil || infos() != before+1 {
		t.Errorf("asked %d times, want %d (%v)", infos(), before+1, err)
	}
	c.Forget()
	if _, err := c.Store(t.Context()); err != nil || infos() != before+2 {
		t.Errorf("asked %d times, want %d (%v)", infos(), before+2, err)
	}
}

// An old answer serves while the engine is asked again.
func TestNobodyWaitsForAnAnswerThatIsOld(t *testing.T) {
	t.Parallel()
	var clock, infos atomic.Int64
	release := make(chan struct{})
	engine := enginetest.Containerd()
	engine.Before = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info") && infos.Add(1) > 1 {
			<-release
		}
	}
	engine.Start(t)
	t.Cleanup(func() { close(release) }) // before the engine is closed, which waits
	c := NewClient(engine.URL(), func() time.Time { return time.Unix(clock.Load(), 0) })
	t.Cleanup(func() { _ = c.Close() })
	for range 2 {
		if store, err := c.Store(t.Context()); err != nil || store != trust.ContainerdStore {
			t.Fatalf("store %q, %v", store, err)
		}
		clock.Store(int64(sessionAge / time.Second))
	}
}

func TestSilentEngineHoldsNobodyLongerThanTheirContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	engine := enginetest.Containerd()
	engine.Before = func(*http.Request) { <-release }
	engine.Start(t)
	t.Cleanup(func() { close(release) })
	c := NewClient(engine.URL(), time.Now)
	ctx, cancel := contextWithDeadline(t, 20*time.Millisecond)
	defer cancel()
	if _, err := c.Store(ctx); err == nil {
		t.Fatal("an engine that says nothing has a store")
	}
}

func contextWithDeadline(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
