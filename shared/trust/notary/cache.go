package notary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// A cache keeps the verified metadata of one repository in one file, so that
// a crash leaves the old state or the new one. The zero cache keeps nothing.
type cache struct{ path string }

// openCache names the file of a repository. It touches nothing.
func openCache(dir string, gun data.GUN) cache {
	if dir == "" {
		return cache{}
	}
	return cache{path: filepath.Join(dir, url.PathEscape(string(gun))+".json")}
}

// A copyOf is the metadata of a repository, byte for byte as its servers gave
// it: the roots from the pinned one to the current, and the other roles. Read
// from disk it is untrusted again, and verified like a server's answer.
type copyOf struct {
	Roots [][]byte                 `json:"roots"`
	Roles map[data.RoleName][]byte `json:"roles"`
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
		return copyOf{}, fmt.Errorf("%s: %w", c.path, err)
	}
	return kept, nil
}

func (c cache) write(kept copyOf) error {
	if c.path == "" {
		return nil
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	return renameio.WriteFile(c.path, raw, 0o600)
}

// with is the copy after an update. A role that the update did not read stays,
// for the sake of its version.
func (kept copyOf) with(roots [][]byte, roles map[data.RoleName][]byte) copyOf {
	merged := maps.Clone(kept.Roles)
	if merged == nil {
		merged = map[data.RoleName][]byte{}
	}
	maps.Copy(merged, roles)
	return copyOf{Roots: roots, Roles: merged}
}

// versions are the versions below which no role may fall again.
func (kept copyOf) versions() map[data.RoleName]int {
	seen := map[data.RoleName]int{}
	for role, raw := range kept.Roles {
		if version := versionOf(raw); version > 0 {
			seen[role] = version
		}
	}
	if len(kept.Roots) > 0 {
		seen[data.CanonicalRootRole] = versionOf(kept.Roots[len(kept.Roots)-1])
	}
	return seen
}

func versionOf(raw []byte) int {
	var metadata data.SignedMeta
	if err := json.Unmarshal(raw, &metadata); err != nil {
		return 0
	}
	return metadata.Signed.Version
}

func (kept copyOf) root(_ context.Context, version int) ([]byte, error) {
	if len(kept.Roots) == 0 {
		return nil, errNotFound
	}
	if version == 0 {
		return kept.Roots[len(kept.Roots)-1], nil
	}
	for _, raw := range kept.Roots {
		if versionOf(raw) == version {
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
