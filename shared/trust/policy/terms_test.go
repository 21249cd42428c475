package policy

import (
	"errors"
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
		if err := plain.Upholds(g); err != nil {
			t.Errorf("%s: %v", g.ID, err)
		}
	}
	// The list that covers the part is in its grant: no manifest has to be at hand.
	for _, dgst := range []digest.Digest{image.listID, image.platform} {
		if err := revoking(dgst).Upholds(part); !trust.IsRevoked(err) {
			t.Errorf("part, %s revoked: got %v", dgst, err)
		}
	}
	if err := revoking(image.listID).Upholds(all); !trust.IsRevoked(err) {
		t.Errorf("list revoked: got %v", err)
	}
	// That a list has a part that is revoked tells its manifest, once it is known.
	v := revoking(image.platform)
	if _, err := v.Verify(t.Context(), whole); !trust.IsRevoked(err) {
		t.Fatalf("got %v", err)
	}
	if err := v.Upholds(all); !trust.IsRevoked(err) {
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
		if err := v.Upholds(g); !errors.As(err, new(*trust.Error)) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkUpholds(b *testing.B) {
	s := newShop(b)
	v := s.verifier(map[string]string{"app": key64}, map[string]any{"revoked": map[string]any{"keys": []string{otherKey}, "digests": []digest.Digest{digest.FromString("x")}}})
	ref := s.question("app", trust.Content{}).Ref
	id := digest.FromString("y")
	g := Grant{Ref: ref, Digest: id, ID: id, Digests: []digest.Digest{id}, Method: trust.DCT, Keys: []string{thirdKey}, Scope: v.Scope(ref), Terms: v.Terms(ref)}
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Upholds(g); err != nil {
			b.Fatal(err)
		}
	}
}
