package signing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/notary/tuf/data"
)

// errStale says that what was signed stands upon what is there no more.
var errStale = errors.New("its trust server has other signatures than those that this was prepared from: prepare and sign anew")

// PublishSigned publishes what SignPrepared has signed, several repositories at
// the same time, each in one piece, and reads it back. A repository is refused
// whose server has other metadata than that which was prepared. One that is
// published already is none the worse for it. It takes no key.
func (s *Signer) PublishSigned(ctx context.Context, p Publication, done func(Result)) []Result {
	return each(len(p.Repositories), done, func(i int) Result {
		one := p.Repositories[i]
		if err := ctx.Err(); err != nil {
			return failed(one.GUN, one.Targets, notBegun(one.GUN, err))
		}
		sent, err := s.deliver(ctx, one)
		if err != nil {
			return failed(one.GUN, one.Targets, err)
		}
		return one.result(sent)
	})
}

// result is what became of the repository; sent: it was not there before.
func (p SignedRepository) result(sent bool) Result {
	result := Result{GUN: p.GUN, Roles: p.Roles, Began: sent && len(p.Basis) == 0}
	if result.Began {
		result.RootKey = p.RootKey
	}
	for _, t := range p.Targets {
		if !sent || slices.Contains(p.Unchanged, t.Tag) {
			result.Unchanged = append(result.Unchanged, t)
		} else {
			result.Published = append(result.Published, t)
		}
	}
	return result
}

func (s *Signer) deliver(ctx context.Context, p SignedRepository) (sent bool, err error) {
	server, err := s.serverOf(p.GUN)
	if err != nil {
		return false, err
	}
	if server.URL != p.Server {
		return false, fmt.Errorf("%s was prepared from %s, and is not published to %s: if it is to go there, prepare it there; else --server %[2]s", p.GUN, p.Server, server.URL)
	}
	r, err := s.reach(ctx, server, p.GUN)
	if err == nil {
		sent, err = r.deliver(ctx, p)
	}
	if err != nil {
		return false, explain(server, p.GUN, err)
	}
	return sent, nil
}

func (r *repository) deliver(ctx context.Context, p SignedRepository) (sent bool, err error) {
	now := r.basis()
	switch {
	case r.found != nil && p.isPart(now):
		return false, p.served(r)
	case !maps.Equal(now, p.Basis):
		return false, &planError{fmt.Errorf("%s: %w", p.GUN, errStale)}
	}
	r.begins = r.found == nil
	if err := r.verify(p); err != nil {
		return false, &planError{fmt.Errorf("nothing was published of %s: %w", p.GUN, err)}
	}
	if err = r.upload(ctx, p); errors.Is(err, errConflict) {
		err = &planError{fmt.Errorf("%s: %w", p.GUN, errStale)}
	}
	return true, err
}

// upload sends what was signed, and reads it back.
func (r *repository) upload(ctx context.Context, p SignedRepository) error {
	if err := r.remote.SetMulti(p.Metadata); err != nil {
		return r.conflict(ctx, err)
	}
	if r.begins {
		if err := r.pin(p.Metadata[data.CanonicalRootRole.String()]); err != nil {
			return err
		}
	}
	return r.prove(p.served)
}

// isPart reports whether a server has all that was signed. The snapshot is left
// out: a server that holds its key may sign it anew at any time.
func (p SignedRepository) isPart(now map[string]string) bool {
	for name, raw := range p.Metadata {
		if name != data.CanonicalSnapshotRole.String() && now[name] != sum(raw) {
			return false
		}
	}
	return len(p.Metadata) > 0 || maps.Equal(now, p.Basis)
}

// served wants the tags in their roles.
func (p SignedRepository) served(now *repository) error {
	for _, role := range p.Roles {
		for _, t := range p.Targets {
			if !names(now.found.Targets[data.RoleName(role)], t) {
				return errConflict
			}
		}
	}
	return nil
}
