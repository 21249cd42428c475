package notary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/google/renameio/v2"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sys/unix"
)

// A cache keeps the verified metadata of one repository in one file, so that
// a crash leaves the old state or the new one. The zero cache keeps nothing.
type cache struct {
	gun  data.GUN
	path string
}

// openCache names the file of a repository: by a hash, because a GUN may be
// longer than a file's name. It touches nothing.
func openCache(dir string, gun data.GUN) cache {
	if dir == "" {
		return cache{}
	}
	return cache{gun: gun, path: filepath.Join(dir, digest.FromString(string(gun)).Encoded()+".json")}
}

// A copyOf is the metadata of a repository, byte for byte as its servers gave
// it: the roots from the pinned one to the current, and the other roles. Read
// from disk it is untrusted again, and verified like a server's answer.
type copyOf struct {
	GUN    data.GUN                 `json:"gun"`
	Roots  [][]byte                 `json:"roots"`
	Roles  map[data.RoleName][]byte `json:"roles"`
	Floors map[data.RoleName]floor  `json:"floors"`
	Source trust.Source             `json:"source,omitempty"` // Bundle if it was imported, and no server has confirmed it since
	Seen   time.Time                `json:"seen"`             // the clock, when this was last found fresh
}

func (c cache) read() (copyOf, error) {
	var kept copyOf
	if c.path == "" {
		return kept, nil
	}
	raw, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return kept, err
	}
	if err := json.Unmarshal(raw, &kept); err != nil {
		return copyOf{}, fmt.Errorf("%w: %s: %w", errCorrupt, c.path, err)
	}
	if kept.GUN != c.gun {
		return copyOf{}, fmt.Errorf("%w: %s is of %s", errCorrupt, c.path, kept.GUN)
	}
	return kept, nil
}

// errCorrupt says that a file does not hold what was once written to it.
var errCorrupt = errors.New("it is damaged")

func (c cache) write(kept copyOf) error {
	if c.path == "" {
		return nil
	}
	kept.GUN = c.gun
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if there, err := c.read(); err == nil {
		if there.overtakes(kept) {
			return errOvertaken
		}
		kept = kept.beside(there)
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	// Its own folder is known to be on the same file system.
	return renameio.WriteFile(c.path, raw, 0o600, renameio.WithTempDir(filepath.Dir(c.path)))
}

// errOvertaken says that another process has kept newer data.
var errOvertaken = errors.New("the cache holds newer data")

// lock keeps other processes from writing between a look and a write. Nobody
// holds it for longer than that.
func (c cache) lock() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(filepath.Dir(c.path), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil // closing unlocks
}

func (kept copyOf) root(_ context.Context, version int) ([]byte, error) {
	if len(kept.Roots) == 0 {
		return nil, errNotFound
	}
	if version == 0 {
		return kept.Roots[len(kept.Roots)-1], nil
	}
	for _, raw := range kept.Roots {
		if root, err := parseRoot(raw); err == nil && root.Signed.Version == version {
			return raw, nil
		}
	}
	return nil, errNotFound
}

func (kept copyOf) role(_ context.Context, name data.RoleName, _ tuf.ConsistentInfo) ([]byte, error) {
	raw, ok := kept.Roles[name]
	if !ok {
		return nil, errNotFound
	}
	return raw, nil
}
