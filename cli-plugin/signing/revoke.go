package signing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/theupdateframework/notary/tuf/data"
)

// errNothing says that there was nothing to take back.
var errNothing = errors.New("nothing was signed")

// Revoke takes the signatures of tags back, all of the repository's if none is
// given, from every role that has them: one that has expired as well, or else
// the next to sign in it would bring them back. It gives the tags in order. A
// role whose key is not here is an error: the tag would remain signed by it.
func (s *Signer) Revoke(ctx context.Context, gun string, tags ...string) ([]string, error) {
	var gone []string
	plan := func(r *repository) error {
		gone = nil
		if r.found == nil {
			return fmt.Errorf("%s: %w", gun, errNothing)
		}
		listed := r.listed(tags)
		for tag := range listed {
			gone = append(gone, tag)
		}
		slices.Sort(gone)
		for _, tag := range tags {
			if listed[tag] == nil {
				return fmt.Errorf("%s:%s: %w", gun, tag, errNothing)
			}
		}
		if len(gone) == 0 {
			return fmt.Errorf("%s: %w", gun, errNothing)
		}
		return r.takeBack(listed)
	}
	_, err := s.change(ctx, gun, plan, func(now *repository) error {
		if len(now.listed(gone)) > 0 {
			return errConflict
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return gone, nil
}

// listed are the roles that have each of tags; of all tags if none is given.
func (r *repository) listed(tags []string) map[string][]data.RoleName {
	listed := map[string][]data.RoleName{}
	for role, metadata := range r.all() {
		for tag := range metadata.Signed.Targets {
			if len(tags) == 0 || slices.Contains(tags, tag) {
				listed[tag] = append(listed[tag], role)
			}
		}
	}
	return listed
}

// takeBack stages the removal of tags.
func (r *repository) takeBack(listed map[string][]data.RoleName) error {
	in := map[data.RoleName][]string{}
	for tag, roles := range listed {
		for _, role := range roles {
			in[role] = append(in[role], tag)
		}
	}
	for role, tags := range in {
		if err := r.unlock(role); err != nil {
			return err
		}
		if err := r.adopt(role, len(tags) == len(r.all()[role].Signed.Targets)); err != nil {
			return err
		}
		for _, tag := range tags {
			if err := r.RemoveTarget(tag, role); err != nil {
				return err
			}
		}
	}
	return nil
}
