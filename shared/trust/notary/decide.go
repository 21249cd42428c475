package notary

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

// answer judges a question about verified, fresh metadata.
func (x *index) answer(q trust.Question, s Scope, now time.Time) (trust.Signed, error) {
	want := x.wanted(q)
	d, err := x.decide(want, s)
	if err != nil {
		return trust.Signed{}, err
	}
	signed := trust.Signed{Digest: d.digest, Method: trust.DCT, Source: x.source, Scope: s.Pattern, Signers: x.signedBy(want, d.digest), Expires: x.expires(s)}
	for _, name := range d.consulted {
		if err := x.usable(name, s, now); err != nil {
			return trust.Signed{}, err
		}
		if x.roles[name].expires.Before(signed.Expires) {
			signed.Expires = x.roles[name].expires
		}
	}
	for _, name := range d.by {
		signed.KeyIDs = append(signed.KeyIDs, x.roles[name].keyIDs...)
	}
	if len(d.by) > 1 {
		slices.Sort(signed.KeyIDs)
		signed.KeyIDs = slices.Compact(signed.KeyIDs)
	}
	if key, found := x.revoked(d.consulted, s); found {
		return trust.Signed{}, refuse(trust.Revoked, d.by[0], fmt.Errorf("key %s, which signed for it, is revoked by the policy", key))
	}
	asked := d.digest
	if digested, ok := q.Ref.(reference.Digested); ok {
		asked = digested.Digest() // it may be a part of the list that is signed, and the content another
	}
	if !q.Content.IsZero() && !q.Content.Is(asked) {
		return trust.Signed{}, refuse(trust.DigestMismatch, d.by[0], mismatch(q.Content, asked))
	}
	signed.Expires = signed.Expires.UTC()
	signed.RenewBy = x.renewBy(d.consulted, s, now)
	return signed, nil
}

// revoked finds a key that the policy withdraws among all that a decision of
// these roles rests on.
func (x *index) revoked(consulted []data.RoleName, s Scope) (string, bool) {
	if len(s.RevokedKeys) == 0 {
		return "", false
	}
	involved := slices.Clone(x.signed)
	for _, name := range consulted {
		involved = slices.Concat(involved, x.roles[name].keys, x.roles[name].above)
	}
	return firstCommon(slices.Concat(involved...), s.RevokedKeys)
}

func mismatch(c trust.Content, want digest.Digest) error {
	if digests := c.Digests(); len(digests) > 0 {
		return fmt.Errorf("the signers vouch for %s, and the engine holds %s", want, digests[0])
	}
	return fmt.Errorf("the signers vouch for %s, and nothing ties the engine's image %s to it", want, c.ID)
}

// A decision is a digest that is vouched for.
type decision struct {
	digest    digest.Digest
	by        []data.RoleName // the roles that list it
	consulted []data.RoleName // and those whose silence let them decide
}

// decide finds the digest and the roles that vouch for it. Content may have
// several digests; the first that is vouched for will do.
func (x *index) decide(w want, s Scope) (decision, error) {
	refusal := error(nil)
	for _, one := range w.each() {
		d, err := x.decideOne(one, s)
		if err == nil {
			return d, nil
		}
		if refusal == nil {
			refusal = err
		}
	}
	if refusal == nil {
		refusal = refuse(trust.Unsigned, "", fmt.Errorf("nobody signed %v", w))
	}
	return decision{}, refusal
}

// decideOne asks every signer the scope names; else releases; else targets,
// when releases does not exist or is verified and silent about the tag.
func (x *index) decideOne(w want, s Scope) (decision, error) {
	if len(s.Signers) > 0 {
		return x.allSigners(w, s.Signers)
	}
	if err := x.broken[releases]; err != nil {
		return decision{}, err
	}
	consulted := []data.RoleName{data.CanonicalTargetsRole}
	shadow := x.roles[releases]
	if shadow != nil {
		if dgst, ok := w.in(shadow, nil); ok {
			return decision{dgst, []data.RoleName{releases}, []data.RoleName{releases}}, nil
		}
		consulted = append(consulted, releases)
	}
	if dgst, ok := w.in(x.roles[data.CanonicalTargetsRole], shadow); ok {
		return decision{dgst, consulted[:1], consulted}, nil
	}
	return decision{}, refuse(trust.Unsigned, "", fmt.Errorf("nobody signed %v in this repository%s", w, x.signedTags(w)))
}

func (x *index) allSigners(w want, signers []string) (decision, error) {
	var d decision
	for _, signer := range signers {
		name := signerRole(signer)
		if err := x.broken[name]; err != nil {
			return decision{}, err
		}
		r, ok := x.roles[name]
		if !ok {
			return decision{}, refuse(trust.UnknownSigner, name, fmt.Errorf("the policy wants signer %q, and the repository has none of that name", signer))
		}
		dgst, ok := w.in(r, nil)
		if !ok {
			return decision{}, refuse(trust.Unsigned, name, fmt.Errorf("signer %q has not signed %v", signer, w))
		}
		if d.digest != "" && dgst != d.digest {
			return decision{}, refuse(trust.DigestMismatch, name, fmt.Errorf("signers %q and %q vouch for different content, %s and %s", signers[0], signer, d.digest, dgst))
		}
		d.digest = dgst
		d.by = append(d.by, name)
	}
	d.consulted = d.by
	return d, nil
}

// usable holds a deciding role against its expiry and the keys its signer may use.
func (x *index) usable(name data.RoleName, s Scope, now time.Time) error {
	r := x.roles[name]
	if now.After(r.expires) {
		return refuse(trust.Expired, name, fmt.Errorf("it was good until %s", r.expires.UTC().Format(time.RFC3339)))
	}
	allowed, bound := s.SignerKeys[strings.TrimPrefix(string(name), "targets/")]
	if !bound {
		return nil
	}
	count := 0
	for _, key := range r.keys {
		if slices.ContainsFunc(key, func(id string) bool { return slices.Contains(allowed, id) }) {
			count++
		}
	}
	if count < r.threshold {
		return refuse(trust.UnknownSigner, name, errors.New("it is signed, but not by the keys that signer-keys in the policy allows"))
	}
	return nil
}

// signedBy names the delegations that list the same digest, as docker trust
// inspect does; a tag that only the repository's own key signed has none.
func (x *index) signedBy(w want, dgst digest.Digest) []string {
	var names []string
	for _, name := range x.signers {
		if got, ok := w.in(x.roles[name], nil); ok && got == dgst {
			names = append(names, strings.TrimPrefix(string(name), "targets/"))
		}
	}
	if len(names) == 0 {
		names = []string{RepositoryAdmin}
	}
	return names
}

// RepositoryAdmin is how docker trust names whoever holds the repository key.
const RepositoryAdmin = "Repo Admin"

func firstCommon(a, b []string) (string, bool) {
	for _, id := range a {
		if slices.Contains(b, id) {
			return id, true
		}
	}
	return "", false
}
