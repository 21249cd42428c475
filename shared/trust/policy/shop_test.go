package policy

import (
	"encoding/json"
	"errors"
	"fmt"
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
