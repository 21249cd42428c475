package signing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/client/changelist"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
	"github.com/theupdateframework/notary/tuf/utils"
)

// A repository is a GUN as its server has it, and what is to be changed.
type repository struct {
	client.Repository
	gun     data.GUN
	server  Server
	signer  *Signer
	keys    *keyring
	cache   storage.MetadataStore
	remote  storage.RemoteStore
	found   *tuf.Repo // nil: the server has none
	invalid *tuf.Repo // roles that are there and do not verify
	begins  bool      // Publish makes it
}

// maxChanges is how often a change is tried while others publish as well.
const maxChanges = 8

// change loads a repository, has plan stage something, publishes that, and
// asks the server again whether it is there. When somebody else was faster it
// begins anew. What plan stages is lost unless it is published.
func (s *Signer) change(ctx context.Context, gun string, plan func(*repository) error, served func(*tuf.Repo) error) (began bool, err error) {
	ref, err := parseGUN(gun)
	if err != nil {
		return false, err
	}
	server, err := s.opts.Server(ref)
	if err != nil {
		return false, err
	}
	for attempt := 1; ; attempt++ {
		var r *repository
		if r, err = s.load(ctx, server, gun); err == nil {
			err = r.apply(ctx, plan, served)
			began = r.begins
		}
		if !errors.Is(err, errConflict) || attempt == maxChanges {
			break
		}
		if !s.opts.wait(ctx, time.Duration(attempt)*50*time.Millisecond) {
			return false, ctx.Err()
		}
	}
	if err != nil {
		return false, explain(server, gun, err)
	}
	return began, nil
}

// apply stages, publishes and asks again.
func (r *repository) apply(ctx context.Context, plan func(*repository) error, served func(*tuf.Repo) error) error {
	if err := plan(r); err != nil {
		return &planError{err}
	}
	staged, err := r.GetChangelist()
	if err != nil {
		return err
	}
	if len(staged.List()) == 0 && !r.begins {
		return nil
	}
	if err := r.Publish(); err != nil {
		return r.conflict(ctx, err)
	}
	return r.prove(served)
}

// A planError is a change that was not to be made; it has words of its own.
type planError struct{ error }

func (e *planError) Unwrap() error { return e.error }

// conflict tells a change that was refused because somebody else has made one
// in between: a server that checks the one against the other has several words
// for that.
func (r *repository) conflict(ctx context.Context, err error) error {
	err = unwrapNetwork(err)
	told := new(refusal)
	if ctx.Err() != nil || errors.As(err, told) && told.code != http.StatusBadRequest {
		return err
	}
	if r.begins {
		if _, absent := r.remote.GetSized(data.CanonicalRootRole.String(), storage.NoSizeLimit); absent == nil {
			return errConflict
		}
		return err
	}
	now, _, failed := r.read()
	if failed == nil && now.Snapshot.Signed.Version != r.found.Snapshot.Signed.Version {
		return errConflict
	}
	return err
}

// unwrapNetwork makes of notary's NetworkError, which does not unwrap itself,
// the error within it if that is ours.
func unwrapNetwork(err error) error {
	network := new(storage.NetworkError)
	told := new(refusal)
	if errors.As(err, network) && errors.As(network.Wrapped, told) {
		return *told
	}
	return err
}

// prove reads the repository from its server again. That the change is not
// there, although the server took it, means that another one has covered it.
func (r *repository) prove(served func(*tuf.Repo) error) error {
	if r.begins {
		if err := r.pin(); err != nil {
			return err
		}
	}
	found, _, err := r.read()
	if err != nil {
		return fmt.Errorf("published, but the server does not serve it: %w", unwrapNetwork(err))
	}
	return served(found)
}

// pin keeps the root that was just made, before anything is read back: from
// now on no other one is accepted.
func (r *repository) pin() error {
	root, err := r.cache.GetSized(data.CanonicalRootRole.String(), storage.NoSizeLimit)
	if err != nil {
		return err
	}
	files, err := metadataFiles(r.signer.metadataDir(r.gun.String()))
	if err != nil {
		return err
	}
	r.cache = files
	return files.Set(data.CanonicalRootRole.String(), root)
}

// load asks a server for a repository.
func (s *Signer) load(ctx context.Context, server Server, gun string) (*repository, error) {
	remote, err := s.remote(ctx, server, gun)
	if err != nil {
		return nil, err
	}
	files, err := metadataFiles(s.metadataDir(gun))
	if err != nil {
		return nil, err
	}
	r := &repository{gun: data.GUN(gun), server: server, signer: s, keys: s.keys, cache: files, remote: remote}
	r.found, r.invalid, err = r.read()
	if errors.As(err, new(client.ErrRepositoryNotExist)) {
		return r, r.forgotten(err)
	}
	if err != nil {
		return nil, unwrapNetwork(err)
	}
	return r, r.open(files, s.keys.service(false))
}

// read verifies what the server has, beginning with the root that was seen
// first.
func (r *repository) read() (found, invalid *tuf.Repo, err error) {
	return client.LoadTUFRepo(client.TUFLoadOptions{
		GUN: r.gun, Cache: r.cache, RemoteStore: r.remote, CryptoService: r.keys.service(false), AlwaysCheckInitialized: true,
	})
}

// forgotten refuses to begin a repository anew that was there before: whoever
// has seen its root would take the new one for an attack.
func (r *repository) forgotten(absent error) error {
	dir := r.signer.metadataDir(r.gun.String())
	if _, err := os.Stat(filepath.Join(dir, data.CanonicalTimestampRole.String()+".json")); err != nil {
		return nil //nolint:nilerr // nobody has seen it here, so it may begin
	}
	return &planError{fmt.Errorf("trust server %s no longer has the signatures of %s, which it had before (%w): restore the server's data, or remove %s to begin anew", r.server.URL, r.gun, absent, filepath.Dir(dir))}
}

// open makes the client that stages changes, in memory.
func (r *repository) open(cache storage.MetadataStore, keys *service) error {
	var err error
	r.cache = cache
	r.Repository, err = client.NewRepository(r.gun, r.server.URL, r.remote, cache, trustpinning.TrustPinConfig{}, keys, changelist.NewMemChangelist())
	return err
}

// begin makes root, targets and a delegation for a repository that the server
// has not. The server keeps the keys of snapshot and timestamp. Nothing of it
// is kept here before it is published, but for the keys.
func (r *repository) begin() error {
	root, err := r.signer.rootKey()
	if err != nil {
		return err
	}
	if err := r.open(storage.NewMemoryStore(nil), r.keys.service(true)); err != nil {
		return err
	}
	r.begins = true
	return r.Initialize([]string{root}, data.CanonicalSnapshotRole)
}

// rootKey is the ID of the root key of new repositories, which is made if
// there is none.
func (s *Signer) rootKey() (string, error) {
	s.rootOnce.Lock()
	defer s.rootOnce.Unlock()
	ids := s.keys.named(data.CanonicalRootRole)
	switch {
	case s.opts.RootKey != "":
		if !slices.Contains(ids, s.opts.RootKey) {
			return "", fmt.Errorf("there is no root key %s in %s", s.opts.RootKey, s.keys.dir)
		}
		return s.opts.RootKey, s.keys.unlock(s.opts.RootKey, "the root")
	case len(ids) == 1:
		return ids[0], s.keys.unlock(ids[0], "the root")
	case len(ids) > 1:
		return "", fmt.Errorf("there are %d root keys in %s: say with --root-key which one is to be the root of new repositories", len(ids), s.keys.dir)
	}
	return s.keys.makeRoot()
}

// delegations are the roles that stand below targets, by name.
func (r *repository) delegations() map[data.RoleName]*data.Role {
	roles := map[data.RoleName]*data.Role{}
	if r.found == nil || r.found.Targets[targetsRole] == nil {
		return roles
	}
	for _, role := range r.found.Targets[targetsRole].Signed.Delegations.Roles {
		if role.Name.Parent() == targetsRole {
			roles[role.Name] = role
		}
	}
	return roles
}

// holders are the canonical IDs of the keys of a delegation, and of targets.
func (r *repository) holders(name data.RoleName) []string {
	var keys []data.PublicKey
	if name == targetsRole || name == data.CanonicalRootRole {
		role, err := r.found.GetBaseRole(name)
		if err != nil {
			return nil
		}
		keys = role.ListKeys()
	} else if role := r.delegations()[name]; role != nil {
		for _, id := range role.KeyIDs {
			keys = append(keys, r.found.Targets[targetsRole].Signed.Delegations.Keys[id])
		}
	}
	var ids []string
	for _, key := range keys {
		if id, err := utils.CanonicalKeyID(key); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// held are those of a role's keys that are here.
func (r *repository) held(name data.RoleName) []string {
	return slices.DeleteFunc(r.holders(name), func(id string) bool { return !r.keys.has(id) })
}

// unlock opens the keys that will sign for roles.
func (r *repository) unlock(roles ...data.RoleName) error {
	for _, role := range roles {
		held := r.held(role)
		if len(held) == 0 {
			return fmt.Errorf("none of the keys of %s of %s (%s) is in %s: bring one with docker stig trust key load or restore", role, r.gun, shorten(r.holders(role)), r.keys.dir)
		}
		for _, id := range held {
			if err := r.keys.unlock(id, fmt.Sprintf("%s of %s", role, r.gun)); err != nil {
				return err
			}
		}
	}
	return nil
}

// shorten lists key IDs as docker shows them.
func shorten(ids []string) string {
	text := ""
	for i, id := range ids {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.12s", id)
	}
	return text
}

// renew stages a new signature of a role that has expired or soon will, which
// adding to it would not make: what says the same is not signed anew. One that
// fails for another reason is not signed over: nobody knows who wrote into it.
func (r *repository) renew(name data.RoleName, now time.Time) error {
	if found := r.found.Targets[name]; found != nil {
		if found.Signed.Expires.After(now.Add(renewBefore)) {
			return nil
		}
		_, err := r.Witness(name)
		return err
	}
	if r.invalid == nil || r.invalid.Targets[name] == nil {
		return nil
	}
	role, err := r.found.GetDelegationRole(name)
	if err != nil {
		return err
	}
	untrusted, err := r.invalid.Targets[name].ToSigned()
	if err != nil {
		return err
	}
	if err := signed.VerifySignatures(untrusted, role.BaseRole); err != nil {
		return fmt.Errorf("%s of %s does not verify (%w), so nothing is added to it: revoke it with docker stig trust signer remove", name, r.gun, err)
	}
	_, err = r.Witness(name)
	return err
}
