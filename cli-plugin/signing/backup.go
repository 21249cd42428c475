package signing

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/notary/tuf/utils"
	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/scrypt"
)

// A backup is one PEM block: salt, nonce, and the key files in a secretbox
// (XSalsa20-Poly1305) whose key scrypt makes of the passphrase. The cost is
// part of the version and not of the file, so that no file can ask for more.
// The files in it are as they lie in the folder: who opens the backup still
// needs the passphrase of each key.
const (
	backupType    = "DOCKER STIG KEY BACKUP"
	backupVersion = "1"
	saltSize      = 16 // bytes
	nonceSize     = 24 // bytes, of XSalsa20
	maxKeys       = 10_000
)

// scryptCost is N, with r 8: 128 MiB and half a second (OWASP, Password
// Storage, 2023). Only tests of this package lower it.
var scryptCost = 1 << 17

// A sealed backup is one that nobody has opened yet.
type sealed struct {
	salt  []byte
	nonce [nonceSize]byte
	box   []byte
}

// Backup writes all private keys of the folder to a new file, under a
// passphrase. The file lies in a folder that is closed to others, or else it
// is not written.
func (s *Signer) Backup(path, passphrase string) ([]Key, error) {
	if err := CheckPlace(path); err != nil {
		return nil, err
	}
	keys := s.Keys()
	if len(keys) == 0 {
		return nil, fmt.Errorf("there are no keys in %s", s.keys.dir)
	}
	files := map[string]string{}
	for _, key := range keys {
		raw, err := readBounded(filepath.Join(s.keys.dir, key.ID+".key"))
		if err != nil {
			return nil, fmt.Errorf("reading a key: %w", err)
		}
		files[key.ID] = string(raw)
	}
	raw, err := seal(files, passphrase)
	if err != nil {
		return nil, err
	}
	if err := renameio.WriteFile(path, raw, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("writing the backup: %w", err)
	}
	return keys, nil
}

// CheckPlace refuses to write a backup over a file that is there, and into a
// folder that others can enter.
func CheckPlace(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing the backup: %s is there already, and is not overwritten", path)
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("writing the backup: %s is no folder", folder)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("writing the backup: everybody can enter %s (%04o): chmod o= %[1]s, or choose another folder", folder, info.Mode().Perm())
	}
	return nil
}

func seal(files map[string]string, passphrase string) ([]byte, error) {
	plain, err := json.Marshal(files)
	if err != nil {
		return nil, err
	}
	random := make([]byte, saltSize+nonceSize)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	key, err := stretch(passphrase, random[:saltSize])
	if err != nil {
		return nil, err
	}
	nonce := [nonceSize]byte(random[saltSize:])
	return pem.EncodeToMemory(&pem.Block{
		Type: backupType, Headers: map[string]string{"Version": backupVersion},
		Bytes: secretbox.Seal(random, plain, &nonce, &key),
	}), nil
}

func stretch(passphrase string, salt []byte) ([32]byte, error) {
	if len(passphrase) < minPassphrase {
		return [32]byte{}, fmt.Errorf("the passphrase is too short: want at least %d characters", minPassphrase)
	}
	key, err := scrypt.Key([]byte(passphrase), salt, scryptCost, 8, 1, 32)
	if err != nil {
		return [32]byte{}, err
	}
	return [32]byte(key), nil
}

// parseBackup reads the outside of a backup.
func parseBackup(raw []byte) (sealed, error) {
	block, _ := pem.Decode(raw)
	switch {
	case block == nil || block.Type != backupType:
		return sealed{}, errors.New("it is no backup of keys")
	case block.Headers["Version"] != backupVersion:
		return sealed{}, fmt.Errorf("it is of version %.20q, and %s is known: use a newer docker stig", block.Headers["Version"], backupVersion)
	case len(block.Bytes) < saltSize+nonceSize+secretbox.Overhead:
		return sealed{}, errors.New("it breaks off")
	}
	return sealed{
		salt:  block.Bytes[:saltSize],
		nonce: [nonceSize]byte(block.Bytes[saltSize : saltSize+nonceSize]),
		box:   block.Bytes[saltSize+nonceSize:],
	}, nil
}

func (b sealed) open(passphrase string) ([]byte, error) {
	key, err := stretch(passphrase, b.salt)
	if err != nil {
		return nil, err
	}
	plain, ok := secretbox.Open(nil, b.box, &b.nonce, &key)
	if !ok {
		return nil, errors.New("the passphrase is wrong, or the file was changed")
	}
	return plain, nil
}

// parseFiles reads what was in a backup: key files by ID.
func parseFiles(plain []byte) (map[string]string, error) {
	var files map[string]string
	if err := json.Unmarshal(plain, &files); err != nil {
		return nil, fmt.Errorf("reading the keys in it: %w", err)
	}
	if len(files) > maxKeys {
		return nil, fmt.Errorf("it holds more than %d keys", maxKeys)
	}
	for id, text := range files {
		if raw, err := hex.DecodeString(id); err != nil || len(raw) != 32 || strings.ToLower(id) != id {
			return nil, fmt.Errorf("it holds a key under %.70q, which is no key's ID", id)
		}
		if _, _, err := utils.ExtractPrivateKeyAttributes([]byte(text)); err != nil {
			return nil, fmt.Errorf("reading the key %.12s in it: %w", id, err)
		}
	}
	return files, nil
}

// Restore puts the keys of a backup into the folder, and gives those that were
// not there. A key that is there with other content is not overwritten: then
// none is restored.
func (s *Signer) Restore(path, passphrase string) ([]Key, error) {
	raw, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("reading the backup: %w", err)
	}
	box, err := parseBackup(raw)
	if err != nil {
		return nil, fmt.Errorf("reading the backup %s: %w", path, err)
	}
	plain, err := box.open(passphrase)
	if err != nil {
		return nil, fmt.Errorf("opening the backup %s: %w", path, err)
	}
	files, err := parseFiles(plain)
	if err != nil {
		return nil, fmt.Errorf("reading the backup %s: %w", path, err)
	}
	absent, err := s.keys.absent(files)
	if err != nil {
		return nil, err
	}
	if err := s.keys.put(files, absent); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(s.Keys(), func(k Key) bool { return !slices.Contains(absent, k.ID) }), nil
}

// absent are the IDs of files that are not in the folder yet.
func (k *keyring) absent(files map[string]string) ([]string, error) {
	var absent, other []string
	for id, text := range files {
		there, err := readBounded(filepath.Join(k.dir, id+".key"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			absent = append(absent, id)
		case err != nil:
			return nil, fmt.Errorf("restoring keys: %w", err)
		case !bytes.Equal(there, []byte(text)):
			other = append(other, id)
		}
	}
	if len(other) > 0 {
		slices.Sort(other)
		return nil, fmt.Errorf("nothing was restored: %s has other files for the keys %s, under another passphrase perhaps; move them away first", k.dir, shorten(other))
	}
	slices.Sort(absent)
	return absent, nil
}

// put writes files, and reads the folder anew.
func (k *keyring) put(files map[string]string, ids []string) error {
	folder, err := keyFiles(k.dir)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := folder.Set(id, []byte(files[id])); err != nil {
			return fmt.Errorf("restoring the key %.12s: %w", id, err)
		}
	}
	return k.reload()
}
