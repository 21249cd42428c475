package signing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/tuf/data"
)

// A Standing is why the root of a repository that was carried here may be
// believed.
type Standing int

const (
	// Stranger may not: nobody here has seen it before.
	Stranger Standing = iota
	// Seen follows from the root that docker's folder has.
	Seen
	// Own has all its keys here.
	Own
)

// A Reviewed repository is what a person has to know of it before signing.
type Reviewed struct {
	GUN      string
	Begins   bool     // its server has no signatures of it
	RootKeys []string // canonical IDs, of one that does not begin
	Standing Standing
}

// Review verifies what was prepared, and keeps nothing.
func (s *Signer) Review(p Prepared) ([]Reviewed, error) {
	var all []Reviewed
	for _, one := range p.Repositories {
		r, err := s.read(one)
		if err != nil {
			return nil, err
		}
		c := Reviewed{GUN: one.GUN, Begins: r.found == nil}
		if !c.Begins {
			c.RootKeys = r.holders(data.CanonicalRootRole)
			c.Standing = r.standing()
		}
		all = append(all, c)
	}
	return all, nil
}

func (r *repository) standing() Standing {
	seen, err := metadataFiles(r.signer.metadataDir(r.gun.String()))
	if err == nil {
		if _, err = seen.GetSized(data.CanonicalRootRole.String(), storage.NoSizeLimit); err == nil {
			return Seen
		}
	}
	if len(r.held(data.CanonicalRootRole)) == len(r.holders(data.CanonicalRootRole)) {
		return Own
	}
	return Stranger
}

// A draft is a cache whose changes are not written down.
type draft struct {
	*storage.MemoryStore
	under storage.MetadataStore
}

func newDraft(under storage.MetadataStore) draft {
	return draft{storage.NewMemoryStore(nil), under}
}

// GetSized prefers what has changed.
func (d draft) GetSized(name string, size int64) ([]byte, error) {
	if raw, err := d.MemoryStore.GetSized(name, size); err == nil {
		return raw, nil
	}
	return d.under.GetSized(name, size)
}

// A carriedServer is a trust server in memory: it has what was prepared, and
// takes what is published, as its own.
type carriedServer struct {
	*storage.MemoryStore
	keys  map[string][]byte
	taken map[string][]byte
}

func (p PreparedRepository) server() *carriedServer {
	files := map[data.RoleName][]byte{}
	for name, raw := range p.Roles {
		files[data.RoleName(name)] = raw
	}
	for _, raw := range p.Roots {
		files[data.CanonicalRootRole] = raw // the last one stays
		files[data.RoleName(fmt.Sprintf("%d.%s", versionOf(raw), data.CanonicalRootRole))] = raw
	}
	return &carriedServer{MemoryStore: storage.NewMemoryStore(files), keys: p.Keys}
}

// versionOf is the version that metadata gives itself, which nobody has
// verified yet; 0 if it has none.
func versionOf(untrusted []byte) int {
	var meta data.SignedMeta
	if json.Unmarshal(untrusted, &meta) != nil {
		return 0
	}
	return meta.Signed.Version
}

// SetMulti takes what is published.
func (c *carriedServer) SetMulti(metadata map[string][]byte) error {
	c.taken = metadata
	return nil
}

// GetKey gives a key that the server made.
func (c *carriedServer) GetKey(role data.RoleName) ([]byte, error) {
	if key := c.keys[role.String()]; key != nil {
		return key, nil
	}
	return nil, storage.ErrMetaNotFound{Resource: role.String() + " key"}
}

// RotateKey would take the server itself.
func (c *carriedServer) RotateKey(data.RoleName) ([]byte, error) { return nil, storage.ErrOffline{} }

// Location stands in errors.
func (c *carriedServer) Location() string { return "what was prepared" }

// read verifies a repository that was carried here, and keeps nothing.
func (s *Signer) read(p PreparedRepository) (*repository, error) {
	files, err := metadataFiles(s.metadataDir(p.GUN))
	if err != nil {
		return nil, err
	}
	return s.carry(p, p.server(), newDraft(files))
}

// carry verifies a repository that was carried here, beginning with the root
// that was seen first.
func (s *Signer) carry(p PreparedRepository, server *carriedServer, seen storage.MetadataStore) (*repository, error) {
	r, err := s.load(Server{URL: p.Server}, p.GUN, server, seen)
	if err != nil {
		return nil, spoiled(p, err)
	}
	return r, nil
}

// spoiled puts what is wrong with metadata that was carried into words.
func spoiled(p PreparedRepository, err error) error {
	return fmt.Errorf("what was prepared of %s is not signed upon: %w; prepare anew", p.GUN, explain(Server{URL: p.Server}, p.GUN, err))
}

// SignPrepared signs what was prepared, without a network, into the roles that
// Publish would write. Repositories begin as they do there, but for their
// timestamp and snapshot, which are the server's. What it gives is whole if no
// result has an error, and of no use otherwise.
func (s *Signer) SignPrepared(ctx context.Context, p Prepared, order Order) (Publication, []Result) {
	signed := Publication{Form: signedForm, Repositories: make([]SignedRepository, len(p.Repositories))}
	results := each(len(p.Repositories), order.Done, func(i int) Result {
		one := p.Repositories[i]
		if err := ctx.Err(); err != nil {
			return failed(one.GUN, one.Targets, notBegun(one.GUN, err))
		}
		var result Result
		signed.Repositories[i], result = s.signPrepared(one, order.Signer)
		return result
	})
	return signed, results
}

func (s *Signer) signPrepared(p PreparedRepository, signer string) (SignedRepository, Result) {
	j := &job{targets: p.Targets, signer: signer, now: time.Now()}
	server := p.server()
	r, err := s.signUpon(p, server, j)
	if err != nil {
		return SignedRepository{}, failed(p.GUN, p.Targets, err)
	}
	result := j.result(p.GUN, r.begins)
	signed := SignedRepository{
		GUN: p.GUN, Server: p.Server, Targets: p.Targets, Roles: result.Roles,
		RootKey: result.RootKey, Basis: r.basis(), Metadata: server.taken,
	}
	for _, t := range result.Unchanged {
		signed.Unchanged = append(signed.Unchanged, t.Tag)
	}
	if err := signed.check(); err != nil {
		return SignedRepository{}, failed(p.GUN, p.Targets, fmt.Errorf("%s: what was signed cannot be published: %w", p.GUN, err))
	}
	return signed, result
}

// signUpon does the job on the server that was carried here.
func (s *Signer) signUpon(p PreparedRepository, server *carriedServer, j *job) (*repository, error) {
	files, err := metadataFiles(s.metadataDir(p.GUN))
	if err != nil {
		return nil, err
	}
	r, err := s.carry(p, server, files)
	if err != nil {
		return nil, err
	}
	changes, err := r.stage(j.plan)
	if err == nil && changes {
		err = r.send()
	}
	if err != nil {
		return nil, explain(r.server, p.GUN, err)
	}
	return r, nil
}

// basis names what the server has by its sha256, as its snapshot does; nothing
// if it has nothing.
func (r *repository) basis() map[string]string {
	if r.found == nil {
		return nil
	}
	basis := map[string]string{}
	for name, meta := range r.found.Snapshot.Signed.Meta {
		basis[name] = hex.EncodeToString(meta.Hashes[notary.SHA256])
	}
	return basis
}

func sum(raw []byte) string {
	own := sha256.Sum256(raw)
	return hex.EncodeToString(own[:])
}
