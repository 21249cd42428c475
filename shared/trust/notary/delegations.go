package notary

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/errgroup"
)

// fetchDelegations reads the delegations that the scope needs, and others as
// far as they name signers. One that does not verify is remembered as such;
// whether it matters is decided by the question.
func (l *loader) fetchDelegations(ctx context.Context, builder tuf.RepoBuilder) error {
	published, err := l.published(builder)
	if err != nil {
		return err
	}
	needed := l.scope.needs()
	for _, role := range published {
		if err := l.weigh(ctx, role, builder.GetConsistentInfo(role).Length()); err != nil {
			return err
		}
	}
	var group errgroup.Group
	group.SetLimit(maxParallel)
	raws, errs := make([][]byte, len(published)), make([]error, len(published))
	for i, role := range published {
		info := builder.GetConsistentInfo(role)
		group.Go(func() error {
			raws[i], errs[i] = l.src.role(ctx, role, info)
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	for i, role := range published {
		if _, delegated := l.keysOf(role); !delegated {
			continue // a snapshot may still name what targets has taken away
		}
		err := errs[i]
		if err != nil {
			err = unanswerable(role, err)
		} else {
			err = l.accept(builder, role, raws[i])
		}
		if err != nil && slices.Contains(needed, role) {
			return err // another server may have the bytes that were signed
		}
		if err != nil {
			l.broken[role] = err
		}
	}
	return nil
}

// published lists the delegations to read, parents first: those that the
// signed snapshot has metadata for.
func (l *loader) published(builder tuf.RepoBuilder) ([]data.RoleName, error) {
	snapshot, err := data.SnapshotFromSigned(l.signed[data.CanonicalSnapshotRole])
	if err != nil {
		return nil, unanswerable(data.CanonicalSnapshotRole, err)
	}
	targets, err := l.verifiedTargets(data.CanonicalTargetsRole)
	if err != nil {
		return nil, unanswerable(data.CanonicalTargetsRole, err)
	}
	roles, room := l.scope.needs(), int64(maxOptional)
	for i, role := range targets.Signed.Delegations.Roles {
		if room -= builder.GetConsistentInfo(role.Name).Length(); i < maxDelegations && room >= 0 {
			roles = append(roles, role.Name)
		}
	}
	roles = parentsFirst(roles)
	return slices.DeleteFunc(roles, func(role data.RoleName) bool {
		_, listed := snapshot.Signed.Meta[string(role)]
		return !listed
	}), nil
}

// parentsFirst sorts roles by depth and name, each once.
func parentsFirst(roles []data.RoleName) []data.RoleName {
	slices.SortFunc(roles, func(a, b data.RoleName) int {
		return cmp.Or(cmp.Compare(strings.Count(string(a), "/"), strings.Count(string(b), "/")), cmp.Compare(a, b))
	})
	return slices.Compact(roles)
}

// releases is the delegation that docker trust signs every tag into.
const releases data.RoleName = "targets/releases"

// needs lists the delegations a scope cannot do without, and their parents.
func (s Scope) needs() []data.RoleName {
	if len(s.Signers) == 0 {
		return []data.RoleName{releases}
	}
	var roles []data.RoleName
	for _, signer := range s.Signers {
		for role := signerRole(signer); data.IsDelegation(role); role = role.Parent() {
			roles = append(roles, role)
		}
	}
	return parentsFirst(roles)
}

func signerRole(signer string) data.RoleName {
	return data.CanonicalTargetsRole + "/" + data.RoleName(signer)
}
