package notary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
)

// maxRotations bounds the walk back to a pinned root: a key rotated every
// month for ten years.
const maxRotations = 120

const maxChain = 2 << 20 // bytes of all roots before the current one

// A chain is the root metadata of one repository from the one a pin accepts
// to the current one, each signed by the keys of the one before.
type chain struct {
	raw   [][]byte
	roots []*data.SignedRoot
}

func (c chain) current() *data.SignedRoot { return c.roots[len(c.roots)-1] }

func (c chain) currentRaw() []byte { return c.raw[len(c.raw)-1] }

// prepend puts an older root before the others.
func (c chain) prepend(raw []byte, root *data.SignedRoot) chain {
	return chain{slices.Insert(c.raw, 0, raw), slices.Insert(c.roots, 0, root)}
}

// notaryPins tells notary's own check which certificates to take for trusted:
// those of every root in the chain, because that was decided before.
func (c chain) notaryPins(gun data.GUN) trustpinning.TrustPinConfig {
	var ids []string
	for _, root := range c.roots {
		ids = append(ids, root.Signed.Roles[data.CanonicalRootRole].KeyIDs...)
	}
	return trustpinning.TrustPinConfig{Certs: map[string][]string{string(gun): ids}, DisableTOFU: true}
}

// A rooting finds the roots of one repository.
type rooting struct {
	gun   data.GUN
	scope Scope
	now   time.Time
}

// follow finds the chain that ends in the root src serves now: from a root
// that the pins accept or, when one is known, from there and nowhere else. The
// roots in between are only looked at until the chain is whole; its links are
// checked then.
func (r rooting) follow(ctx context.Context, src source, known chain) (chain, error) {
	newest, err := r.fetch(ctx, src, 0)
	if errors.Is(err, errNotFound) {
		return chain{}, refuse(trust.Unsigned, data.CanonicalRootRole, fmt.Errorf("the trust server has no signatures for %s", r.gun))
	}
	if err != nil {
		return chain{}, err
	}
	found, size := newest, 0
	for range maxRotations {
		begun, err := r.begins(found, known)
		if err != nil {
			return chain{}, err
		}
		if len(begun.roots) > 0 {
			return begun, r.checkLinks(begun)
		}
		version := found.roots[0].Signed.Version - 1
		if version < 1 {
			break
		}
		older, err := r.fetch(ctx, src, version)
		if errors.Is(err, errNotFound) {
			break
		}
		if err != nil {
			return chain{}, err
		}
		if older.current().Signed.Version != version {
			return chain{}, refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("what is served as version %d of the root is something else", version))
		}
		if size += len(older.raw[0]); size > maxChain {
			return chain{}, refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("the roots before it have more than the %d MiB that are read", maxChain>>20))
		}
		found = found.prepend(older.raw[0], older.roots[0])
	}
	if len(known.roots) > 0 {
		return chain{}, refuse(trust.UnknownSigner, data.CanonicalRootRole, fmt.Errorf("version %d cannot be followed from version %d, which was seen before: the server lacks a version in between", newest.current().Signed.Version, known.current().Signed.Version))
	}
	return chain{}, r.notPinned(newest.current())
}

// fetch reads one root into a chain of its own. Its error is errNotFound or a
// *trust.Error.
func (r rooting) fetch(ctx context.Context, src source, version int) (chain, error) {
	raw, err := src.root(ctx, version)
	if errors.Is(err, errNotFound) {
		return chain{}, errNotFound
	}
	if err != nil {
		return chain{}, unanswerable(data.CanonicalRootRole, err)
	}
	untrusted, err := parseRoot(raw)
	if err != nil {
		return chain{}, unanswerable(data.CanonicalRootRole, err)
	}
	return chain{raw: [][]byte{raw}, roots: []*data.SignedRoot{untrusted}}, nil
}

// begins completes a chain whose first root can be one's beginning, and is
// empty while it cannot. A root that was known is the only beginning there is:
// whoever stole a key that has been rotated away can still sign another.
func (r rooting) begins(found, known chain) (chain, error) {
	if len(known.roots) == 0 {
		if r.pinned(found) {
			return found, nil
		}
		return chain{}, nil
	}
	first, last := found.roots[0].Signed.Version, known.current().Signed.Version
	switch {
	case first > last:
		return chain{}, nil
	case found.current().Signed.Version < last:
		return chain{}, olderRoot(found.current().Signed.Version, last)
	case !bytes.Equal(found.raw[0], known.currentRaw()):
		return chain{}, refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("version %d is not the one that was seen before", last))
	default:
		return chain{append(slices.Clone(known.raw), found.raw[1:]...), append(slices.Clone(known.roots), found.roots[1:]...)}, nil
	}
}

// olderRoot refuses a root below one that was seen.
func olderRoot(version, seen int) error {
	return refuse(trust.Rollback, data.CanonicalRootRole, fmt.Errorf("version %d, but version %d has been seen", version, seen))
}

func (r rooting) notPinned(root *data.SignedRoot) error {
	var offered []string
	for _, key := range rootKeys(root) {
		canonical, err := canonicalID(key)
		if err != nil {
			continue
		}
		if r.scope.revokes(key) {
			return refuse(trust.Revoked, data.CanonicalRootRole, fmt.Errorf("root key %s is revoked by the policy", canonical))
		}
		offered = append(offered, fmt.Sprintf("root key %s (certificate %s)", canonical, key.ID()))
	}
	return refuse(trust.UnknownSigner, data.CanonicalRootRole, fmt.Errorf("no pin of scope %q accepts the root, which is signed with %s", r.scope.Pattern, strings.Join(offered, " and ")))
}

// pinned reports whether a key that the pins name is one of the first root's
// own keys, is certified for this repository, and has signed this very root.
func (r rooting) pinned(found chain) bool {
	for _, key := range rootKeys(found.roots[0]) {
		if !r.scope.pins(key) || !certifies(key, r.gun, r.now) {
			continue
		}
		if signedByRole(found.raw[0], data.BaseRole{Name: data.CanonicalRootRole, Threshold: 1, Keys: map[string]data.PublicKey{key.ID(): key}}) == nil {
			return true
		}
	}
	return false
}

// pinnedUntil is when the last certificate ends by which the chain was pinned.
func (r rooting) pinnedUntil(found chain) time.Time {
	var until time.Time
	for _, key := range rootKeys(found.roots[0]) {
		if leaf, ours := leafFor(key, r.gun); ours && r.scope.pins(key) {
			until = latest(until, leaf.NotAfter)
		}
	}
	return until
}

func signedByRole(raw []byte, role data.BaseRole) error {
	untrusted, err := parseSigned(raw)
	if err != nil {
		return err
	}
	return signed.VerifySignatures(untrusted, role)
}

// checkLinks holds each root of the chain against the one before and against
// its own keys and threshold, as TUF 1.0.31, 5.3.4 and 5.3.5 ask. Keys that
// the policy revokes count for nothing.
func (r rooting) checkLinks(found chain) error {
	pins := found.notaryPins(r.gun)
	var previous *data.SignedRoot
	for i, raw := range found.raw {
		version := found.roots[i].Signed.Version
		for _, root := range []*data.SignedRoot{previous, found.roots[i]} {
			if root == nil {
				continue
			}
			if err := signedByRole(raw, r.unrevoked(root)); err != nil {
				return refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("root version %d does not follow from the pinned one: %w", version, err))
			}
		}
		untrusted, err := parseSigned(raw)
		if err != nil {
			return unanswerable(data.CanonicalRootRole, err)
		}
		if previous, err = trustpinning.ValidateRoot(previous, untrusted, r.gun, pins); err != nil {
			return refuse(trust.BadSignature, data.CanonicalRootRole, fmt.Errorf("root version %d does not follow from the pinned one: %w", version, err))
		}
		found.roots[i] = previous // with its signatures marked as verified
	}
	return nil
}

// unrevoked is the root role of a root without keys that do not count: revoked
// ones, and ones whose certificate is for another repository or out of form.
func (r rooting) unrevoked(root *data.SignedRoot) data.BaseRole {
	role := data.BaseRole{Name: data.CanonicalRootRole, Threshold: root.Signed.Roles[data.CanonicalRootRole].Threshold, Keys: map[string]data.PublicKey{}}
	for _, key := range rootKeys(root) {
		if _, ours := leafFor(key, r.gun); ours && !r.scope.revokes(key) {
			role.Keys[key.ID()] = key
		}
	}
	return role
}
