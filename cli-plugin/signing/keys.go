package signing

import (
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// A Key is a private key in the folder.
type Key struct {
	ID   string
	Role string // root, targets, snapshot, or the name of a signer
	GUN  string // of targets and snapshot
}

// Keys are all private keys in the folder, by role and ID. None is opened.
func (s *Signer) Keys() []Key {
	var all []Key
	for id, info := range s.keys.ListKeys() {
		all = append(all, Key{ID: id, Role: signerOf(info.Role), GUN: info.Gun.String()})
	}
	slices.SortFunc(all, func(a, b Key) int { return strings.Compare(a.Role+" "+a.GUN+" "+a.ID, b.Role+" "+b.GUN+" "+b.ID) })
	return all
}

// GenerateKey makes a signer's key, keeps it in the folder, and writes its
// public half to dir/NAME.pub for the administrators of repositories. It
// overwrites nothing, and keeps no key whose public half could not be written.
func (s *Signer) GenerateKey(name, dir string) (Key, string, error) {
	if err := CheckName(name); err != nil {
		return Key{}, "", err
	}
	path := filepath.Join(dir, name+".pub")
	if _, err := os.Lstat(path); err == nil {
		return Key{}, "", fmt.Errorf("%s is there already, and is not overwritten: give another folder with --dir", path)
	}
	key, err := utils.GenerateKey(data.ECDSAKey)
	if err != nil {
		return Key{}, "", fmt.Errorf("making a key: %w", err)
	}
	if err := s.keep(name, key); err != nil {
		return Key{}, "", err
	}
	block := &pem.Block{Type: "PUBLIC KEY", Headers: map[string]string{"role": name}, Bytes: key.Public()}
	if err := renameio.WriteFile(path, pem.EncodeToMemory(block), 0o644, renameio.WithTempDir(dir)); err != nil {
		return Key{}, "", errors.Join(fmt.Errorf("writing the public key: %w", err), s.keys.RemoveKey(key.ID()))
	}
	return Key{ID: key.ID(), Role: name}, path, nil
}

// keep adds a private key under a signer's name.
func (s *Signer) keep(name string, key data.PrivateKey) error {
	if info, err := s.keys.GetKeyInfo(key.ID()); err == nil {
		if signerOf(info.Role) == name {
			return nil
		}
		return fmt.Errorf("the key %.12s is in %s already, as that of %s", key.ID(), s.keys.dir, signerOf(info.Role))
	}
	err := s.keys.AddKey(trustmanager.KeyInfo{Role: data.RoleName(name)}, key)
	if isPassphrase(err) {
		return fmt.Errorf("keeping the key of %s: %w", name, s.keys.passphrases.why())
	}
	if err != nil {
		return fmt.Errorf("keeping the key of %s: %w", name, err)
	}
	return nil
}

// LoadKey takes a private key from a PEM file, such as key.pem of a UCP client
// bundle, and keeps it as that of a signer, under a passphrase of its own. A
// file that others may read is refused: they have the key, too.
func (s *Signer) LoadKey(name, path string) (Key, error) {
	if err := CheckName(name); err != nil {
		return Key{}, err
	}
	raw, err := readSecret(path)
	if err != nil {
		return Key{}, fmt.Errorf("loading a key: %w", err)
	}
	key, err := s.parsePrivate(name, raw)
	if err != nil {
		return Key{}, fmt.Errorf("loading the key in %s: %w", path, err)
	}
	if err := s.keep(name, key); err != nil {
		return Key{}, err
	}
	return Key{ID: key.ID(), Role: name}, nil
}

// readSecret reads a file that nobody but its owner may read.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may read or write %s (%04o): chmod 600 %[1]s, and consider that somebody may have a copy", path, info.Mode().Perm())
	}
	return readBounded(path)
}

// parsePrivate reads an ECDSA or RSA key; one that is encrypted asks for its
// passphrase.
func (s *Signer) parsePrivate(name string, raw []byte) (data.PrivateKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("it holds no private key in PEM form")
	}
	if block.Type == "EC PARAMETERS" { // as openssl ecparam writes before the key
		_, rest := pem.Decode(raw)
		return s.parsePrivate(name, rest)
	}
	if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, fmt.Errorf("it holds a %.40q, and no private key", block.Type)
	}
	if block.Type != "ENCRYPTED PRIVATE KEY" && !strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return plainKey(raw)
	}
	key, _, err := trustmanager.GetPasswdDecryptBytes(s.keys.passphrases.get, raw, filepath.Base(name), name)
	if err != nil {
		return nil, s.keys.passphrases.why()
	}
	return key, nil
}

// plainKey tries the two forms that PKCS #8 covers; notary's own reader knows
// them by another name.
func plainKey(raw []byte) (data.PrivateKey, error) {
	key, err := utils.ParsePEMPrivateKey(raw, "")
	if err != nil {
		return nil, err
	}
	switch key.Algorithm() {
	case data.ECDSAKey, data.RSAKey:
		return key, nil
	default:
		return nil, fmt.Errorf("its algorithm is %s; want ecdsa or rsa", key.Algorithm())
	}
}
