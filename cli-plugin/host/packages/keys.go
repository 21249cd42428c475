package packages

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// A Format is a packaging format.
type Format string

// The formats that can be judged.
const (
	Deb Format = "deb"
	RPM Format = "rpm"
)

// A Fingerprint is the full fingerprint of an OpenPGP primary key: 40 hex
// digits, upper case (RFC 9580, 5.5.4.2, version 4).
type Fingerprint string

// A Key is a signing key that counts.
type Key struct {
	Fingerprint Fingerprint
	Owner       string
	Product     string
	Format      Format // what it signs; empty: either
	Source      string // where the fingerprint was taken from
}

// String is the fingerprint and whose it is.
func (k Key) String() string { return fmt.Sprintf("%s (%s)", k.Fingerprint, k.Owner) }

// vendorKeys are the keys of the engine's vendors. Mirantis went on signing
// with the Docker EE keys. A site extends the table with its approved keys.
var vendorKeys = []Key{
	{
		Fingerprint: "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
		Owner:       "Docker Release (CE deb) <docker@docker.com>", Product: "Docker CE", Format: Deb,
		Source: "docs.docker.com, Install Docker Engine on Ubuntu",
	},
	{
		Fingerprint: "060A61C51B558A7F742B77AAC52FEB6B621E9F35",
		Owner:       "Docker Release (CE rpm) <docker@docker.com>", Product: "Docker CE", Format: RPM,
		Source: "docs.docker.com, Install Docker Engine on CentOS",
	},
	{
		Fingerprint: "DD911E995A64A202E85907D6BC14F10B6D085F96",
		Owner:       "Docker Release (EE deb) <docker@docker.com>", Product: "Docker EE", Format: Deb,
		Source: "docs.docker.com of 2019, Get Docker EE for Ubuntu",
	},
	{
		Fingerprint: "77FEDA131A831D29A418D3E899E5FF2E76682BC9",
		Owner:       "Docker Release (EE rpm) <docker@docker.com>", Product: "Docker EE", Format: RPM,
		Source: "docs.docker.com of 2019, Get Docker EE for CentOS",
	},
}

// ParseFingerprint reads a full fingerprint, with or without blanks and a
// leading 0x. A short key ID is an error: another key can be made to have it.
func ParseFingerprint(text string) (Fingerprint, error) {
	digits := strings.Join(strings.Fields(text), "")
	digits = strings.ToUpper(strings.TrimPrefix(strings.TrimPrefix(digits, "0x"), "0X"))
	raw, err := hex.DecodeString(digits)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q is no key fingerprint: want 40 hex digits, as gpg --show-keys prints them", text)
	case len(raw) == 20:
		return Fingerprint(digits), nil
	case len(raw) < 20:
		return "", fmt.Errorf("%q is a short key ID, which can be forged: give the full fingerprint, 40 hex digits, as gpg --show-keys prints it", text)
	default:
		return "", fmt.Errorf("%q is too long for a key fingerprint: want 40 hex digits, as gpg --show-keys prints them", text)
	}
}

// knownKeys is the vendors' table and the site's approved keys.
type knownKeys map[Fingerprint]Key

func newKnownKeys(approved []string) (knownKeys, error) {
	known := knownKeys{}
	for _, text := range approved {
		f, err := ParseFingerprint(text)
		if err != nil {
			return nil, fmt.Errorf("approved signing key: %w", err)
		}
		known[f] = Key{Fingerprint: f, Owner: "approved by the site", Source: "approved-keys in site.yaml"}
	}
	for _, k := range vendorKeys {
		if own, ok := known[k.Fingerprint]; ok {
			k.Format, k.Source = "", k.Source+"; "+own.Source
		}
		known[k.Fingerprint] = k
	}
	return known, nil
}

// recognize picks the first signer whose key counts for a format.
func (k knownKeys) recognize(signers []signer, format Format) (Key, bool) {
	for _, s := range signers {
		key, ok := k[s.primary]
		if !ok || (key.Format != "" && key.Format != format) {
			continue
		}
		if key.Product == "" {
			key.Product = s.name
		}
		return key, true
	}
	return Key{}, false
}
