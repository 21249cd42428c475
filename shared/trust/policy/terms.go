package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
)

// A Grant is what was accepted once, of content and by what rules, so that it
// can be told later whether the policy still wants it.
type Grant struct {
	Ref     reference.Named // the repository that vouched, without tag and digest
	Digest  digest.Digest   // that was vouched for
	ID      digest.Digest   // the engine's image ID
	Digests []digest.Digest // others that the content was known by: its own, and those of what covers it; sorted
	Method  trust.Method
	Keys    []string // that signed
	Scope   string   // the pattern that decided
	Terms   string   // see Terms; empty for a digest list, which is looked up anew
}

// Grant makes of a yes to content what Upholds can be asked about later.
func (v *Verifier) Grant(a trust.Answer, id digest.Digest) Grant {
	g := Grant{Ref: reference.TrimNamed(a.Question.Ref), Digest: a.Digest, ID: id, Method: a.Method, Keys: slices.Clone(a.KeyIDs), Scope: a.Scope}
	if a.Method.Signs() {
		g.Terms = v.Terms(g.Ref)
	}
	known := v.contents.cover(a.Question)
	g.Digests = sorted(slices.Concat(known.Content.Digests(), known.Covering))
	return g
}

// terms is what the policy demands of a repository's signatures, in the form
// that is hashed. A change of its fields or their order voids all approvals.
type terms struct {
	Version     int
	Scope       string
	CertIDs     []string            `json:",omitempty"`
	RootKeys    []string            `json:",omitempty"`
	Signers     []string            `json:",omitempty"`
	SignerKeys  map[string][]string `json:",omitempty"` // of those signers, where they are bound to keys
	RevokedKeys []string            `json:",omitempty"`
}

// Terms is the hash of everything that the policy demands of a repository's
// signatures: its scope, the pins in force, the signers and the keys they may
// use, and the keys that are revoked. It is "" without a pin.
//
// All revoked keys count, and not only those that are known to have signed: a
// yes rests on more keys than it names, such as those above a delegation.
//
// Left out is what says where signatures come from and how old they may be,
// servers, certificates and allow-expired: an approval is there to outlive the
// metadata that it was made by, and a longer or shorter grace for old metadata
// changes nothing about who vouched for what.
func (v *Verifier) Terms(ref reference.Named) string {
	s, pinned := v.scope(ref)
	if !pinned {
		return ""
	}
	t := terms{Version: 1, Scope: s.Pattern, CertIDs: sorted(s.CertIDs), Signers: sorted(s.Signers), SignerKeys: map[string][]string{}, RevokedKeys: sorted(s.RevokedKeys)}
	if len(s.CertIDs) == 0 {
		t.RootKeys = sorted(s.RootKeys) // certificates win over them
	}
	for _, signer := range s.Signers {
		if keys, bound := s.SignerKeys[signer]; bound {
			t.SignerKeys[signer] = sorted(keys)
		}
	}
	raw, err := json.Marshal(t)
	if err != nil {
		return "" // strings and lists of them always have a form
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Upholds reports whether what was accepted then is what this policy wants
// now. It asks nobody. The error is a *trust.Error: Revoked is a no to the
// content whoever signs it; any other only says that it has to be judged anew.
func (v *Verifier) Upholds(g Grant) error {
	if g.Ref == nil {
		return &trust.Error{Err: errors.New("no image is named")}
	}
	if err := v.Withdrawn(g.Ref, append([]digest.Digest{g.Digest, g.ID}, g.Digests...)...); err != nil {
		return err
	}
	switch g.Method {
	case trust.DCT:
		return v.demands(g)
	case trust.DigestList:
		return v.lists(g)
	case trust.Cosign: // no scope names it yet
	}
	return &trust.Error{Reason: trust.NoScope, Ref: g.Ref, Err: fmt.Errorf("the policy knows no method %q for it", g.Method)}
}

// demands reports whether signatures that were enough then are enough now.
func (v *Verifier) demands(g Grant) error {
	scope, pinned := v.scope(g.Ref)
	if !pinned {
		return noScope(g.Ref)
	}
	if key, found := firstOf(g.Keys, v.policy.Revoked.Keys); found {
		// Others may have signed the same content since.
		return &trust.Error{Reason: trust.UnknownSigner, Ref: g.Ref, Err: fmt.Errorf("key %s, which signed for it, is revoked by the policy", key)}
	}
	if scope.Pattern != g.Scope || v.Terms(g.Ref) != g.Terms {
		return &trust.Error{Reason: trust.UnknownSigner, Ref: g.Ref, Err: errors.New("the policy has changed what it demands of this repository since it was accepted")}
	}
	return nil
}

// lists reports whether the list that approved a digest still does.
func (v *Verifier) lists(g Grant) error {
	pattern, listed, ok := v.digests.find(g.Ref.Name())
	if !ok {
		return noScope(g.Ref)
	}
	if pattern != g.Scope || !slices.Contains(listed, g.Digest) {
		return &trust.Error{Reason: trust.DigestMismatch, Ref: g.Ref, Err: fmt.Errorf("digest %s is no longer in the list of scope %q", g.Digest, g.Scope)}
	}
	return nil
}

// Withdrawn tells whether the policy revokes content with these digests, or
// anything that is known here to cover it or to be a part of it. It asks
// nobody. The error is a *trust.Error with the reason Revoked.
func (v *Verifier) Withdrawn(ref reference.Named, digests ...digest.Digest) error {
	if len(v.policy.Revoked.Digests) == 0 {
		return nil
	}
	candidates := slices.Clone(digests)
	for _, dgst := range digests {
		candidates = append(candidates, v.contents.parents(ref, dgst)...)
	}
	for _, revoked := range v.policy.Revoked.Digests {
		if slices.Contains(candidates, revoked) || v.names(ref, candidates, revoked) {
			return revokedDigest(ref, revoked)
		}
	}
	return nil
}

// sorted is a list without order or repetition.
func sorted[T ~string](list []T) []T {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func firstOf(list, of []string) (string, bool) {
	i := slices.IndexFunc(list, func(s string) bool { return slices.Contains(of, s) })
	if i < 0 {
		return "", false
	}
	return list[i], true
}
