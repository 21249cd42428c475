package signing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
	"github.com/theupdateframework/notary/tuf/utils"
)

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

// holders are the canonical IDs of the keys of a role.
func (r *repository) holders(name data.RoleName) []string {
	var keys []data.PublicKey
	if data.ValidRole(name) && !data.IsDelegation(name) {
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

// need wants a key of a role to be here.
func (r *repository) need(role data.RoleName) error {
	if len(r.held(role)) == 0 {
		return fmt.Errorf("none of the keys of %s of %s (%s) is in %s: bring one with docker stig trust key load or restore", role, r.gun, shorten(r.holders(role)), r.keys.dir)
	}
	return nil
}

// unlock opens the keys that will sign for roles.
func (r *repository) unlock(roles ...data.RoleName) error {
	for _, role := range roles {
		if err := r.need(role); err != nil {
			return err
		}
		for _, id := range r.held(role) {
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
	if err := r.signedByHolders(name); err != nil {
		return fmt.Errorf("%s of %s does not verify (%w), so nothing is added to it: docker stig trust revoke %[2]s empties it, and a signer's own goes with docker stig trust signer remove", name, r.gun, err)
	}
	_, err := r.Witness(name)
	return err
}

// signedByHolders wants a role that is not valid to be signed by enough of its
// keys all the same, as after its expiry.
func (r *repository) signedByHolders(name data.RoleName) error {
	role, err := r.found.GetDelegationRole(name)
	if err != nil {
		return err
	}
	untrusted, err := r.invalid.Targets[name].ToSigned()
	if err != nil {
		return err
	}
	return signed.VerifySignatures(untrusted, role.BaseRole)
}

// all are the roles that hold tags, those that have expired or do not verify
// among them: whoever signs such a role anew vouches for what is in it.
func (r *repository) all() map[data.RoleName]*data.SignedTargets {
	all := map[data.RoleName]*data.SignedTargets{}
	if r.invalid != nil {
		maps.Copy(all, r.invalid.Targets)
	}
	if r.found != nil {
		maps.Copy(all, r.found.Targets)
	}
	return all
}

// adopt stages a new signature of a role that has expired, so that tags can be
// taken from it. One that does not verify is adopted only to be emptied.
func (r *repository) adopt(name data.RoleName, emptied bool) error {
	if r.found.Targets[name] != nil {
		return nil
	}
	role := r.invalid.Targets[name]
	if len(role.Signed.Delegations.Roles) > 0 {
		return fmt.Errorf("%s of %s has expired or does not verify, and has delegations of its own, whose tags are not known: take them away with notary delegation remove first", name, r.gun)
	}
	if err := r.signedByHolders(name); err != nil && !emptied {
		return fmt.Errorf("%s of %s does not verify (%w), and a new signature would be one of all that is in it: docker stig trust revoke %[2]s takes all back; sign anew then", name, r.gun, err)
	}
	_, err := r.Witness(name)
	return err
}
