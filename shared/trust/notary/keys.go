package notary

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// canonicalID is the ID of the key itself, whatever certificate it comes in.
func canonicalID(key data.PublicKey) (string, error) {
	if isCertificate(key) {
		if _, err := certificates(key); err != nil {
			return "", err
		}
	}
	return utils.CanonicalKeyID(key)
}

// A signingKey is the IDs of one key that signed: its canonical one, and its
// own where a certificate has another.
type signingKey []string

// signedBy gives the keys of a role whose signatures verified. A certificate
// out of form is an error: what its key is called depends on who reads it, and
// what is revoked must not depend on that.
func signedBy(signatures []data.Signature, role data.BaseRole) ([]signingKey, error) {
	var keys []signingKey
	for _, signature := range signatures {
		key, ok := role.Keys[signature.KeyID]
		if !ok || !signature.IsValid {
			continue
		}
		canonical, err := canonicalID(key)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", signature.KeyID, err)
		}
		ids := signingKey{canonical}
		if signature.KeyID != canonical {
			ids = append(ids, signature.KeyID)
		}
		if !slices.ContainsFunc(keys, func(k signingKey) bool { return k[0] == canonical }) {
			keys = append(keys, ids)
		}
	}
	return keys, nil
}

func isCertificate(key data.PublicKey) bool {
	return key.Algorithm() == data.ECDSAx509Key || key.Algorithm() == data.RSAx509Key
}

// certificates reads the certificates of a key. They must be plain PEM and
// nothing else: notary reads such a key in two ways, of which one skips blocks
// with headers, and a key may not be one thing to the pin and another to the
// signature.
func certificates(key data.PublicKey) ([]*x509.Certificate, error) {
	certs, err := utils.LoadCertBundleFromPEM(key.Public())
	if err != nil {
		return nil, err
	}
	plain, err := utils.CertChainToPEM(certs)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(plain, key.Public()) {
		return nil, errors.New("a certificate is not in plain PEM")
	}
	return certs, nil
}

// Bounds of one key.
const (
	maxKeyBytes = 16 << 10 // a certificate with those above it
	maxRSABits  = 8192     // a signature takes a millisecond to verify
)

// checkSize refuses a key that is there to keep its reader busy.
func checkSize(key data.PublicKey) error {
	if len(key.Public()) > maxKeyBytes {
		return fmt.Errorf("key %s has %d bytes, and %d are the most that are read", key.ID(), len(key.Public()), maxKeyBytes)
	}
	var public any
	switch key.Algorithm() {
	case data.RSAKey:
		public, _ = x509.ParsePKIXPublicKey(key.Public())
	case data.RSAx509Key:
		if certs, err := certificates(key); err == nil {
			public = certs[0].PublicKey
		}
	}
	if rsaKey, ok := public.(*rsa.PublicKey); ok && rsaKey.N.BitLen() > maxRSABits {
		return fmt.Errorf("RSA key %s has %d bits, and %d are the most that are accepted", key.ID(), rsaKey.N.BitLen(), maxRSABits)
	}
	return nil
}

// rootKeys are the keys of the root role, each once.
func rootKeys(root *data.SignedRoot) []data.PublicKey {
	var keys []data.PublicKey
	ids := slices.Clone(root.Signed.Roles[data.CanonicalRootRole].KeyIDs)
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if key, ok := root.Signed.Keys[id]; ok && key.ID() == id {
			keys = append(keys, key)
		}
	}
	return keys
}

// certifies reports whether a root key's certificate is for this repository.
// One root key may serve many repositories; the common name of its certificate
// is what keeps one's root from being served for another.
func certifies(key data.PublicKey, gun data.GUN, now time.Time) bool {
	leaf, ok := leafFor(key, gun)
	return ok && !now.Before(leaf.NotBefore) && !now.After(leaf.NotAfter)
}

// leafFor gives the certificate of a root key if it is for this repository.
func leafFor(key data.PublicKey, gun data.GUN) (*x509.Certificate, bool) {
	certs, err := certificates(key)
	if err != nil || len(utils.GetLeafCerts(certs)) != 1 || certs[0].IsCA {
		return nil, false
	}
	return certs[0], trustpinning.MatchCNToGun(certs[0].Subject.CommonName, gun)
}

// pins reports whether the policy names the key. Certificate pins, of one
// repository, win over root key pins; what is revoked pins nothing.
func (s Scope) pins(key data.PublicKey) bool {
	canonical, err := canonicalID(key)
	if err != nil || s.revokes(key) {
		return false
	}
	if len(s.CertIDs) > 0 {
		return slices.Contains(s.CertIDs, key.ID())
	}
	return slices.Contains(s.RootKeys, canonical)
}

func (s Scope) revokes(key data.PublicKey) bool {
	canonical, err := canonicalID(key)
	return err != nil || slices.Contains(s.RevokedKeys, key.ID()) || slices.Contains(s.RevokedKeys, canonical)
}
