package policy

import (
	"context"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// Inspect tells all that the verified metadata of a repository says, and what
// the policy makes of it. Without a pin the error says that nothing is known.
func (v *Verifier) Inspect(ctx context.Context, ref reference.Named) (notary.Repository, error) {
	scope, pinned := v.scope(ref)
	if !pinned {
		return notary.Repository{}, noScope(ref)
	}
	found, err := v.notary.Inspect(ctx, ref, scope)
	return v.withdraw(found), err
}

// withdraw refuses the tags whose digest the policy revokes.
func (v *Verifier) withdraw(found notary.Repository) notary.Repository {
	for i, tag := range found.Tags {
		if slices.Contains(v.policy.Revoked.Digests, tag.Signed.Digest) {
			found.Tags[i] = notary.Tag{Name: tag.Name, Err: revokedDigest(nil, tag.Signed.Digest)}
		}
	}
	return found
}

// Candidate asks a repository's trust server for the root that it offers,
// which nobody vouches for, so that a person can compare it and pin it.
func (v *Verifier) Candidate(ctx context.Context, ref reference.Named) (notary.Candidate, error) {
	return v.notary.Candidate(ctx, ref, v.gather(ref))
}

// Known tells of every repository that was verified before what is kept of
// it, by name, and asks no server.
func (v *Verifier) Known(ctx context.Context) ([]Carried, error) {
	names, err := v.notary.Repositories()
	if err != nil {
		return nil, err
	}
	var list []Carried
	for _, name := range names {
		known := Carried{Repository: notary.Repository{GUN: name}}
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue // no image can have this name
		}
		if scope, pinned := v.scope(ref); pinned {
			var described notary.Repository
			if described, known.Err = v.notary.Kept(ctx, ref, scope); known.Err == nil {
				known.Repository, known.Err = v.withdraw(described), described.Err
			}
		} else {
			known.Err = noScope(ref)
		}
		list = append(list, known)
	}
	return list, nil
}

// Servers are the trust servers that are asked about a repository, in order.
func (v *Verifier) Servers(ref reference.Named) []string { return v.servers(ref) }
