package signing

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// addSigner stages a signer: a delegation of its own and a share in
// targets/releases, both for all tags, as docker has it.
func (r *repository) addSigner(name string, keys []data.PublicKey) error {
	for _, role := range []data.RoleName{roleOf(name), releasesRole} {
		if err := r.AddDelegation(role, keys, []string{""}); err != nil {
			return err
		}
	}
	return nil
}

// AddSigner makes a signer of a repository, which begins if it has no
// signatures yet: then it gives the ID of the root key. Without keys the signer's
// own in the folder is taken. It takes the repository's targets key.
func (s *Signer) AddSigner(ctx context.Context, gun, name string, keys ...data.PublicKey) (rootKey string, err error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if len(keys) == 0 {
		key, err := s.keys.signerKey(name)
		if err != nil {
			return "", err
		}
		keys = append(keys, key)
	}
	ids, err := canonical(keys)
	if err != nil {
		return "", err
	}
	plan := func(r *repository) error {
		switch {
		case r.found == nil:
			if err := r.begin(); err != nil {
				return err
			}
		case subset(ids, r.holders(roleOf(name))) && subset(ids, r.holders(releasesRole)):
			return nil
		default:
			if err := r.unlock(targetsRole); err != nil {
				return err
			}
		}
		return r.addSigner(name, keys)
	}
	began, err := s.change(ctx, gun, plan, func(found *tuf.Repo) error {
		r := &repository{found: found}
		if subset(ids, r.holders(roleOf(name))) && subset(ids, r.holders(releasesRole)) {
			return nil
		}
		return errConflict
	})
	if err != nil || !began {
		return "", err
	}
	return s.rootKey()
}

func canonical(keys []data.PublicKey) ([]string, error) {
	var ids []string
	for _, key := range keys {
		id, err := utils.CanonicalKeyID(key)
		if err != nil {
			return nil, fmt.Errorf("a signer's key: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func subset(some, of []string) bool {
	return !slices.ContainsFunc(some, func(id string) bool { return !slices.Contains(of, id) })
}

// ErrLastSigner says that the tags of a repository would be signed by nobody.
var ErrLastSigner = errors.New("no other signer would be left")

// RemoveSigner takes a signer's delegation and its share in targets/releases
// away. What that signer alone has signed there is signed anew by a key that
// is here, or else no engine would believe it any more.
func (s *Signer) RemoveSigner(ctx context.Context, gun, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	role := roleOf(name)
	plan := func(r *repository) error {
		if r.found == nil || r.delegations()[role] == nil {
			return fmt.Errorf("%s is no signer of %s", name, gun)
		}
		if err := r.unlock(targetsRole); err != nil {
			return err
		}
		if err := r.leaveReleases(name); err != nil {
			return err
		}
		return r.RemoveDelegationRole(role)
	}
	_, err := s.change(ctx, gun, plan, func(found *tuf.Repo) error {
		if (&repository{found: found}).delegations()[role] != nil {
			return errConflict
		}
		return nil
	})
	return err
}

// leaveReleases takes a signer's keys from targets/releases, but for those
// that another signer has as well.
func (r *repository) leaveReleases(name string) error {
	all := r.holders(releasesRole)
	if len(all) == 0 {
		return nil
	}
	leaving := slices.DeleteFunc(r.holders(roleOf(name)), func(id string) bool {
		for other := range r.delegations() {
			if other != roleOf(name) && other != releasesRole && slices.Contains(r.holders(other), id) {
				return true
			}
		}
		return !slices.Contains(all, id)
	})
	staying := slices.DeleteFunc(all, func(id string) bool { return slices.Contains(leaving, id) })
	if len(leaving) == 0 {
		return nil
	}
	if len(staying) == 0 {
		return fmt.Errorf("%s is the last signer of %s: %w; add another one first", name, r.gun, ErrLastSigner)
	}
	i := slices.IndexFunc(staying, r.keys.has)
	if i < 0 {
		return fmt.Errorf("what %s has signed in %s of %s would have to be signed by another signer, and none of their keys (%s) is in %s", name, releasesRole, r.gun, shorten(staying), r.keys.dir)
	}
	if err := r.keys.unlock(staying[i], fmt.Sprintf("%s of %s", releasesRole, r.gun)); err != nil {
		return err
	}
	if err := r.RemoveDelegationKeys(releasesRole, leaving); err != nil {
		return err
	}
	if r.found.Targets[releasesRole] == nil {
		return nil // nothing was ever signed in it
	}
	_, err := r.Witness(releasesRole)
	return err
}

// ParsePublicKey reads a signer's public key or certificate, as `docker trust
// key generate` writes it and as a UCP client bundle has it in cert.pem.
func ParsePublicKey(raw []byte, now time.Time) (data.PublicKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("it holds no public key and no certificate in PEM form")
	}
	if block.Type == "CERTIFICATE" {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate: %w", err)
		}
		if now.After(certificate.NotAfter) {
			return nil, fmt.Errorf("the certificate has expired on %s", certificate.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	// Headers are docker's note for whom the key is, and no part of it.
	return utils.ParsePEMPublicKey(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}))
}
