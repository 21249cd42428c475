package signing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// maxRoots bounds the roots of a repository that are carried: a key rotated
// every month for ten years. Where they go, an older one may be known.
const maxRoots = 120

// serverRoles are those whose keys a trust server makes for a repository that
// begins.
var serverRoles = []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole}

// Prepare gathers what signing targets takes of their trust servers. It takes
// no key, and changes nothing but that a server makes its own keys for a
// repository that it does not have. The error joins what could not be had.
func (s *Signer) Prepare(ctx context.Context, targets []Target, done func(Result)) (Prepared, error) {
	groups := byRepository(targets)
	p := Prepared{Form: preparedForm, Repositories: make([]PreparedRepository, len(groups))}
	results := each(len(groups), done, func(i int) Result {
		gun := groups[i][0].GUN
		var err error
		if p.Repositories[i], err = s.prepare(ctx, gun, groups[i]); err != nil {
			return failed(gun, groups[i], err)
		}
		return Result{GUN: gun}
	})
	var all error
	for _, r := range results {
		all = errors.Join(all, r.Err)
	}
	return p, all
}

func (s *Signer) prepare(ctx context.Context, gun string, targets []Target) (PreparedRepository, error) {
	if err := ctx.Err(); err != nil {
		return PreparedRepository{}, notBegun(gun, err)
	}
	if err := checkTargets(targets); err != nil {
		return PreparedRepository{}, err
	}
	server, err := s.serverOf(gun)
	if err != nil {
		return PreparedRepository{}, err
	}
	p := PreparedRepository{GUN: gun, Server: server.URL, Targets: targets}
	r, err := s.reach(ctx, server, gun)
	if err == nil && r.found == nil {
		p.Keys, err = r.serverKeys()
	} else if err == nil {
		err = r.copyTo(&p)
	}
	if err != nil {
		return PreparedRepository{}, explain(server, gun, err)
	}
	if _, err := s.read(p); err != nil { // somebody may have published in between
		return PreparedRepository{}, err
	}
	return p, nil
}

// serverKeys are the public keys that the server has made for the repository.
func (r *repository) serverKeys() (map[string][]byte, error) {
	keys := map[string][]byte{}
	for _, role := range serverRoles {
		raw, err := r.remote.GetKey(role)
		if err != nil {
			return nil, err
		}
		keys[role.String()] = raw
	}
	return keys, nil
}

// copyTo copies the metadata that was verified, and the roots before.
func (r *repository) copyTo(p *PreparedRepository) error {
	current, err := r.cache.GetSized(data.CanonicalRootRole.String(), storage.NoSizeLimit)
	if err != nil {
		return err
	}
	p.Roots = [][]byte{current}
	for version := r.found.Root.Signed.Version - 1; version > 0 && len(p.Roots) < maxRoots; version-- {
		older, err := r.remote.GetSized(fmt.Sprintf("%d.%s", version, data.CanonicalRootRole), storage.NoSizeLimit)
		if errors.As(err, new(storage.ErrMetaNotFound)) {
			break
		}
		if err != nil {
			return err
		}
		p.Roots = append([][]byte{older}, p.Roots...)
	}
	p.Roles = map[string][]byte{}
	for _, role := range serverRoles {
		if p.Roles[role.String()], err = r.cache.GetSized(role.String(), storage.NoSizeLimit); err != nil {
			return err
		}
	}
	for name, meta := range r.found.Snapshot.Signed.Meta {
		if name == data.CanonicalRootRole.String() {
			continue
		}
		if p.Roles[name], err = r.metadata(name, meta); err != nil {
			return err
		}
	}
	return nil
}

// metadata is that of a role, as the snapshot names it. One that does not
// verify, as after its expiry, is not in the cache.
func (r *repository) metadata(name string, meta data.FileMeta) ([]byte, error) {
	sum := meta.Hashes[notary.SHA256]
	if raw, err := r.cache.GetSized(name, meta.Length); err == nil {
		if own := sha256.Sum256(raw); bytes.Equal(own[:], sum) {
			return raw, nil
		}
	}
	return r.remote.GetSized(utils.ConsistentName(name, sum), meta.Length)
}
