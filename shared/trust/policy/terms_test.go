package policy

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

const (
	otherKey = "11ca6e4400000000000000000000000000000000000000000000000000000000"
	thirdKey = "22ca6e4400000000000000000000000000000000000000000000000000000000"
)

// termsOf gives the terms of a.io/prod/app under a policy.
func termsOf(t *testing.T, sections string) string {
	t.Helper()
	p, err := Parse("policy.json", []byte(sections))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.ParseNormalizedNamed("a.io/prod/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	return NewVerifier(p, Options{Now: time.Now}).Terms(ref)
}

func TestTerms(t *testing.T) {
	t.Parallel()
	policy := func(pinning, rest string) string {
		return `{"content-trust": {"mode": "enforced", "trust-pinning": {` + pinning + `}}` + rest + `}`
	}
	const pin = `"root-keys": {"a.io/prod/*": ["` + key64 + `", "` + otherKey + `"]}`
	base := termsOf(t, policy(pin, ""))
	if len(base) != 64 {
		t.Fatalf("got %q", base)
	}
	for name, text := range map[string]string{
		"order and repetition": policy(`"root-keys": {"a.io/prod/*": ["`+otherKey+`", "`+key64+`", "`+otherKey+`"]}`, ""),
		"empty sections":       policy(pin, `, "signers": {}, "signer-keys": {}, "revoked": {"keys": [], "digests": []}`),
		"other repositories":   policy(pin+`, "cert-ids": {"a.io/dev": ["`+thirdKey+`"]}`, `, "signers": {"a.io/dev": ["qa"]}`),
		"nobody's signer key":  policy(pin, `, "signer-keys": {"qa": ["`+thirdKey+`"]}`),
		"where and how old":    policy(pin, `, "allow-expired": {"a.io/**": "9d"}, "notary": {"servers": {"a.io": ["https://b.io"]}}`),
		"revoked digests":      policy(pin, `, "revoked": {"digests": ["sha256:`+key64+`"]}`),
		"a digest list":        policy(pin, `, "digests": {"a.io/prod/app": ["sha256:`+key64+`"]}`),
		"permissive":           `{"content-trust": {"mode": "permissive", "trust-pinning": {` + pin + `}}}`,
	} {
		if got := termsOf(t, text); got != base {
			t.Errorf("%s changes the terms", name)
		}
	}
	seen := map[string]string{base: "the base"}
	for name, text := range map[string]string{
		"no pin":            policy("", ""),
		"one pin less":      policy(`"root-keys": {"a.io/prod/*": ["`+key64+`"]}`, ""),
		"another pattern":   policy(`"root-keys": {"a.io/prod/**": ["`+key64+`", "`+otherKey+`"]}`, ""),
		"a certificate":     policy(pin+`, "cert-ids": {"a.io/prod/app": ["`+key64+`", "`+otherKey+`"]}`, ""),
		"a signer":          policy(pin, `, "signers": {"a.io/**": ["qa"]}`),
		"two signers":       policy(pin, `, "signers": {"a.io/**": ["qa", "dev"]}`),
		"a signer's key":    policy(pin, `, "signers": {"a.io/**": ["qa"]}, "signer-keys": {"qa": ["`+key64+`"]}`),
		"its other key":     policy(pin, `, "signers": {"a.io/**": ["qa"]}, "signer-keys": {"qa": ["`+otherKey+`"]}`),
		"a revoked key":     policy(pin, `, "revoked": {"keys": ["`+thirdKey+`"]}`),
		"more revoked keys": policy(pin, `, "revoked": {"keys": ["`+thirdKey+`", "`+key64+`"]}`),
	} {
		got := termsOf(t, text)
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have the same terms", name, other)
		}
		seen[got] = name
	}
	// Beside a certificate root keys do not count.
	one := policy(pin+`, "cert-ids": {"a.io/prod/app": ["`+key64+`"]}`, "")
	two := policy(`"cert-ids": {"a.io/prod/app": ["`+key64+`"]}`, "")
	if termsOf(t, one) != termsOf(t, two) {
		t.Error("root keys that are not in force change the terms")
	}
}

// TestRevokedPartOfAnAcceptedList: a policy that revokes an image refuses the
// lists with it in them, and no approval or allowance of such a list is older
// than that. What the list names is looked at once, and then stands in the
// grant, for a verifier that knows nothing and can ask nobody.
func TestRevokedPartOfAnAcceptedList(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	keys := map[string]string{"app": s.sign("app", image.listID)}
	q := s.question("app@"+string(image.listID), containerd(image.listID))
	plain := s.verifier(keys, nil)
	signed, err := plain.Verify(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	unseen := plain.Grant(trust.Answer{Signed: signed, Question: q}, image.listID)
	if unseen.Seen || len(unseen.Parts) > 0 {
		t.Fatalf("nobody looked, and it says %+v", unseen)
	}
	arm64, stranger := digest.FromBytes(image.arm64), digest.FromString("another's")
	revoking := func(d digest.Digest) *Verifier { // as after a reload: it knows nothing yet
		return s.verifier(keys, map[string]any{"revoked": map[string]any{"digests": []digest.Digest{d}}})
	}
	for _, part := range []digest.Digest{image.platform, arm64} {
		if _, err := revoking(part).Upholds(t.Context(), unseen); !trust.IsRevoked(err) {
			t.Errorf("approval, %s revoked: got %v", part, err)
		}
		if err := revoking(part).Withdrawn(t.Context(), q.Ref, image.listID); !trust.IsRevoked(err) {
			t.Errorf("break-glass, %s revoked: got %v", part, err)
		}
	}
	if err := revoking(stranger).Withdrawn(t.Context(), q.Ref, image.listID); err != nil {
		t.Errorf("break-glass, another digest revoked: got %v", err)
	}
	seen, err := revoking(stranger).Upholds(t.Context(), unseen)
	if err != nil || !seen.Seen {
		t.Fatalf("another digest revoked: got %+v, %v", seen, err)
	}
	s.asked()
	s.setFault(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for _, part := range []digest.Digest{image.platform, arm64} {
		if _, err := revoking(part).Upholds(t.Context(), seen); !trust.IsRevoked(err) {
			t.Errorf("offline, %s revoked: got %v", part, err)
		}
	}
	if _, err := revoking(stranger).Upholds(t.Context(), seen); err != nil {
		t.Errorf("offline, another digest revoked: got %v", err)
	}
	if asked := s.asked(); len(asked) > 0 {
		t.Errorf("the registry was asked for %v", asked)
	}
	// What cannot be had decides as it does in Verify.
	if _, err := revoking(stranger).Upholds(t.Context(), unseen); err != nil {
		t.Errorf("out of reach: got %v", err)
	}
}

// TestByRevokedKey: who signed does not depend on whether the trust server
// answers, how old the signature is, or what else keeps it from counting.
func TestByRevokedKey(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	root := s.sign("app", image.listID)
	keys := map[string]string{"app": root}
	q := s.question("app@"+string(image.listID), containerd(image.listID))
	plain := s.verifier(keys, nil)
	signed, err := plain.Verify(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	revoking := func(key string) *Verifier {
		return s.verifier(keys, map[string]any{"revoked": map[string]any{"keys": []string{key}}, "notary": map[string]any{
			"servers": map[string][]string{s.host: {s.notary.URL}}, "ca": map[string]string{s.host: s.notary.CA}, "timeout": "20s", "refresh": "1s",
		}})
	}
	for name, key := range map[string]string{"root": root, "targets": signed.KeyIDs[0]} {
		if err := revoking(key).ByRevokedKey(t.Context(), q); !trust.IsRevoked(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	known := revoking(thirdKey)
	if err := known.ByRevokedKey(t.Context(), q); err != nil {
		t.Errorf("a stranger's key: got %v", err)
	}
	unsigned := s.question("app@"+string(image.platform), trust.Content{})
	if err := known.ByRevokedKey(t.Context(), unsigned); err != nil {
		t.Errorf("nobody signed it: got %v", err)
	}
	if err := revoking(root).ByRevokedKey(t.Context(), s.question("else:v1", trust.Content{})); err != nil {
		t.Errorf("without a pin: got %v", err)
	}
	s.notary.Fault(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for name, v := range map[string]*Verifier{"root": revoking(root), "stranger": revoking(thirdKey)} {
		if err := v.ByRevokedKey(t.Context(), q); reasonOf(err) != trust.Unreachable {
			t.Errorf("silent, %s: got %v", name, err)
		}
	}
	s.wait(time.Minute)
	if err := known.ByRevokedKey(t.Context(), q); err != nil {
		t.Errorf("silent, and it is known what it said: got %v", err)
	}
	if err := plain.ByRevokedKey(t.Context(), q); err != nil {
		t.Errorf("no key is revoked: got %v", err)
	}
}

// TestWithdrawnCoversListsAndTheirParts: content is withdrawn with its list,
// and a list with its part.
func TestWithdrawnCoversListsAndTheirParts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	keys := map[string]string{"app": s.sign("app", image.listID)}
	revoking := func(d digest.Digest) *Verifier {
		return s.verifier(keys, map[string]any{"revoked": map[string]any{"digests": []digest.Digest{d}}})
	}
	plain := s.verifier(keys, nil)
	platform := s.question("app@"+string(image.platform), containerd(image.platform))
	whole := s.question("app@"+string(image.listID), containerd(image.listID))
	grant := func(q trust.Question) Grant {
		signed, err := plain.Verify(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return plain.Grant(trust.Answer{Signed: signed, Question: q}, q.Content.ID)
	}
	part, all := grant(platform), grant(whole)
	for _, g := range []Grant{part, all} {
		if _, err := plain.Upholds(t.Context(), g); err != nil {
			t.Errorf("%s: %v", g.ID, err)
		}
	}
	// The list that covers the part is in its grant: no manifest has to be at hand.
	for _, dgst := range []digest.Digest{image.listID, image.platform} {
		if _, err := revoking(dgst).Upholds(t.Context(), part); !trust.IsRevoked(err) {
			t.Errorf("part, %s revoked: got %v", dgst, err)
		}
	}
	if _, err := revoking(image.listID).Upholds(t.Context(), all); !trust.IsRevoked(err) {
		t.Errorf("list revoked: got %v", err)
	}
	// That a list has a part that is revoked tells its manifest, once it is known.
	v := revoking(image.platform)
	if _, err := v.Verify(t.Context(), whole); !trust.IsRevoked(err) {
		t.Fatalf("got %v", err)
	}
	if _, err := v.Upholds(t.Context(), all); !trust.IsRevoked(err) {
		t.Errorf("its part is revoked: got %v", err)
	}
}

func TestUpholdsNothingThatSaysNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	v := s.verifier(map[string]string{"app": key64}, nil)
	ref := s.question("app:v1", trust.Content{}).Ref
	for name, g := range map[string]Grant{
		"zero":      {},
		"no method": {Ref: ref, Scope: v.Scope(ref), Terms: v.Terms(ref)},
		"cosign":    {Ref: ref, Scope: v.Scope(ref), Terms: v.Terms(ref), Method: trust.Cosign},
		"no terms":  {Ref: ref, Scope: v.Scope(ref), Method: trust.DCT},
		"no scope":  {Ref: ref, Terms: v.Terms(ref), Method: trust.DCT},
		"no list":   {Ref: ref, Scope: v.Scope(ref), Method: trust.DigestList},
	} {
		if _, err := v.Upholds(t.Context(), g); !errors.As(err, new(*trust.Error)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkUpholds(b *testing.B) {
	s := newShop(b)
	v := s.verifier(map[string]string{"app": key64}, map[string]any{"revoked": map[string]any{"keys": []string{otherKey}, "digests": []digest.Digest{digest.FromString("x")}}})
	ref := s.question("app", trust.Content{}).Ref
	id := digest.FromString("y")
	g := Grant{Ref: ref, Digest: id, ID: id, Digests: []digest.Digest{id}, Seen: true, Method: trust.DCT, Keys: []string{thirdKey}, Scope: v.Scope(ref), Terms: v.Terms(ref)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Upholds(b.Context(), g); err != nil {
			b.Fatal(err)
		}
	}
}
