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
func (s *Signer) change(ctx context.Context, gun string, plan, served func(*repository) error) (began bool, err error) {
	server, err := s.serverOf(gun)
	if err != nil {
		return false, err
	}
	for attempt := 1; ; attempt++ {
		var r *repository
		if r, err = s.reach(ctx, server, gun); err == nil {
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

// serverOf is the server of a repository.
func (s *Signer) serverOf(gun string) (Server, error) {
	ref, err := parseGUN(gun)
	if err != nil {
		return Server{}, err
	}
	return s.opts.Server(ref)
}

// apply stages, publishes and asks again.
func (r *repository) apply(ctx context.Context, plan, served func(*repository) error) error {
	changes, err := r.stage(plan)
	if err != nil || !changes {
		return err
	}
	if err := r.send(); err != nil {
		return r.conflict(ctx, err)
	}
	if r.begins {
		root, err := r.cache.GetSized(data.CanonicalRootRole.String(), storage.NoSizeLimit)
		if err != nil {
			return err
		}
		if err := r.pin(root); err != nil {
			return err
		}
	}
	return r.prove(served)
}

// stage has plan say what is to be changed, if anything is.
func (r *repository) stage(plan func(*repository) error) (changes bool, err error) {
	if err := plan(r); err != nil {
		return false, &planError{err}
	}
	staged, err := r.GetChangelist()
	if err != nil {
		return false, err
	}
	if len(staged.List()) == 0 && !r.begins {
		return false, nil
	}
	if !r.begins && len(r.held(data.CanonicalSnapshotRole)) > 0 { // most often it is the server's
		return true, r.unlock(data.CanonicalSnapshotRole)
	}
	return true, nil
}

// send signs what is staged and sends it.
func (r *repository) send() (err error) {
	defer recovered(&err)
	return r.Publish()
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

// unwrapNetwork takes the error out of notary's NetworkError, which does not
// unwrap itself.
func unwrapNetwork(err error) error {
	if network := new(storage.NetworkError); errors.As(err, network) {
		return network.Wrapped
	}
	return err
}

// prove reads the repository from its server again. That the change is not
// there, although the server took it, means that another one has covered it.
func (r *repository) prove(served func(*repository) error) error {
	now := &repository{gun: r.gun, keys: r.keys}
	var err error
	if now.found, now.invalid, err = r.read(); err != nil {
		return fmt.Errorf("published, but the server does not serve it: %w", unwrapNetwork(err))
	}
	return served(now)
}

// pin keeps the root that was just published, before anything is read back:
// from now on no other one is accepted.
func (r *repository) pin(root []byte) error {
	files, err := metadataFiles(r.signer.metadataDir(r.gun.String()))
	if err != nil {
		return err
	}
	r.cache = files
	return files.Set(data.CanonicalRootRole.String(), root)
}

// reach asks a server for a repository.
func (s *Signer) reach(ctx context.Context, server Server, gun string) (*repository, error) {
	remote, err := s.remote(ctx, server, gun)
	if err != nil {
		return nil, err
	}
	files, err := metadataFiles(s.metadataDir(gun))
	if err != nil {
		return nil, err
	}
	return s.load(server, gun, remote, files)
}

// load verifies a repository as remote has it, and keeps what it has seen.
func (s *Signer) load(server Server, gun string, remote storage.RemoteStore, seen storage.MetadataStore) (*repository, error) {
	r := &repository{gun: data.GUN(gun), server: server, signer: s, keys: s.keys, cache: seen, remote: remote}
	var err error
	r.found, r.invalid, err = r.read()
	if errors.As(err, new(client.ErrRepositoryNotExist)) {
		return r, r.forgotten(err)
	}
	if err != nil {
		return nil, unwrapNetwork(err)
	}
	return r, r.open(seen, s.keys.service(false))
}

// read verifies what the server has, beginning with the root that was seen
// first.
func (r *repository) read() (found, invalid *tuf.Repo, err error) {
	defer recovered(&err)
	return client.LoadTUFRepo(client.TUFLoadOptions{
		GUN: r.gun, Cache: r.cache, RemoteStore: r.remote, CryptoService: r.keys.service(false), AlwaysCheckInitialized: true,
	})
}

// recovered makes a refusal of notary's client giving up on bytes that came
// from outside.
func recovered(err *error) {
	if broken := recover(); broken != nil {
		*err = fmt.Errorf("the trust data cannot be read: %v", broken)
	}
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
	r.Repository, err = client.NewRepository(r.gun, r.server.URL, successor{r.remote, r}, cache, trustpinning.TrustPinConfig{}, keys, changelist.NewMemChangelist())
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
