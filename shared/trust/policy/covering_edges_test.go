package policy

import (
	"context"
	"net/http"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// TestWhoeverGivesUpKeepsNobodyOut: a client that hangs up while its list is
// fetched must not have the list refused to the next one.
func TestWhoeverGivesUpKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	key := s.sign("app", image.listID)
	for name, q := range map[string]trust.Question{
		"tag":    s.question("app:v0", containerd(image.platform)),
		"digest": s.question("app@"+string(image.platform), containerd(image.platform)),
	} {
		v := s.verifier(map[string]string{"app": key}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		s.setFault(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
		if _, err := v.Verify(ctx, q); err == nil {
			t.Errorf("%s: accepted without its list", name)
		}
		s.setFault(nil)
		s.wait(fetchPause)
		answers(t, v, q, image.listID, trust.DCT, "")
		cancel()
	}
}

// TestListedListByTag: a digest list covers by tag what it covers by digest.
func TestListedListByTag(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "vendor")
	v := s.verifier(nil, map[string]any{"digests": map[string][]digest.Digest{s.host + "/vendor": {image.listID}}})
	answers(t, v, s.question("vendor:1", containerd(image.platform)), image.listID, trust.DigestList, "")
	answers(t, v, s.question("vendor:1", pulled(image.config)), image.listID, trust.DigestList, "")
}

// TestOtherPlatformThanAsked: content is held against the digest asked for,
// not only against a list that names both.
func TestOtherPlatformThanAsked(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	v := s.verifier(map[string]string{"app": s.sign("app", image.listID)}, nil)
	answers(t, v, s.question("app@"+string(image.platform), containerd(digest.FromBytes(image.arm64))), "", "", trust.DigestMismatch)
}

// TestRevokedPartOfAList: a list is revoked with any part of it, also before
// anybody has asked what is in it.
func TestRevokedPartOfAList(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	v := s.verifier(map[string]string{"app": s.sign("app", image.listID)}, map[string]any{"revoked": map[string]any{"digests": []digest.Digest{image.platform}}})
	answers(t, v, s.question("app:v0", containerd(image.listID)), "", "", trust.Revoked)
}

// TestGraphdriverAfterAName: a look for a name alone, which fetches lists,
// must not keep the next question from fetching their manifests.
func TestGraphdriverAfterAName(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	v := s.verifier(map[string]string{"app": s.sign("app", image.listID)}, nil)
	answers(t, v, s.question("app@"+string(image.platform), trust.Content{}), image.listID, trust.DCT, "")
	answers(t, v, s.question("app", pulled(image.config)), image.listID, trust.DCT, "")
}

// TestRevokedListByTag: what a revoked list covers is revoked when it is asked
// for by the list's tag, too; else another repository might still say yes.
func TestRevokedListByTag(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	v := s.verifier(map[string]string{"app": s.sign("app", image.listID)}, map[string]any{"revoked": map[string]any{"digests": []digest.Digest{image.listID}}})
	answers(t, v, s.question("app:v0", containerd(image.platform)), "", "", trust.Revoked)
}
