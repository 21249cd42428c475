package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/theupdateframework/notary/tuf/data"
)

// A shop is a registry in memory, over plain HTTP on loopback, with a trust
// server beside it and a verifier whose clock stands.
type shop struct {
	tb     testing.TB
	host   string
	notary *trusttest.Notary

	mu       sync.Mutex
	held     map[string][]byte // by path
	requests []string
	fault    http.HandlerFunc // answers instead, when set
	now      time.Time
}

func newShop(tb testing.TB) *shop {
	tb.Helper()
	s := &shop{tb: tb, notary: trusttest.NewNotary(tb), held: map[string][]byte{}, now: time.Now()}
	server := httptest.NewServer(s)
	tb.Cleanup(server.Close)
	s.host = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.Path)
	raw, fault := s.held[r.URL.Path], s.fault
	s.mu.Unlock()
	switch {
	case fault != nil:
		fault(w, r)
	case raw == nil:
		http.NotFound(w, r)
	default:
		_, _ = w.Write(raw)
	}
}

// asked gives the paths that the registry was asked for since the last call.
func (s *shop) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

func (s *shop) setFault(fault http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *shop) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *shop) wait(pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(pause)
}

// push puts a document into a repository of the registry.
func (s *shop) push(repository string, raw []byte) digest.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	dgst := digest.FromBytes(raw)
	s.held["/v2/"+repository+"/manifests/"+string(dgst)] = raw
	return dgst
}

// sign signs digests, each under a tag: v0, v1 and so on.
func (s *shop) sign(repository string, digests ...digest.Digest) (rootKeyID string) {
	s.tb.Helper()
	repo := s.notary.NewRepository(s.tb, data.GUN(s.host+"/"+repository))
	for i, dgst := range digests {
		repo.Sign(fmt.Sprintf("v%d", i), dgst, data.CanonicalTargetsRole)
	}
	repo.Publish()
	return repo.RootKeyID()
}

// verifier trusts the root keys given, by repository.
func (s *shop) verifier(keys map[string]string, sections map[string]any) *Verifier {
	s.tb.Helper()
	pins := map[string][]string{}
	for repository, id := range keys {
		pins[s.host+"/"+repository] = []string{id}
	}
	whole := map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": pins}},
		"notary": map[string]any{
			"servers": map[string][]string{s.host: {s.notary.URL}}, "ca": map[string]string{s.host: s.notary.CA}, "timeout": "20s",
		},
	}
	for name, section := range sections {
		whole[name] = section
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		s.tb.Fatal(err)
	}
	p, err := Parse("policy.json", raw)
	if err != nil {
		s.tb.Fatal(err)
	}
	return NewVerifier(p, Options{Now: s.Now})
}

// question asks for NAME, NAME:TAG or NAME@DIGEST in the registry.
func (s *shop) question(image string, content trust.Content) trust.Question {
	s.tb.Helper()
	ref, err := reference.ParseNormalizedNamed(s.host + "/" + image)
	if err != nil {
		s.tb.Fatal(err)
	}
	return trust.Question{Ref: ref, Content: content}
}

// A release is an image for two platforms, as a list and its parts.
type release struct {
	list             []byte
	amd64, arm64     []byte // manifests
	config, layer    digest.Digest
	attestation      []byte // a manifest that the list has as one about amd64
	listID, platform digest.Digest
}

func newRelease(tb testing.TB, name string) release {
	tb.Helper()
	r := release{config: digest.FromString(name + " config amd64"), layer: digest.FromString(name + " layer amd64")}
	r.amd64 = manifestOf(tb, name+" config amd64", name+" layer amd64")
	r.arm64 = manifestOf(tb, name+" config arm64", name+" layer arm64")
	r.attestation = manifestOf(tb, name+" config attestation", name+" statement")
	r.list = listOf(tb, entryOf(r.amd64, "amd64"), entryOf(r.arm64, "arm64"), entryOf(r.attestation, "unknown"))
	r.listID, r.platform = digest.FromBytes(r.list), digest.FromBytes(r.amd64)
	return r
}

func (r release) pushTo(s *shop, repository string) {
	for _, raw := range [][]byte{r.list, r.amd64, r.arm64, r.attestation} {
		s.push(repository, raw)
	}
}

func manifestOf(tb testing.TB, config, layer string) []byte {
	tb.Helper()
	return encode(tb, map[string]any{
		"schemaVersion": 2, "mediaType": manifests.DockerManifest,
		"config": ocispec.Descriptor{MediaType: "application/vnd.docker.container.image.v1+json", Digest: digest.FromString(config), Size: int64(len(config))},
		"layers": []ocispec.Descriptor{{MediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", Digest: digest.FromString(layer), Size: int64(len(layer))}},
	})
}

func entryOf(raw []byte, architecture string) ocispec.Descriptor {
	platform := &ocispec.Platform{OS: "linux", Architecture: architecture}
	if architecture == "unknown" {
		platform.OS = "unknown"
	}
	return ocispec.Descriptor{MediaType: manifests.DockerManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw)), Platform: platform}
}

func listOf(tb testing.TB, entries ...ocispec.Descriptor) []byte {
	tb.Helper()
	return encode(tb, map[string]any{"schemaVersion": 2, "mediaType": manifests.DockerList, "manifests": entries})
}

func encode(tb testing.TB, value any) []byte {
	tb.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func containerd(id digest.Digest) trust.Content {
	return trust.Content{ID: id, Store: trust.ContainerdStore}
}

// pulled is content that a graphdriver engine pulled by a digest; loaded, with
// none, came by docker load.
func pulled(config digest.Digest, repoDigests ...string) trust.Content {
	return trust.Content{ID: config, Store: trust.GraphdriverStore, RepoDigests: repoDigests}
}

// answers wants a digest vouched for by a method, or a refusal.
func answers(t *testing.T, v *Verifier, q trust.Question, want digest.Digest, method trust.Method, reason trust.Reason) {
	t.Helper()
	signed, err := v.Verify(t.Context(), q)
	if reason == "" {
		if err != nil || signed.Digest != want || signed.Method != method {
			t.Errorf("%v: got %+v, %v", q.Ref, signed, err)
		}
		return
	}
	if got := reasonOf(err); got != reason {
		t.Errorf("%v: got %+v, %v, want %s", q.Ref, signed, err, reason)
	}
}

func reasonOf(err error) trust.Reason {
	refused := new(trust.Error)
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}

// TestCovering: a list that is vouched for covers its platforms, and through
// them their configurations; nothing is covered the other way round. Each
// question is asked of a verifier that knows nothing, and again of one that
// all the others have taught.
func TestCovering(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image, other := newRelease(t, "app"), newRelease(t, "other")
	for _, repository := range []string{"app", "single", "both", "vendor", "none"} {
		image.pushTo(s, repository)
	}
	other.pushTo(s, "other")
	keys := map[string]string{
		"app":    s.sign("app", image.listID),
		"single": s.sign("single", image.platform),
		"other":  s.sign("other", other.listID),
		"both":   s.sign("both", other.listID, image.listID),
	}
	vendor := map[string]any{"digests": map[string][]digest.Digest{s.host + "/vendor": {image.listID}}}
	dct, list := trust.DCT, trust.DigestList
	taught := s.verifier(keys, vendor)
	tests := map[string]struct {
		image   string
		content trust.Content
		want    digest.Digest
		method  trust.Method
		reason  trust.Reason
	}{
		"list":                            {image: "app@" + string(image.listID), want: image.listID, method: dct},
		"platform":                        {image: "app@" + string(image.platform), want: image.listID, method: dct},
		"platform, held":                  {image: "app@" + string(image.platform), content: containerd(image.platform), want: image.listID, method: dct},
		"platform, held, by tag":          {image: "app:v0", content: containerd(image.platform), want: image.listID, method: dct},
		"platform, held, by no name":      {image: "app", content: containerd(image.platform), want: image.listID, method: dct},
		"platform, pulled":                {image: "app@" + string(image.platform), content: pulled(image.config, s.host+"/app@"+string(image.platform)), want: image.listID, method: dct},
		"platform, pulled by list":        {image: "app@" + string(image.platform), content: pulled(image.config, s.host+"/app@"+string(image.listID)), want: image.listID, method: dct},
		"configuration, loaded":           {image: "app:v0", content: pulled(image.config), want: image.listID, method: dct},
		"configuration, loaded, no name":  {image: "app", content: pulled(image.config), want: image.listID, method: dct},
		"configuration, of the manifest":  {image: "single:v0", content: pulled(image.config), want: image.platform, method: dct},
		"platform of a listed list":       {image: "vendor@" + string(image.platform), want: image.listID, method: list},
		"configuration of a listed list":  {image: "vendor", content: pulled(image.config), want: image.listID, method: list},
		"list vouched for here, too":      {image: "both@" + string(image.platform), want: image.listID, method: dct},
		"list of a platform":              {image: "single@" + string(image.listID), reason: trust.Unsigned},
		"list of a platform, held":        {image: "single:v0", content: containerd(image.listID), reason: trust.DigestMismatch},
		"list of a platform, by no name":  {image: "single", content: containerd(image.listID), reason: trust.Unsigned},
		"other platform of the list":      {image: "single@" + string(digest.FromBytes(image.arm64)), reason: trust.Unsigned},
		"layer":                           {image: "app@" + string(image.layer), reason: trust.Unsigned},
		"layer, loaded":                   {image: "app:v0", content: pulled(image.layer), reason: trust.DigestMismatch},
		"attestation":                     {image: "app@" + string(digest.FromBytes(image.attestation)), reason: trust.Unsigned},
		"unknown store":                   {image: "app:v0", content: trust.Content{ID: image.platform}, reason: trust.DigestMismatch},
		"list of another repository":      {image: "other@" + string(image.platform), reason: trust.Unsigned},
		"list of another repository, tag": {image: "other:v0", content: containerd(image.platform), reason: trust.DigestMismatch},
		"another repository's platform":   {image: "app@" + string(other.platform), reason: trust.Unsigned},
		"repository under no scope":       {image: "none@" + string(image.platform), reason: trust.NoScope},
	}
	for _, when := range []string{"not known", "known"} {
		for name, test := range tests {
			t.Run(name+", "+when, func(t *testing.T) {
				v := taught
				if when == "not known" {
					v = s.verifier(keys, vendor)
				}
				answers(t, v, s.question(test.image, test.content), test.want, test.method, test.reason)
				_, _ = taught.Verify(t.Context(), s.question(test.image, test.content)) // to learn
				s.wait(fetchPause)
			})
		}
	}
}

// TestRevokedListBeatsWhatCoversIt: who revokes a list means its platforms,
// whoever else vouches for the list.
func TestRevokedListBeatsWhatCoversIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	image.pushTo(s, "vendor")
	keys := map[string]string{"app": s.sign("app", image.listID)}
	sections := map[string]any{
		"digests": map[string][]digest.Digest{s.host + "/**": {image.listID}},
		"revoked": map[string]any{"digests": []digest.Digest{image.listID}},
	}
	for name, q := range map[string]trust.Question{
		"list":           s.question("app@"+string(image.listID), trust.Content{}),
		"tag":            s.question("app:v0", trust.Content{}),
		"platform":       s.question("app@"+string(image.platform), trust.Content{}),
		"platform, held": s.question("app@"+string(image.platform), containerd(image.platform)),
		"loaded":         s.question("app", pulled(image.config)),
		"listed":         s.question("vendor@"+string(image.platform), trust.Content{}),
		"listed, loaded": s.question("vendor", pulled(image.config)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers(t, s.verifier(keys, sections), q, "", "", trust.Revoked)
		})
	}
}

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
