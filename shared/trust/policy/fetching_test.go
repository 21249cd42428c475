package policy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestNobodyIsAskedWithoutScope: a name from outside makes no connection.
func TestNobodyIsAskedWithoutScope(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	v := s.verifier(map[string]string{"other": s.sign("other", image.listID)}, nil)
	for _, q := range []trust.Question{
		s.question("app@"+string(image.platform), trust.Content{}),
		s.question("app@"+string(image.platform), containerd(image.platform)),
		s.question("app:v0", pulled(image.config)),
		s.question("app", pulled(image.config, s.host+"/other@"+string(image.platform))),
	} {
		answers(t, v, q, "", "", trust.NoScope)
	}
	if asked := append(s.asked(), s.notary.Requests()...); len(asked) > 0 {
		t.Errorf("asked were %q", asked)
	}
}

// TestFetchesAreBounded: whoever asks for digests that nobody signed makes a
// bounded number of requests, and none for a while after them.
func TestFetchesAreBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const known, absent = maxFetches, maxFetches / 2
	var digests []digest.Digest
	for i := range known {
		digests = append(digests, s.push("app", listOf(t, entryOf(fmt.Appendf(nil, "%d", i), "amd64"))))
	}
	for i := range absent {
		digests = append(digests, digest.FromString(fmt.Sprint("absent ", i)))
	}
	v := s.verifier(map[string]string{"app": s.sign("app", digests...)}, nil)
	stranger := digest.FromString("nobody's")
	total := 0
	for i, step := range []struct {
		pause time.Duration
		most  int
	}{
		{0, maxFetches}, {0, 0}, {fetchPause - 1, 0}, {1, maxFetches}, {0, 0}, {fetchPause, 0}, {missedFor - 2*fetchPause - 1, 0},
	} {
		s.wait(step.pause)
		answers(t, v, s.question("app@"+string(stranger), containerd(stranger)), "", "", trust.Unsigned)
		asked := len(s.asked())
		if total += asked; asked > step.most {
			t.Errorf("step %d: %d requests, want %d at most", i, asked, step.most)
		}
	}
	if total != len(digests) {
		t.Errorf("%d requests for %d manifests", total, len(digests))
	}
	answers(t, v, s.question("app@"+string(digest.FromString("63")), trust.Content{}), digests[63], trust.DCT, "")
	s.wait(2 * missedFor)
	answers(t, v, s.question("app@"+string(stranger), trust.Content{}), "", "", trust.Unsigned)
	if asked := len(s.asked()); asked != absent {
		t.Errorf("%d requests for what could not be had, want %d", asked, absent)
	}
}

// TestWideListIsBounded: a list may name a thousand platforms.
func TestWideListIsBounded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var entries []ocispec.Descriptor
	for i := range 1000 {
		raw := manifestOf(t, fmt.Sprint("config ", i), "layer")
		s.push("app", raw)
		entries = append(entries, entryOf(raw, "amd64"))
	}
	list := s.push("app", listOf(t, entries...))
	v := s.verifier(map[string]string{"app": s.sign("app", list)}, nil)
	answers(t, v, s.question("app:v0", pulled(digest.FromString("nobody's"))), "", "", trust.DigestMismatch)
	if asked := len(s.asked()); asked < 2 || asked > 1+maxFetches { // a slow machine ends sooner
		t.Errorf("%d requests, want the list and at most %d of its manifests", asked, maxFetches)
	}
}

// TestFetchStorm: many questions at once make one round of requests.
func TestFetchStorm(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	v := s.verifier(map[string]string{"app": s.sign("app", image.listID)}, nil)
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			answers(t, v, s.question("app@"+string(image.platform), containerd(image.platform)), image.listID, trust.DCT, "")
		})
	}
	group.Wait()
	if asked := s.asked(); len(asked) != 1 {
		t.Errorf("%d requests for one list", len(asked))
	}
}

// TestLyingRegistry: bytes are believed for their digest alone.
func TestLyingRegistry(t *testing.T) {
	t.Parallel()
	image, evil := newRelease(t, "app"), newRelease(t, "evil")
	huge := strings.Repeat(" ", manifests.MaxSize)
	for name, fault := range map[string]http.HandlerFunc{
		"another list": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(evil.list) },
		"its digest beside": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", string(image.listID))
			_, _ = w.Write(evil.list)
		},
		"one byte more": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append(image.list[:len(image.list):len(image.list)], '\n'))
		},
		"without end": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, string(image.list)+huge+huge) },
		"broken off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			_, _ = w.Write(image.list)
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(image.list)
		},
		"in a circle": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			v := s.verifier(map[string]string{"app": s.sign("app", image.listID)}, nil)
			image.pushTo(s, "app")
			s.setFault(fault)
			for range 2 {
				answers(t, v, s.question("app@"+string(evil.platform), containerd(evil.platform)), "", "", trust.Unsigned)
				answers(t, v, s.question("app:v0", containerd(evil.platform)), "", "", trust.DigestMismatch)
				answers(t, v, s.question("app:v0", pulled(evil.config)), "", "", trust.DigestMismatch)
				answers(t, v, s.question("app@"+string(image.platform), trust.Content{}), "", "", trust.Unsigned)
				s.wait(missedFor)
			}
			s.setFault(nil)
			s.wait(missedFor)
			answers(t, v, s.question("app@"+string(image.platform), trust.Content{}), image.listID, trust.DCT, "")
			answers(t, v, s.question("app@"+string(evil.platform), trust.Content{}), "", "", trust.Unsigned)
		})
	}
}

// TestSilentRegistry: it costs a question what may be spent on it and changes
// nothing; the next one is not held up.
func TestSilentRegistry(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	keys := map[string]string{"app": s.sign("app", image.listID)}
	for name, q := range map[string]trust.Question{
		"digest":  s.question("app@"+string(image.platform), containerd(image.platform)),
		"tag":     s.question("app:v0", containerd(image.platform)),
		"content": s.question("app", pulled(image.config)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.verifier(keys, nil)
			_, want := v.judge(t.Context(), v.contents.cover(q)) // the refusal of who asks no registry
			if want == nil {
				t.Fatal("accepted without a look at the list")
			}
			s.setFault(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			began := time.Now()
			_, err := v.Verify(t.Context(), q)
			if took := time.Since(began); took > 3500*time.Millisecond { // 3 s, and a busy machine
				t.Errorf("it took %v", took)
			}
			if err == nil || err.Error() != want.Error() {
				t.Errorf("got %v, want %v", err, want)
			}
			began = time.Now()
			if _, err := v.Verify(t.Context(), q); err == nil || err.Error() != want.Error() {
				t.Errorf("the second time: got %v, want %v", err, want)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("the second time it took %v", took)
			}
		})
	}
}
