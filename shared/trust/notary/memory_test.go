package notary_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/theupdateframework/notary/tuf/data"
)

// TestFetchStorm: a thousand questions at once make one round of requests.
func TestFetchStorm(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh, b.opts.Timeout = time.Minute, 20*time.Second
	v := notary.New(b.opts)
	ref, err := reference.ParseNormalizedNamed(gun + ":v1")
	must(t, err)
	errs := make(chan error, 1000)
	var start sync.WaitGroup
	start.Add(1)
	for range cap(errs) {
		go func() {
			start.Wait()
			_, err := v.Verify(t.Context(), trust.Question{Ref: ref}, b.scope)
			errs <- err
		}()
	}
	start.Done()
	for range cap(errs) {
		must(t, <-errs)
	}
	if requests := b.server.Requests(); len(requests) != 6 {
		t.Errorf("%d requests, want 6: %v", len(requests), requests)
	}
}

// TestRefusalIsRemembered briefly: a flood of questions about what nobody
// signed costs one round, and whoever signs it is believed soon.
func TestRefusalIsRemembered(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh = time.Hour
	v := notary.New(b.opts)
	const unsigned = "registry.example.com/prod/none:1"
	for range 5 {
		_, err := b.verifyWith(t, v, unsigned)
		wantReason(t, err, trust.Unsigned)
	}
	if requests := b.server.Requests(); len(requests) > 5 {
		t.Errorf("%d requests for one round: %v", len(requests), requests)
	}
	b.now = b.now.Add(5 * time.Second)
	_, err := b.verifyWith(t, v, unsigned)
	wantReason(t, err, trust.Unsigned)
	if len(b.server.Requests()) == 0 {
		t.Error("the refusal is remembered for good")
	}
}

// TestRefusalsPushNothingOut: names that nobody signed cost the known ones
// nothing, however many are asked about.
func TestRefusalsPushNothingOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh, b.opts.MaxRepositories = time.Hour, 2
	v := notary.New(b.opts)
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	for i := range 20 {
		_, err := b.verifyWith(t, v, fmt.Sprintf("registry.example.com/prod/none%d:1", i))
		wantReason(t, err, trust.Unsigned)
	}
	b.server.Requests()
	_, err = b.verifyWith(t, v, gun+":v1")
	must(t, err)
	if requests := b.server.Requests(); len(requests) != 0 {
		t.Errorf("the known repository was forgotten: %v", requests)
	}
}

// TestMemoryIsBounded by number and by bytes: the repository that was asked
// about longest ago goes first, and its versions stay on disk.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]func(*notary.Options){
		"number": func(o *notary.Options) { o.MaxRepositories = 2 },
		"bytes":  func(o *notary.Options) { o.MaxMemory = 10_000 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.opts.Refresh = time.Hour
			bound(&b.opts)
			v := notary.New(b.opts)
			var images []string
			for i := range 3 {
				repo := b.server.NewRepository(t, data.GUN(fmt.Sprintf("registry.example.com/prod/app%d", i)))
				repo.Delegate("targets/releases")
				repo.Sign("v1", good, "targets/releases")
				repo.Publish()
				b.scope.RootKeys = append(b.scope.RootKeys, repo.RootKeyID())
				images = append(images, string(repo.GUN)+":v1")
			}
			for _, image := range images {
				_, err := b.verifyWith(t, v, image)
				must(t, err)
			}
			b.server.Requests()
			_, err := b.verifyWith(t, v, images[2])
			must(t, err)
			if requests := b.server.Requests(); len(requests) != 0 {
				t.Errorf("the last one is not known any more: %v", requests)
			}
			_, err = b.verifyWith(t, v, images[0])
			must(t, err)
			if requests := b.server.Requests(); len(requests) != 1 {
				t.Errorf("the first one was to be forgotten, and its files found on disk: %v", requests)
			}
		})
	}
}

// TestRun keeps what is asked about fresh without a question having to wait,
// and leaves alone what nobody has asked about for long.
func TestRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.Refresh, b.opts.Timeout = 400*time.Millisecond, 20*time.Second
	b.opts.Now = time.Now
	v := notary.New(b.opts)
	_, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); v.Run(ctx) }()
	b.Sign("v1", other, "targets/releases", "targets/alice")
	b.Publish()
	b.server.Requests()
	deadline := time.Now().Add(20 * time.Second)
	for len(b.server.Requests()) == 0 {
		if time.Now().After(deadline) {
			t.Fatal("nothing was renewed")
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	<-ended
	signed, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	if signed.Digest != other {
		t.Errorf("got %s, want what was signed since", signed.Digest)
	}
}

// TestReadOnlyDisk: versions that cannot be written down are remembered by the
// process all the same.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.opts.CacheDir = "/proc/nowhere" // nobody, not even root, can make it
	v := notary.New(b.opts)
	b.rollBack(t, v)
	for range 2 {
		_, err := b.verifyWith(t, v, gun+":v1")
		wantReason(t, err, trust.Rollback)
	}
	b.server.Fault(status(http.StatusBadGateway))
	signed, err := b.verifyWith(t, v, gun+":v1")
	must(t, err)
	if signed.Digest != other || signed.Source != trust.Cache {
		t.Errorf("got %+v, want what was seen last", signed)
	}
	if _, err := os.Stat(b.opts.CacheDir); err == nil {
		t.Fatal("the folder was made")
	}
}
