package notary

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf/data"
)

// A Candidate is the root that a server offers for a repository. Nobody
// vouches for it: it is for a person to compare with what its publisher says.
type Candidate struct {
	GUN       string
	Server    string
	Version   int
	Threshold int
	Expires   time.Time
	Keys      []RootKey // that signed it
}

// A RootKey is a key that a pin may name, by its own ID or its certificate's.
type RootKey struct {
	ID            string // for root-keys
	CertificateID string // for cert-ids
	NotBefore     time.Time
	NotAfter      time.Time
}

// Candidate fetches the root that the scope's servers offer now, whatever the
// pins say, and keeps nothing of it.
func (v *Verifier) Candidate(ctx context.Context, ref reference.Named, s Scope) (Candidate, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRound)
	defer cancel()
	gun := data.GUN(ref.Name())
	var errs []error
	for _, base := range s.Servers {
		client, err := v.opts.Clients.TrustServer(base, s.CA, string(gun))
		if err != nil {
			return Candidate{}, about(ref, err)
		}
		src := &server{base: strings.TrimSuffix(base, "/"), gun: gun, client: client}
		found, err := rooting{gun: gun, scope: s, now: v.opts.Now()}.offered(ctx, src)
		if err == nil {
			found.Server = base
			return found, nil
		}
		errs = append(errs, err)
		if !unanswered(err) {
			return Candidate{}, about(ref, err)
		}
	}
	if len(errs) == 1 {
		return Candidate{}, about(ref, errs[0])
	}
	return Candidate{}, about(ref, errors.Join(errs...))
}

// offered reads the newest root of src, which must be signed by its own keys
// and made for this repository.
func (r rooting) offered(ctx context.Context, src source) (Candidate, error) {
	newest, err := r.fetch(ctx, src, 0)
	if errors.Is(err, errNotFound) {
		return Candidate{}, refuse(trust.Unsigned, data.CanonicalRootRole, fmt.Errorf("the trust server has no signatures for %s", r.gun))
	}
	if err != nil {
		return Candidate{}, err
	}
	root := newest.current()
	found := Candidate{GUN: string(r.gun), Version: root.Signed.Version, Threshold: root.Signed.Roles[data.CanonicalRootRole].Threshold, Expires: root.Signed.Expires.UTC()}
	for _, key := range rootKeys(root) {
		leaf, ours := leafFor(key, r.gun)
		canonical, err := canonicalID(key)
		if !ours || err != nil {
			continue
		}
		alone := data.BaseRole{Name: data.CanonicalRootRole, Threshold: 1, Keys: map[string]data.PublicKey{key.ID(): key}}
		if signedByRole(newest.currentRaw(), alone) != nil {
			continue
		}
		found.Keys = append(found.Keys, RootKey{ID: canonical, CertificateID: key.ID(), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC()})
	}
	if len(found.Keys) == 0 || len(found.Keys) < found.Threshold {
		return Candidate{}, refuse(trust.BadSignature, data.CanonicalRootRole, errors.New("the root is not signed by keys of its own that are made for this repository"))
	}
	return found, nil
}
