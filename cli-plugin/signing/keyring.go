package signing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/notary/cryptoservice"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sys/unix"
)

// A keyring holds the private keys of docker's trust folder: a file each, in
// PKCS #8, encrypted by its passphrase. Notary's own store is not safe for
// several repositories at once, and writes files that may be cut short; it
// stands behind a lock here, and on files that are replaced whole.
type keyring struct {
	dir         string // .../private
	passphrases *Passphrases

	mu    sync.Mutex
	store *trustmanager.GenericKeyStore
}

// openKeys reads which keys there are. A folder that is missing has none.
func openKeys(trustDir string, passphrases *Passphrases) (*keyring, error) {
	dir := filepath.Join(trustDir, "private")
	if err := checkFolder(dir); err != nil {
		return nil, err
	}
	files, err := keyFiles(dir)
	if err != nil {
		return nil, err
	}
	return &keyring{dir: dir, passphrases: passphrases, store: trustmanager.NewGenericKeyStore(files, passphrases.get)}, nil
}

// checkFolder refuses a folder of keys in which others may write.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("opening the keys: %w", err)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("opening the keys: others may write in %s: chmod go-w %[1]s", dir)
	default:
		return nil
	}
}

// A keyFolder is a folder of files that appear whole. It is notary's, but for
// the writing.
type keyFolder struct {
	*storage.FilesystemStore
	dir, ext string
}

func keyFiles(dir string) (keyFolder, error) {
	store, err := storage.NewFileStore(dir, "key")
	if err != nil {
		return keyFolder{}, fmt.Errorf("opening the keys: %w", err)
	}
	return keyFolder{store, dir, ".key"}, nil
}

func metadataFiles(dir string) (keyFolder, error) {
	store, err := storage.NewFileStore(dir, "json")
	if err != nil {
		return keyFolder{}, fmt.Errorf("opening what was published before: %w", err)
	}
	return keyFolder{store, dir, ".json"}, nil
}

// Set replaces a file.
func (f keyFolder) Set(name string, raw []byte) error {
	path := filepath.Join(f.dir, name+f.ext)
	if !strings.HasPrefix(path, f.dir+string(filepath.Separator)) {
		return storage.ErrPathOutsideStore
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(path, raw, 0o600, renameio.WithTempDir(filepath.Dir(path)))
}

// SetMulti replaces files one by one.
func (f keyFolder) SetMulti(all map[string][]byte) error {
	for name, raw := range all {
		if err := f.Set(name, raw); err != nil {
			return err
		}
	}
	return nil
}

// AddKey keeps a private key.
func (k *keyring) AddKey(info trustmanager.KeyInfo, key data.PrivateKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.store.AddKey(info, key)
}

// GetKey opens a private key.
func (k *keyring) GetKey(id string) (data.PrivateKey, data.RoleName, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.store.GetKey(id)
}

// GetKeyInfo tells what a key is for.
func (k *keyring) GetKeyInfo(id string) (trustmanager.KeyInfo, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.store.GetKeyInfo(id)
}

// ListKeys are all keys, by ID.
func (k *keyring) ListKeys() map[string]trustmanager.KeyInfo {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.store.ListKeys()
}

// RemoveKey deletes a key.
func (k *keyring) RemoveKey(id string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.store.RemoveKey(id)
}

// Name is where the keys are.
func (k *keyring) Name() string { return k.dir }

// makeRoot makes a root key, unless another process has made one meanwhile.
func (k *keyring) makeRoot() (string, error) {
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(k.dir), ".root.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("making a root key: %w", err)
	}
	defer lock.Close() // gives the lock back
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("making a root key: locking %s: %w", lock.Name(), err)
	}
	if err := k.reload(); err != nil {
		return "", err
	}
	if ids := k.named(data.CanonicalRootRole); len(ids) > 0 {
		return ids[0], k.unlock(ids[0], "the root")
	}
	key, err := k.service(false).Create(data.CanonicalRootRole, "", data.ECDSAKey)
	if err != nil {
		return "", err
	}
	return key.ID(), nil
}

// reload looks at the folder again. Keys that are open have to be opened anew.
func (k *keyring) reload() error {
	files, err := keyFiles(k.dir)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.store = trustmanager.NewGenericKeyStore(files, k.passphrases.get)
	return nil
}

// has reports whether a key is here.
func (k *keyring) has(id string) bool {
	_, err := k.GetKeyInfo(id)
	return err == nil
}

// unlock opens a key before it is needed: TUF's signing tells a key that does
// not open from one that is not there no more.
func (k *keyring) unlock(id, of string) error {
	_, _, err := k.GetKey(id)
	switch {
	case err == nil:
		return nil
	case isPassphrase(err):
		return fmt.Errorf("opening the key of %s (%.7s): %w", of, id, k.passphrases.why())
	default:
		return fmt.Errorf("opening the key of %s (%.7s): %w", of, id, err)
	}
}

func isPassphrase(err error) bool {
	return errors.As(err, new(trustmanager.ErrPasswordInvalid)) || errors.As(err, new(trustmanager.ErrAttemptsExceeded))
}

// named are the IDs of the keys of a role, in order. A signer's key carries
// the signer's name, or the role's.
func (k *keyring) named(roles ...data.RoleName) []string {
	var ids []string
	for id, info := range k.ListKeys() {
		if slices.Contains(roles, info.Role) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// signerKey is the public half of a signer's key.
func (k *keyring) signerKey(name string) (data.PublicKey, error) {
	ids := k.named(data.RoleName(name), roleOf(name))
	switch len(ids) {
	case 0:
		return nil, fmt.Errorf("there is no key of the signer %s in %s: make one with docker stig trust key generate %[1]s, or bring it with docker stig trust key load --name %[1]s", name, k.dir)
	case 1:
	default:
		return nil, fmt.Errorf("there are %d keys of the signer %s in %s: say which with docker stig trust signer add --key", len(ids), name, k.dir)
	}
	if err := k.unlock(ids[0], "the signer "+name); err != nil {
		return nil, err
	}
	key, _, err := k.GetKey(ids[0])
	if err != nil {
		return nil, err
	}
	return data.PublicKeyFromPrivate(key), nil
}

// A notaries' CryptoService makes keys and finds them. One that begins a
// repository uses the key that an attempt before has made for it.
type service struct {
	*cryptoservice.CryptoService
	keys   *keyring
	begins bool
}

func (k *keyring) service(begins bool) *service {
	return &service{cryptoservice.NewCryptoService(k), k, begins}
}

// Create makes a key for a role.
func (s *service) Create(role data.RoleName, gun data.GUN, algorithm string) (data.PublicKey, error) {
	for id, info := range s.keys.ListKeys() {
		if s.begins && info.Role == role && info.Gun == gun {
			if err := s.keys.unlock(id, gun.String()); err != nil {
				return nil, err
			}
			return s.GetKey(id), nil
		}
	}
	key, err := s.CryptoService.Create(role, gun, algorithm)
	if isPassphrase(err) {
		return nil, fmt.Errorf("keeping the new %s key: %w", role, s.keys.passphrases.why())
	}
	return key, err
}
