package signing

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// errTampered ends what is told of metadata that does not verify.
var errTampered = errors.New("what was signed was changed on its way here, or signed with other keys: prepare and sign anew")

// verify holds what is to be published against the server's root, role by
// role, as an engine will; and wants it to change nothing but the tags that a
// person has seen. A server that checks less would take more.
func (r *repository) verify(p SignedRepository) (err error) {
	defer recovered(&err)
	chain := tuf.NewRepoBuilder(r.gun, r.keys.service(false), trustpinning.TrustPinConfig{})
	for _, name := range p.chain() {
		if err := r.follow(chain, p, name); err != nil {
			return fmt.Errorf("its %s does not verify (%w): %w", name, err, errTampered)
		}
	}
	then, _, err := chain.Finish()
	if err != nil {
		return err
	}
	if !r.begins { // a server refuses to begin with a timestamp key that is not its own
		if err := r.wantKeysKept(p, then); err != nil {
			return err
		}
	}
	for _, name := range p.chain() {
		if now := then.Targets[name]; now != nil && p.Metadata[name.String()] != nil {
			if err := r.wantListed(p, name, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// chain are the roles on the way from the root to what is published, in the
// order in which the one vouches for the other.
func (p SignedRepository) chain() []data.RoleName {
	chain := []data.RoleName{data.CanonicalRootRole}
	if p.Metadata[data.CanonicalSnapshotRole.String()] != nil {
		chain = append(chain, data.CanonicalSnapshotRole)
	}
	chain = append(chain, targetsRole)
	for _, name := range slices.Sorted(maps.Keys(p.Metadata)) {
		if role := data.RoleName(name); data.IsDelegation(role) {
			chain = append(chain, role)
		}
	}
	return chain
}

// follow loads one role: the next version of it if it is published, and else
// what the server has.
func (r *repository) follow(chain tuf.RepoBuilder, p SignedRepository, name data.RoleName) error {
	raw := p.Metadata[name.String()]
	if raw != nil && (r.begins || name != data.CanonicalRootRole) {
		if err := chain.Load(name, raw, r.version(name)+1, false); err != nil {
			return err
		}
		return r.wantNext(chain, name)
	}
	current, err := r.current(name)
	switch {
	case err != nil:
		return err
	case raw == nil:
		return chain.Load(name, current, r.version(name), false)
	}
	// TUF 1.0.31, 5.3.4: a root is signed by the keys of the one before, too.
	if err := chain.LoadRootForUpdate(current, r.version(name), false); err != nil {
		return err
	}
	if err := chain.LoadRootForUpdate(raw, r.version(name)+1, true); err != nil {
		return err
	}
	return r.wantNext(chain, name)
}

// wantNext wants no version left out: after a high one no signer could go on.
func (r *repository) wantNext(chain tuf.RepoBuilder, name data.RoleName) error {
	if got, before := chain.GetLoadedVersion(name), r.version(name); before > 0 && got != before+1 {
		return fmt.Errorf("its version is %d, and %d comes next", got, before+1)
	}
	return nil
}

// current is what the server has of a role, which was verified.
func (r *repository) current(name data.RoleName) ([]byte, error) {
	if r.found == nil {
		return nil, errors.New("it is missing")
	}
	if name == data.CanonicalRootRole {
		return r.cache.GetSized(name.String(), storage.NoSizeLimit)
	}
	return r.metadata(name.String(), r.found.Snapshot.Signed.Meta[name.String()])
}

// wantKeysKept wants a new root to have the keys of the one before, and a new
// snapshot to name what the server has: no person was asked about others.
func (r *repository) wantKeysKept(p SignedRepository, then *tuf.Repo) error {
	for _, name := range data.BaseRoles {
		before, now := r.found.Root.Signed.Roles[name], then.Root.Signed.Roles[name]
		if before == nil || now == nil || before.Threshold != now.Threshold || !slices.Equal(sorted(before.KeyIDs), sorted(now.KeyIDs)) {
			return fmt.Errorf("its root gives %s other keys, which signing does not: %w", name, errTampered)
		}
	}
	if then.Snapshot == nil {
		return nil
	}
	want := r.basis()
	for name, raw := range p.Metadata {
		if name != data.CanonicalSnapshotRole.String() {
			want[name] = sum(raw)
		}
	}
	got := map[string]string{}
	for name, meta := range then.Snapshot.Signed.Meta {
		got[name] = fmt.Sprintf("%x", []byte(meta.Hashes[notary.SHA256]))
	}
	if !maps.Equal(want, got) {
		return fmt.Errorf("its snapshot names other roles than there will be: %w", errTampered)
	}
	return nil
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}

// wantListed wants a role to be what it was, and the tags that are listed.
func (r *repository) wantListed(p SignedRepository, name data.RoleName, now *data.SignedTargets) error {
	before := data.Targets{}
	if old := r.all()[name]; old != nil {
		before = old.Signed
	}
	want := maps.Clone(before.Targets)
	if want == nil {
		want = data.Files{}
	}
	if slices.Contains(p.Roles, name.String()) {
		for _, t := range p.Targets {
			want[t.Tag] = now.Signed.Targets[t.Tag] // which check has compared
		}
	}
	for tag, meta := range now.Signed.Targets {
		if other, ok := want[tag]; !ok || !meta.Equals(other) {
			return fmt.Errorf("its %s holds %.200q otherwise than it is listed: %w", name, tag, errTampered)
		}
	}
	if len(want) != len(now.Signed.Targets) {
		return fmt.Errorf("its %s has lost tags: %w", name, errTampered)
	}
	if !r.sameDelegations(p, before.Delegations, now.Signed.Delegations) {
		return fmt.Errorf("its %s has other signers than before: %w", name, errTampered)
	}
	return nil
}

// sameDelegations wants those that were there; a repository that begins has
// just those whose tags are listed.
func (r *repository) sameDelegations(p SignedRepository, before, now data.Delegations) bool {
	if !r.begins {
		return len(before.Roles) == len(now.Roles) && (len(now.Roles) == 0 || reflect.DeepEqual(before, now))
	}
	return !slices.ContainsFunc(now.Roles, func(role *data.Role) bool { return !slices.Contains(p.Roles, role.Name.String()) })
}
