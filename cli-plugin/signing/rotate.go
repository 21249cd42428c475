package signing

import (
	"context"
	"fmt"

	"github.com/theupdateframework/notary/tuf/data"
)

// Rotate gives a role of a repository another key, and tells its ID: a new one
// for root and targets, which is kept in the folder, and one of the server's
// for snapshot and timestamp. A new root is signed by the old root key as well,
// so that it must be here; policies that pin the old key follow it.
func (s *Signer) Rotate(ctx context.Context, gun, role string) (string, error) {
	name := data.RoleName(role)
	serverKeeps := name == data.CanonicalSnapshotRole || name == data.CanonicalTimestampRole
	if !data.ValidRole(name) || data.IsDelegation(name) {
		return "", fmt.Errorf("%q is no role whose key can be rotated: want root, targets, snapshot or timestamp; a signer's key is replaced with docker stig trust signer", role)
	}
	var before []string
	rotated := false
	plan := func(r *repository) error {
		if r.found == nil {
			return fmt.Errorf("%s: %w", gun, errNothing)
		}
		if rotated { // it is published, and only reading it again was left
			return nil
		}
		before = r.baseKeys(name)
		if err := r.unlock(data.CanonicalRootRole); err != nil {
			return err
		}
		if name == targetsRole {
			if err := r.unlock(targetsRole); err != nil {
				return err
			}
		}
		if err := r.RotateKey(name, serverKeeps, nil); err != nil {
			return unwrapNetwork(err)
		}
		rotated = true
		return nil
	}
	if _, err := s.change(ctx, gun, plan, func(*repository) error { return nil }); err != nil {
		return "", err
	}
	return s.rotated(ctx, gun, name, before)
}

// rotated reads the role's key from the server again.
func (s *Signer) rotated(ctx context.Context, gun string, name data.RoleName, before []string) (string, error) {
	after := ""
	plan := func(r *repository) error {
		keys := r.baseKeys(name)
		if len(keys) != 1 || subset(keys, before) {
			return fmt.Errorf("the server took the new %s key of %s, and still serves the old one; see its log", name, gun)
		}
		after = keys[0]
		return nil
	}
	_, err := s.change(ctx, gun, plan, nil)
	return after, err
}

// baseKeys are the canonical IDs of the keys of a role of the root.
func (r *repository) baseKeys(name data.RoleName) []string {
	role, err := r.found.GetBaseRole(name)
	if err != nil {
		return nil
	}
	ids, err := canonical(role.ListKeys())
	if err != nil {
		return nil
	}
	return ids
}
