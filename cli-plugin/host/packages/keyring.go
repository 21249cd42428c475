package packages

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp"
)

const maxKeyring = 16 << 20 // bytes; Debian's whole archive keyring is 60 KiB

// A keyring is the keys that a repository or an rpm may be signed with.
type keyring struct {
	keys openpgp.EntityList
	from []string // files they were read from
}

// holding returns the entities one of whose keys has the ID.
func (k keyring) holding(id uint64) openpgp.EntityList {
	var found openpgp.EntityList
	for _, e := range k.keys {
		if len(openpgp.EntityList{e}.KeysById(id)) > 0 {
			found = append(found, e)
		}
	}
	return found
}

// holds reports whether a primary key is among them.
func (k keyring) holds(wanted Fingerprint) bool {
	return slices.ContainsFunc(k.keys, func(e *openpgp.Entity) bool { return fingerprint(e.PrimaryKey) == wanted })
}

func (k *keyring) join(other keyring) {
	k.keys = append(k.keys, other.keys...)
	k.from = append(k.from, other.from...)
}

func (r root) keyring(name string) (keyring, error) {
	data, err := r.read(name, maxKeyring)
	if err != nil {
		return keyring{}, err
	}
	return newKeyring(name, data)
}

var armorHeader = []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")

// newKeyring reads keys as gpg exports them: binary, or one or more armored
// blocks. Keys of a kind that cannot be read are left out, not an error.
func newKeyring(name string, data []byte) (keyring, error) {
	if len(data) > 12 && string(data[8:12]) == "KBXf" {
		return keyring{}, fmt.Errorf("%s is a keybox, which apt does not read either: export its keys with gpg --export", name)
	}
	if !bytes.Contains(data, armorHeader) {
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(data))
		if err != nil {
			return keyring{}, fmt.Errorf("reading keys of %s: %w", name, err)
		}
		return keyring{keys: usable(keys), from: []string{name}}, nil
	}
	k := keyring{from: []string{name}}
	var failed error
	for _, block := range bytes.Split(data, armorHeader)[1:] {
		keys, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(slices.Concat(armorHeader, block)))
		failed = errors.Join(failed, err)
		k.keys = append(k.keys, usable(keys)...)
	}
	if len(k.keys) == 0 && failed != nil {
		return keyring{}, fmt.Errorf("reading keys of %s: %w", name, failed)
	}
	return k, nil
}

// usable leaves out entities without a self-signature to judge them by.
func usable(keys openpgp.EntityList) openpgp.EntityList {
	return slices.DeleteFunc(keys, func(e *openpgp.Entity) bool {
		sig, _ := e.PrimarySelfSignature()
		return sig == nil
	})
}
