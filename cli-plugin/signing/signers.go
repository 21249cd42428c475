package signing

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

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
	began, err := s.change(ctx, gun, plan, func(now *repository) error {
		if subset(ids, now.holders(roleOf(name))) && subset(ids, now.holders(releasesRole)) {
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
