package packages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const maxVendorKey = 1 << 20 // bytes; Docker's key is 4 KiB, Debian's whole archive keyring 60 KiB

// A VendorKey is a public key that somebody brought in a file, for the host's
// package manager to trust.
type VendorKey struct {
	Key
	Armored string // the key alone, in ASCII armor: the one form that apt and rpm both read from a file
	ID      uint64
	Made    time.Time
	ring    keyring
}

// readVendorKey reads the one key of a file of this machine. It has to be good
// for packages of the format: in the vendors' table or approved, neither
// expired nor revoked, and able to sign.
func readVendorKey(name string, format Format, approved []string, now time.Time) (VendorKey, error) {
	known, err := newKnownKeys(approved)
	if err != nil {
		return VendorKey{}, err
	}
	file, err := openFile(name)
	if err != nil {
		return VendorKey{}, fmt.Errorf("opening the vendor's key: %w", err)
	}
	defer file.Close()
	data, err := readAll(file, name, maxVendorKey)
	if err != nil {
		return VendorKey{}, fmt.Errorf("%w: it is too large for a vendor's key: export that key alone with gpg --armor --export FINGERPRINT", err)
	}
	k, user, err := parseVendorKey(name, data, now)
	if err != nil {
		return VendorKey{}, err
	}
	key, ok := known[k.Fingerprint]
	if !ok {
		return VendorKey{}, fmt.Errorf("%s holds the key %s (%q), which is no vendor's that is known: compare the fingerprint with the one that the vendor "+
			"publishes elsewhere and, if it is the same, put it under approved-keys in site.yaml", name, k.Fingerprint, user)
	}
	if key.Format != "" && key.Format != format {
		return VendorKey{}, fmt.Errorf("%s holds the key %s, with which the vendor signs its %s packages, and this host has %s: bring the key of those", name, key, key.Format, format)
	}
	k.Key = key
	return k, nil
}

// parseVendorKey reads and judges a key, but for whose it is. It gives the
// user ID that the key has of itself.
func parseVendorKey(name string, data []byte, now time.Time) (VendorKey, string, error) {
	raw, err := keyPackets(data)
	if err != nil {
		return VendorKey{}, "", fmt.Errorf("%s %w", name, err)
	}
	found, err := openpgp.ReadKeyRing(bytes.NewReader(raw))
	found = usable(found)
	if err != nil || len(found) != 1 {
		return VendorKey{}, "", fmt.Errorf("%s holds a key that cannot be read (%w): bring it as the vendor publishes it", name, errors.Join(err, errUnbound(found)))
	}
	e := found[0]
	k := VendorKey{ID: e.PrimaryKey.KeyId, Made: e.PrimaryKey.CreationTime, ring: keyring{keys: found, from: []string{name}}}
	k.Fingerprint = fingerprint(e.PrimaryKey)
	if _, err := ParseFingerprint(string(k.Fingerprint)); err != nil {
		return VendorKey{}, "", fmt.Errorf("%s holds a key of OpenPGP version %d, and vendors sign packages with version 4: bring that key", name, e.PrimaryKey.Version)
	}
	if fault := keyFault(e, now); fault != "" {
		return VendorKey{}, "", fmt.Errorf("%s holds the key %s (%q), which %s: bring the vendor's current key", name, k.Fingerprint, userID(e), fault)
	}
	k.Armored, err = armored(raw)
	return k, userID(e), err
}

func errUnbound(found openpgp.EntityList) error {
	if len(found) == 0 {
		return errors.New("it lacks a signature of its own over its name")
	}
	return nil
}

// keyFault says why a key is no good at a time.
func keyFault(e *openpgp.Entity, now time.Time) string {
	self, _ := e.PrimarySelfSignature()
	switch {
	case e.Revoked(now):
		return "is revoked"
	case e.PrimaryKey.KeyExpired(self, now):
		return "has expired, or is dated in the future"
	}
	if _, ok := e.SigningKey(now); !ok {
		return "cannot sign: it is none to sign with, or its signing subkey has expired or is revoked"
	}
	return ""
}

// Packets that a public key is made of (RFC 9580, 5 and 10.1).
const (
	packetSignature    = 2
	packetSecretKey    = 5
	packetPublicKey    = 6
	packetSecretSubkey = 7
	packetTrust        = 12 // gpg's own note, of no meaning elsewhere
	packetUserID       = 13
	packetPublicSubkey = 14
	packetAttribute    = 17
	packetPadding      = 21
)

// keyPackets gives the packets of the one public key that a file holds.
func keyPackets(data []byte) ([]byte, error) {
	raw, err := unarmored(data)
	if err != nil {
		return nil, err
	}
	var kept bytes.Buffer
	var primaries []string
	rest := bytes.NewReader(raw)
	packets := packet.NewOpaqueReader(rest)
	for {
		from := len(raw) - rest.Len()
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !slices.Contains([]uint8{packetSignature, packetSecretKey, packetPublicKey, packetSecretSubkey, packetTrust, packetUserID, packetPublicSubkey, packetAttribute, packetPadding}, p.Tag) {
			return nil, errors.New("is no OpenPGP key: bring the key file that the vendor publishes, such as .../gpg of its repository")
		}
		switch p.Tag {
		case packetSecretKey, packetSecretSubkey:
			return nil, errPrivate
		case packetTrust, packetPadding:
			continue
		case packetPublicKey:
			primaries = append(primaries, primaryName(p))
		}
		kept.Write(raw[from : len(raw)-rest.Len()]) // as the vendor wrote it
	}
	switch len(primaries) {
	case 0:
		return nil, errors.New("holds no OpenPGP key: bring the key file that the vendor publishes, such as .../gpg of its repository")
	case 1:
		return kept.Bytes(), nil
	}
	return nil, fmt.Errorf("holds %d keys (%s), and all of them would be trusted: export the vendor's alone with gpg --armor --export FINGERPRINT", len(primaries), strings.Join(primaries, ", "))
}

var errPrivate = errors.New("holds a private key, which is nobody's but its owner's: bring the public one (gpg --armor --export FINGERPRINT), and guard or destroy this file")

func primaryName(p *packet.OpaquePacket) string {
	parsed, err := p.Parse()
	if key, ok := parsed.(*packet.PublicKey); ok && err == nil {
		return string(fingerprint(key))
	}
	return "one of an unknown kind"
}

// unarmored gives the packets of a file that may be armored, in one block or
// several.
func unarmored(data []byte) ([]byte, error) {
	switch {
	case bytes.Contains(data, []byte("-----BEGIN PGP PRIVATE KEY BLOCK")):
		return nil, errPrivate
	case len(data) > 12 && string(data[8:12]) == "KBXf":
		return nil, errors.New("is a keybox of gpg's: export the vendor's key with gpg --armor --export FINGERPRINT")
	case !bytes.Contains(data, armorHeader):
		return data, nil
	}
	var raw []byte
	for _, text := range bytes.Split(data, armorHeader)[1:] {
		block, err := armor.Decode(bytes.NewReader(slices.Concat(armorHeader, text)))
		if err != nil {
			return nil, fmt.Errorf("holds a damaged key: %w: copy it again", err)
		}
		packets, err := readAll(block.Body, "the armored key", maxVendorKey)
		if err != nil {
			return nil, fmt.Errorf("holds a damaged key: %w: copy it again", err)
		}
		raw = append(raw, packets...)
	}
	return raw, nil
}

// armored writes packets in ASCII armor. rpm wants the checksum, which RFC
// 9580 has given up.
func armored(raw []byte) (string, error) {
	var b bytes.Buffer
	w, err := armor.EncodeWithChecksumOption(&b, openpgp.PublicKeyType, nil, true)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return "", fmt.Errorf("writing the vendor's key in ASCII armor: %w", err)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}
