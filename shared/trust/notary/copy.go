package notary

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf/data"
)

// A Copy is the metadata of one repository, byte for byte as its servers gave
// it, to be carried to where no server is.
type Copy struct {
	GUN   string
	Roots [][]byte          // by version, without a gap; the last is the current one
	Roles map[string][]byte // all others
}

// Copy verifies a repository afresh and gives what a server said of it: what
// only the cache remembers is not passed on as news.
func (v *Verifier) Copy(ctx context.Context, ref reference.Named, s Scope) (Copy, Repository, error) {
	gun := data.GUN(ref.Name())
	read, _, err := v.refresh(ctx, gun, s, func() entry { return entry{} })
	if err != nil {
		return Copy{}, Repository{}, about(ref, err)
	}
	described := v.describe(ref, read, s)
	if described.Err != nil {
		return Copy{}, described, about(ref, described.Err)
	}
	if described.Source != trust.Server {
		return Copy{}, described, about(ref, unanswerable("", errors.New("no trust server answers, and only the copy that is kept here could be given")))
	}
	c := Copy{GUN: string(gun), Roots: v.olderRoots(ctx, gun, s, read.kept.Roots), Roles: map[string][]byte{}}
	for name, raw := range read.raw {
		c.Roles[string(name)] = raw
	}
	return c, described, nil
}

// olderRoots puts the versions before the pinned one in front, as far as a
// server has them: where the copy goes, another key may be pinned.
func (v *Verifier) olderRoots(ctx context.Context, gun data.GUN, s Scope, roots [][]byte) [][]byte {
	first, err := parseRoot(roots[0])
	if err != nil {
		return roots
	}
	for _, base := range s.Servers {
		client, err := v.opts.Clients.TrustServer(base, s.CA, string(gun))
		if err != nil {
			continue
		}
		src := &server{base: strings.TrimSuffix(base, "/"), gun: gun, client: client}
		all := slices.Clone(roots)
		for version := first.Signed.Version - 1; version > 0 && len(all) < maxRotations; version-- {
			raw, err := src.root(ctx, version)
			if err != nil {
				break
			}
			all = slices.Insert(all, 0, raw)
		}
		if len(all) > len(roots) {
			return all
		}
	}
	return roots
}

// Check verifies a copy as if a server had given it, and keeps nothing.
func (v *Verifier) Check(ctx context.Context, ref reference.Named, s Scope, c Copy) (Repository, error) {
	read, _, err := v.readCopy(ctx, ref, s, c)
	if err != nil {
		return Repository{}, about(ref, err)
	}
	return v.describe(ref, read, s), nil
}

// Adopt verifies a copy as if a server had given it, and keeps it for the time
// when no server answers. What is older than what is kept is a rollback.
func (v *Verifier) Adopt(ctx context.Context, ref reference.Named, s Scope, c Copy) (Repository, error) {
	read, kept, err := v.readCopy(ctx, ref, s, c)
	if err != nil {
		return Repository{}, about(ref, err)
	}
	described := v.describe(ref, read, s)
	if described.Err != nil {
		return described, about(ref, described.Err)
	}
	if v.opts.CacheDir == "" {
		return described, errors.New("there is no folder to keep trust data in")
	}
	if !read.kept.differs(kept) {
		return described, nil
	}
	if err := openCache(v.opts.CacheDir, data.GUN(ref.Name())).write(read.kept); err != nil {
		return described, fmt.Errorf("keeping the trust data of %s: %w", ref.Name(), err)
	}
	return described, nil
}

func (v *Verifier) readCopy(ctx context.Context, ref reference.Named, s Scope, c Copy) (read reading, kept copyOf, err error) {
	gun := data.GUN(ref.Name())
	defer v.recovered(gun, &read, &err)
	if kept, err = v.remembered(openCache(v.opts.CacheDir, gun), entry{}); err != nil {
		return reading{}, kept, err
	}
	src := copyOf{GUN: gun, Roots: c.Roots, Roles: map[data.RoleName][]byte{}}
	for name, raw := range c.Roles {
		src.Roles[data.RoleName(name)] = raw
	}
	read, err = v.load(ctx, gun, s, src, kept)
	if err != nil {
		return reading{}, kept, err
	}
	read.index.source = trust.Bundle
	read.kept.Source = kept.Source
	if timestamp := data.CanonicalTimestampRole; !bytes.Equal(read.kept.Roles[timestamp], kept.Roles[timestamp]) {
		read.kept.Source = trust.Bundle
	}
	return read, kept, nil
}

// Repositories lists those that the cache on disk holds, by name.
func (v *Verifier) Repositories() ([]string, error) {
	entries, err := os.ReadDir(v.opts.CacheDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range entries {
		if !strings.HasSuffix(file.Name(), ".json") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(v.opts.CacheDir, file.Name()))
		if err != nil {
			return nil, err
		}
		var kept struct{ GUN string }
		if err := json.Unmarshal(raw, &kept); err != nil {
			continue // whoever asks about it is told, and it starts anew
		}
		names = append(names, kept.GUN)
	}
	slices.Sort(names)
	return names, nil
}
