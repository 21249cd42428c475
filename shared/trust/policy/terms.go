package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
)

// A Grant is what was accepted once, of content and by what rules, so that it
// can be told later whether the policy still wants it.
type Grant struct {
	Ref     reference.Named // the repository that vouched, without tag and digest
	Digest  digest.Digest   // that was vouched for
	ID      digest.Digest   // the engine's image ID
	Digests []digest.Digest // others that the content was known by: its own, and those of what covers it; sorted
	Seen    bool            // the bytes of Digest were at hand then, so that Parts says what it names
	Parts   []digest.Digest // what Digest and the content's own digests were known to name; sorted
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
	return v.seen(g, append(known.Content.Own(), g.Digest)...)
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
// now. The error is a *trust.Error: Revoked is a no to the content whoever
// signs it; any other only says that it has to be judged anew.
//
// It asks nobody but for one case: the policy revokes digests, and nobody has
// seen, then or since, what the accepted digest names. It may be a list with a
// revoked image in it, so it is looked at, as Verify would. The grant comes
// back with what was seen, so that it need not be looked at again.
func (v *Verifier) Upholds(ctx context.Context, g Grant) (Grant, error) {
	if g.Ref == nil {
		return g, &trust.Error{Err: errors.New("no image is named")}
	}
	if err := v.withdraws(g); err != nil {
		return g, err
	}
	if err := v.stands(g); err != nil {
		return g, err
	}
	if g.Seen || len(v.policy.Revoked.Digests) == 0 {
		return g, nil
	}
	if v.unseen(g.Ref, g.Digest) {
		v.look(ctx, g.Ref, g.Digest)
	}
	g = v.seen(g, g.Digest)
	return g, v.withdraws(g)
}

// seen completes a grant with what known documents name.
func (v *Verifier) seen(g Grant, digests ...digest.Digest) Grant {
	parts, all := v.contents.parts(g.Ref, digests)
	g.Parts = sorted(slices.Concat(g.Parts, parts))
	g.Seen = all && v.contents.has(g.Ref, g.Digest)
	return g
}

// stands reports whether the rules by which it was accepted are in force.
func (v *Verifier) stands(g Grant) error {
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

// withdraws reports whether the policy revokes what was accepted, or anything
// that is known to be a part of it.
func (v *Verifier) withdraws(g Grant) error {
	for _, revoked := range v.policy.Revoked.Digests {
		if slices.Contains(g.Parts, revoked) {
			return revokedDigest(g.Ref, revoked)
		}
	}
	return v.withdrawn(g.Ref, append([]digest.Digest{g.Digest, g.ID}, g.Digests...))
}

// Withdrawn tells whether the policy revokes content with these digests, or
// anything that is known to cover it or to be a part of it. What the digests
// are of is looked at first, in the repository's registry if need be; what
// cannot be had is not known to hold anything that is revoked, as in Verify.
// The error is a *trust.Error with the reason Revoked.
func (v *Verifier) Withdrawn(ctx context.Context, ref reference.Named, digests ...digest.Digest) error {
	if len(v.policy.Revoked.Digests) == 0 {
		return nil // and nothing needs to be looked at
	}
	if err := v.withdrawn(ref, digests); err != nil {
		return err
	}
	v.look(ctx, ref, digests...)
	return v.withdrawn(ref, digests)
}

// withdrawn is Withdrawn by what is known here.
func (v *Verifier) withdrawn(ref reference.Named, digests []digest.Digest) error {
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

// ByRevokedKey tells whether a key that the policy revokes signed what the
// question is about, however old the signature is and whatever else keeps it
// from counting. The error is a *trust.Error: Revoked if one did, Unreachable
// if that cannot be told: no server answers, and no copy that is kept here
// does either.
func (v *Verifier) ByRevokedKey(ctx context.Context, q trust.Question) error {
	scope, pinned := v.scope(q.Ref)
	if !pinned || len(scope.RevokedKeys) == 0 {
		return nil
	}
	q = v.contents.cover(q)
	_, err := v.notary.Verify(ctx, q, scope)
	if err == nil || trust.IsRevoked(err) {
		return err
	}
	if !trust.Inconclusive(err) { // what was refused before keys were looked at is at hand now
		scope.AllowExpired, scope.SignerKeys = notary.Unbounded, nil
		_, err = v.notary.Verify(ctx, q, scope)
	}
	refused := new(trust.Error)
	if !errors.As(err, &refused) || refused.Reason == trust.Revoked {
		return err
	}
	if refused.Inconclusive() || refused.Reason == trust.Expired { // a role, by its own date
		return &trust.Error{Reason: trust.Unreachable, Ref: q.Ref, Err: fmt.Errorf("whether a key that the policy revokes signed it cannot be told: %w", err)}
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
