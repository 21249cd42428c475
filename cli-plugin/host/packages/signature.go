package packages

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const (
	maxSignature  = 1 << 20 // bytes; one signature is about 600
	maxSignatures = 32      // Debian signs a release with two or three keys
)

// weakHashes do not carry a signature any more; apt 2.6 refuses them too.
var weakHashes = map[crypto.Hash]bool{crypto.MD5: true, crypto.SHA1: true, crypto.RIPEMD160: true}

// A signer is a key of a keyring whose signature verified.
type signer struct {
	primary Fingerprint // what a key is known by
	key     Fingerprint // what signed: the primary key, or a signing subkey of it
	name    string      // user ID
	made    time.Time
}

func (s signer) String() string {
	text := fmt.Sprintf("%s (%s)", s.primary, s.name)
	if s.key != s.primary {
		text += fmt.Sprintf(", by its subkey %s", s.key)
	}
	return text
}

// A check is the outcome of verifying all signatures over some bytes.
type check struct {
	signers    []signer
	rejected   []string // why each other signature does not count
	unreadable []string // signatures of a kind that cannot be judged here
}

// verify checks each signature in sigs over the bytes that signed yields.
// Keys and signatures that are expired or revoked at now do not count.
func verify(ring keyring, signed func() io.Reader, sigs []byte, now time.Time) (check, error) {
	var c check
	packets := packet.NewOpaqueReader(bytes.NewReader(sigs))
	for range maxSignatures {
		opaque, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return c, nil
		}
		if err != nil {
			return check{}, fmt.Errorf("reading OpenPGP signature: %w", err)
		}
		c.add(ring, signed, opaque, now)
	}
	return check{}, fmt.Errorf("reading OpenPGP signature: more than %d", maxSignatures)
}

func (c *check) add(ring keyring, signed func() io.Reader, opaque *packet.OpaquePacket, now time.Time) {
	parsed, err := opaque.Parse()
	if err != nil {
		c.unreadable = append(c.unreadable, fmt.Sprintf("a signature cannot be read: %v", err))
		return
	}
	sig, ok := parsed.(*packet.Signature)
	switch {
	case !ok || sig.IssuerKeyId == nil:
		c.unreadable = append(c.unreadable, "a signature names no issuer")
		return
	case weakHashes[sig.Hash]:
		c.rejected = append(c.rejected, fmt.Sprintf("the signature of key %s rests on %v, which is broken", issuer(sig), sig.Hash))
		return
	}
	var raw bytes.Buffer
	if err := opaque.Serialize(&raw); err != nil {
		c.unreadable = append(c.unreadable, fmt.Sprintf("a signature cannot be read: %v", err))
		return
	}
	c.addKnown(ring.holding(*sig.IssuerKeyId), signed, sig, raw.Bytes(), now)
}

// addKnown tries the entities that hold the issuing key. A keyring may hold
// two copies of a key, one of them prolonged: one that verifies is enough.
func (c *check) addKnown(entities openpgp.EntityList, signed func() io.Reader, sig *packet.Signature, raw []byte, now time.Time) {
	if len(entities) == 0 {
		c.rejected = append(c.rejected, fmt.Sprintf("signed by key %s, which is not among the keys trusted here", issuer(sig)))
		return
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	var last string
	for _, e := range entities {
		_, _, err := openpgp.VerifyDetachedSignature(openpgp.EntityList{e}, signed(), bytes.NewReader(raw), config)
		if err == nil {
			c.signers = append(c.signers, newSigner(e, sig))
			return
		}
		last = fmt.Sprintf("signature of key %s (%s): %s", fingerprint(e.PrimaryKey), userID(e), whyNot(err))
	}
	c.rejected = append(c.rejected, last)
}

func whyNot(err error) string {
	switch {
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "the key has expired, or is dated in the future"
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "the key is revoked"
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "the signature has expired, or is dated in the future"
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "the key may not sign"
	default:
		return "does not verify: " + err.Error()
	}
}

func newSigner(e *openpgp.Entity, sig *packet.Signature) signer {
	s := signer{primary: fingerprint(e.PrimaryKey), key: fingerprint(e.PrimaryKey), name: userID(e), made: sig.CreationTime}
	for _, sub := range e.Subkeys {
		if sub.PublicKey.KeyId == *sig.IssuerKeyId {
			s.key = fingerprint(sub.PublicKey)
		}
	}
	return s
}

func fingerprint(k *packet.PublicKey) Fingerprint {
	return Fingerprint(fmt.Sprintf("%X", k.Fingerprint))
}

func issuer(sig *packet.Signature) string {
	if len(sig.IssuerFingerprint) > 0 {
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	}
	return fmt.Sprintf("ID %016X", *sig.IssuerKeyId)
}

// userID is the first of a key's user IDs in the order of the alphabet, so
// that one key always goes by one name.
func userID(e *openpgp.Entity) string {
	if len(e.Identities) == 0 {
		return "no user ID"
	}
	return slices.Min(slices.Collect(maps.Keys(e.Identities)))
}

// why joins what spoke against the signatures.
func (c check) why() string {
	if reasons := append(append([]string(nil), c.rejected...), c.unreadable...); len(reasons) > 0 {
		return strings.Join(reasons, "; ")
	}
	return "it carries no signature"
}

// clearsigned splits a message signed in clear text (RFC 9580, 7) into the
// bytes its signature covers, with Unix line ends, and the signatures. Text
// outside the message is an error: somebody might take it for signed.
func clearsigned(data []byte) (signed, text, sigs []byte, err error) {
	if !bytes.HasPrefix(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, nil, nil, errors.New("does not begin with a signed message")
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, nil, nil, errors.New("is no signed message in clear text")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, nil, nil, errors.New("has text behind its signature")
	}
	sigs, err = readAll(block.ArmoredSignature.Body, "signature", maxSignature)
	if err != nil {
		return nil, nil, nil, err
	}
	return block.Bytes, bytes.ReplaceAll(block.Bytes, []byte("\r\n"), []byte("\n")), sigs, nil
}

// detached reads a detached signature, armored or not.
func detached(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		return data, nil
	}
	block, err := armor.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("reading armored signature: %w", err)
	}
	return readAll(block.Body, "signature", maxSignature)
}
