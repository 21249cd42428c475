// Package policy reads the site's policy file and judges images by it.
//
// It decides which scope of the policy holds for an image and asks the
// signature scheme that the scope names; it is the one package that knows the
// schemes. An image under no scope is refused, a scope without a pin is no
// scope, and what the policy revokes is refused whatever else allows it. What
// becomes of a refusal (Open, deny, log) is the caller's business.
package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
)

// Options configure a Verifier. Now is required.
type Options struct {
	Now      func() time.Time
	StateDir string             // what has to outlive the process: trust data, versions seen, manifests; empty: memory only
	Logins   access.Credentials // for trust servers and registries; nil: nobody's
	CertDirs []string           // folders with certificates by host, as docker has them
	Changed  func(gun string)   // told when what is known of a repository changes; must not wait; nil: nobody
	Log      *slog.Logger       // nil: discard
}

// A Verifier judges images by a policy. It implements trust.Verifier.
type Verifier struct {
	policy       *Policy
	certIDs      map[string][]string
	rootKeys     scopes[[]string]
	signers      scopes[[]string]
	digests      scopes[[]digest.Digest]
	allowExpired scopes[Duration]
	notary       *notary.Verifier
	contents     *contents
	access       access.Options
	memo         *memo
}

// NewVerifier makes a Verifier of a policy that Load or Parse returned. It
// opens no connection.
func NewVerifier(p *Policy, opts Options) *Verifier {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	pins := p.ContentTrust.TrustPinning
	reach := access.Options{Credentials: opts.Logins, CertDirs: opts.CertDirs, Timeout: time.Duration(p.Notary.Timeout)}
	clients := access.New(reach)
	options := notary.Options{
		Now:             opts.Now,
		Clients:         clients,
		Refresh:         time.Duration(p.Notary.Refresh),
		Timeout:         time.Duration(p.Notary.Timeout),
		MaxRepositories: p.Notary.MaxRepositories,
		MaxMemory:       int64(p.Notary.MaxMemory),
		Changed:         opts.Changed,
		Log:             opts.Log,
	}
	library := manifests.Options{Now: opts.Now, Log: opts.Log}
	if opts.StateDir != "" {
		options.CacheDir, library.Dir = filepath.Join(opts.StateDir, "trust"), filepath.Join(opts.StateDir, "manifests")
	}
	return &Verifier{
		policy:       p,
		certIDs:      pins.CertIDs,
		rootKeys:     compile(pins.RootKeys),
		signers:      compile(p.Signers),
		digests:      compile(p.Digests),
		allowExpired: compile(p.AllowExpired),
		notary:       notary.New(options),
		contents:     &contents{imported: manifests.New(library), clients: clients, now: opts.Now},
		access:       reach,
		memo:         &memo{scopes: map[string]notary.Scope{}},
	}
}

// Run keeps what is asked about fresh until ctx is done, so that questions are
// answered from memory.
func (v *Verifier) Run(ctx context.Context) { v.notary.Run(ctx) }

// Close lets go of connections to trust servers and registries, now and from
// now on. It is for a policy that another has taken the place of: questions
// that are under way are answered.
func (v *Verifier) Close() { v.contents.clients.Close() }

// Stats tells what is kept in memory of signed repositories.
func (v *Verifier) Stats() notary.Stats { return v.notary.Stats() }

// SignaturesOnly is the verifier without the digest lists: what they let run
// is approved, and no requirement asks for approval.
func (v *Verifier) SignaturesOnly() *Verifier {
	signatures := *v
	signatures.digests = scopes[[]digest.Digest]{}
	return &signatures
}

// Verify judges the question by the most specific scope. Pins and a digest
// list of one repository are alternatives: either suffices, and a signature
// is preferred because it says more.
func (v *Verifier) Verify(ctx context.Context, q trust.Question) (trust.Signed, error) {
	if q.Ref == nil {
		return trust.Signed{}, &trust.Error{Err: errors.New("no image is named")}
	}
	signed, err := v.judge(ctx, v.contents.cover(q))
	if err == nil && v.unseen(q.Ref, signed.Digest) {
		v.look(ctx, q.Ref, signed.Digest)
		return v.judge(ctx, v.contents.cover(q))
	}
	if err == nil || !mayBeCovered(q, err) {
		return signed, err
	}
	// It may be a part of a list that is vouched for, or the image of its
	// manifest: their bytes tell.
	if withdrawn := v.learn(ctx, q); withdrawn != nil {
		return trust.Signed{}, withdrawn
	}
	return v.judge(ctx, v.contents.cover(q))
}

func (v *Verifier) judge(ctx context.Context, q trust.Question) (trust.Signed, error) {
	if dgst, ok := v.revoked(q); ok {
		return trust.Signed{}, revokedDigest(q.Ref, dgst)
	}
	scope, pinned := v.scope(q.Ref)
	pattern, listed, hasList := v.digests.find(q.Ref.Name())
	if !pinned && !hasList {
		return trust.Signed{}, noScope(q.Ref)
	}
	var refusal error
	if pinned {
		signed, err := v.notary.Verify(ctx, q, scope)
		if err == nil {
			return v.unlessRevoked(q, signed)
		}
		if trust.IsRevoked(err) {
			return trust.Signed{}, err
		}
		refusal = err
	}
	if hasList {
		signed, err := fromList(q, pattern, listed)
		if err == nil {
			return signed, nil
		}
		if refusal == nil {
			refusal = err
		}
	}
	return trust.Signed{}, refusal
}

// revoked finds a revoked digest in what was asked for or is held.
func (v *Verifier) revoked(q trust.Question) (digest.Digest, bool) {
	candidates := append(q.Content.Digests(), q.Content.ID)
	if digested, ok := q.Ref.(reference.Digested); ok {
		candidates = append(candidates, digested.Digest())
		candidates = append(candidates, q.Covering...)
	}
	for _, revoked := range v.policy.Revoked.Digests {
		if slices.Contains(candidates, revoked) || v.names(q.Ref, candidates, revoked) {
			return revoked, true
		}
	}
	return "", false
}

// names reports whether one of the candidates is known to name a digest: who
// runs a list may run any part of it.
func (v *Verifier) names(ref reference.Named, candidates []digest.Digest, dgst digest.Digest) bool {
	parents := v.contents.parents(ref, dgst)
	return slices.ContainsFunc(candidates, func(c digest.Digest) bool { return slices.Contains(parents, c) })
}

func (v *Verifier) unlessRevoked(q trust.Question, signed trust.Signed) (trust.Signed, error) {
	for _, revoked := range v.policy.Revoked.Digests {
		if revoked == signed.Digest || v.names(q.Ref, []digest.Digest{signed.Digest}, revoked) {
			return trust.Signed{}, revokedDigest(q.Ref, revoked)
		}
	}
	return signed, nil
}

func revokedDigest(ref reference.Named, dgst digest.Digest) error {
	return &trust.Error{Reason: trust.Revoked, Ref: ref, Err: fmt.Errorf("digest %s is revoked by the policy", dgst)}
}

// fromList judges by the policy's own list of digests. A tag alone is let
// through without a digest: whoever acts on it must judge the content then.
func fromList(q trust.Question, pattern string, listed []digest.Digest) (trust.Signed, error) {
	approved := trust.Signed{Method: trust.DigestList, Source: trust.PolicyFile, Scope: pattern}
	asked := q.Content.Digests()
	if digested, ok := q.Ref.(reference.Digested); ok {
		asked = append([]digest.Digest{digested.Digest()}, q.Covering...)
		if !q.Content.IsZero() && !q.Content.Is(digested.Digest()) {
			return trust.Signed{}, &trust.Error{Reason: trust.DigestMismatch, Ref: q.Ref, Err: fmt.Errorf("the engine's image %s is not known to be that digest", q.Content.ID)}
		}
	}
	for _, dgst := range asked {
		if slices.Contains(listed, dgst) {
			approved.Digest = dgst
			return approved, nil
		}
	}
	if len(asked) == 0 && q.Content.IsZero() && !reference.IsNameOnly(q.Ref) {
		return approved, nil
	}
	return trust.Signed{}, &trust.Error{Reason: trust.DigestMismatch, Ref: q.Ref, Err: fmt.Errorf("its digest is not in the list of scope %q under digests in the policy", pattern)}
}
