package notary

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker/go/canonical/json"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
	"github.com/theupdateframework/notary/tuf/utils"
)

// maxRotations bounds the walk back to a pinned root: a key rotated every
// month for ten years.
const maxRotations = 120

// A chain is the root metadata of one repository from the one a pin accepts
// to the current one, each signed by the keys of the one before.
type chain struct {
	raw   [][]byte
	roots []*data.SignedRoot
}

// current is the last root of the chain.
func (c chain) current() *data.SignedRoot { return c.roots[len(c.roots)-1] }

// certIDs are the IDs of every root key in the chain, for notary's own check:
// which of them are trusted has been decided by then.
func (c chain) certIDs() []string {
	var ids []string
	for _, root := range c.roots {
		ids = append(ids, root.Signed.Roles[data.CanonicalRootRole].KeyIDs...)
	}
	return ids
}

// followRoots finds the chain that ends in the root src serves now. Each root
// is only looked at until the pins accept one; the links are checked after.
func followRoots(ctx context.Context, gun data.GUN, s Scope, src source, now time.Time) (chain, error) {
	raw, err := src.root(ctx, 0)
	if errors.Is(err, errNotFound) {
		return chain{}, refuse(trust.Unsigned, data.CanonicalRootRole, fmt.Errorf("the trust server has no signatures for %s", gun))
	}
	if err != nil {
		return chain{}, unanswerable(data.CanonicalRootRole, err)
	}
	untrusted, err := parseRoot(raw)
	if err != nil {
		return chain{}, unanswerable(data.CanonicalRootRole, err)
	}
	found := chain{raw: [][]byte{raw}, roots: []*data.SignedRoot{untrusted}}
	newest := untrusted
	for range maxRotations {
		if pinned(gun, s, found.roots[0], found.raw[0], now) {
			return found, checkLinks(gun, found)
		}
		version := found.roots[0].Signed.Version - 1
		if version < 1 {
			break
		}
		raw, err := src.root(ctx, version)
		if errors.Is(err, errNotFound) {
			break
		}
		if err != nil {
			return chain{}, unanswerable(data.CanonicalRootRole, err)
		}
		older, err := parseRoot(raw)
		if err != nil || older.Signed.Version != version {
			return chain{}, refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("what is served as version %d of the root is something else", version))
		}
		found.raw = slices.Insert(found.raw, 0, raw)
		found.roots = slices.Insert(found.roots, 0, older)
	}
	return chain{}, refuse(trust.UnknownSigner, data.CanonicalRootRole, notPinned(s, newest))
}

func notPinned(s Scope, root *data.SignedRoot) error {
	var offered []string
	for _, key := range rootKeys(root) {
		canonical, _ := utils.CanonicalKeyID(key)
		offered = append(offered, fmt.Sprintf("root key %s (certificate %s)", canonical, key.ID()))
	}
	return fmt.Errorf("no pin of scope %q accepts the root, which is signed with %s", s.Pattern, strings.Join(offered, " and "))
}

func parseRoot(raw []byte) (*data.SignedRoot, error) {
	untrusted, err := parseSigned(raw)
	if err != nil {
		return nil, err
	}
	return data.RootFromSigned(untrusted)
}

func parseSigned(raw []byte) (*data.Signed, error) {
	untrusted := new(data.Signed)
	if err := json.Unmarshal(raw, untrusted); err != nil {
		return nil, fmt.Errorf("the answer is no TUF metadata: %w", err)
	}
	if untrusted.Signed == nil {
		return nil, errors.New("the answer is no TUF metadata: it has no signed part")
	}
	return untrusted, nil
}

func rootKeys(root *data.SignedRoot) []data.PublicKey {
	var keys []data.PublicKey
	for _, id := range root.Signed.Roles[data.CanonicalRootRole].KeyIDs {
		if key, ok := root.Signed.Keys[id]; ok && key.ID() == id {
			keys = append(keys, key)
		}
	}
	return keys
}

// pinned reports whether a key that the pins name is one of the root's own
// keys, is certified for this repository, and has signed this very root.
func pinned(gun data.GUN, s Scope, root *data.SignedRoot, raw []byte, now time.Time) bool {
	for _, key := range rootKeys(root) {
		if !pinNames(s, key) || !certifies(key, gun, now) {
			continue
		}
		untrusted, err := parseSigned(raw)
		if err != nil {
			return false
		}
		alone := data.BaseRole{Name: data.CanonicalRootRole, Threshold: 1, Keys: map[string]data.PublicKey{key.ID(): key}}
		if signed.VerifySignatures(untrusted, alone) == nil {
			return true
		}
	}
	return false
}

// pinNames: certificate pins, of one repository, win over root key pins.
func pinNames(s Scope, key data.PublicKey) bool {
	if len(s.CertIDs) > 0 {
		return slices.Contains(s.CertIDs, key.ID())
	}
	canonical, err := utils.CanonicalKeyID(key)
	return err == nil && slices.Contains(s.RootKeys, canonical)
}

// certifies reports whether a root key's certificate is for this repository.
// One root key may serve many repositories; the common name of its certificate
// is what keeps one's root from being served for another.
func certifies(key data.PublicKey, gun data.GUN, now time.Time) bool {
	cert, err := leafCertificate(key)
	return err == nil && trustpinning.MatchCNToGun(cert.Subject.CommonName, gun) &&
		!now.Before(cert.NotBefore) && !now.After(cert.NotAfter)
}

func leafCertificate(key data.PublicKey) (*x509.Certificate, error) {
	certs, err := utils.LoadCertBundleFromPEM(key.Public())
	if err != nil {
		return nil, err
	}
	leaves := utils.GetLeafCerts(certs)
	if len(leaves) != 1 || certs[0].IsCA {
		return nil, errors.New("want one leaf certificate, first in its bundle")
	}
	return leaves[0], nil
}

// checkLinks holds each root of the chain against the one before and against
// its own keys and threshold, as TUF 1.0.31, 5.3.4 and 5.3.5 ask.
func checkLinks(gun data.GUN, found chain) error {
	pins := trustpinning.TrustPinConfig{Certs: map[string][]string{string(gun): found.certIDs()}, DisableTOFU: true}
	var previous *data.SignedRoot
	for i, raw := range found.raw {
		untrusted, err := parseSigned(raw)
		if err != nil {
			return unanswerable(data.CanonicalRootRole, err)
		}
		if previous, err = trustpinning.ValidateRoot(previous, untrusted, gun, pins); err != nil {
			return refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("root version %d does not follow from the pinned one: %w", found.roots[i].Signed.Version, err))
		}
		found.roots[i] = previous // with its signatures marked as verified
	}
	return nil
}
