package signing

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/tuf"
	"github.com/theupdateframework/notary/tuf/data"
)

// A job is the targets of one repository on their way into its roles.
type job struct {
	targets   []Target
	signer    string
	now       time.Time
	roles     []data.RoleName // that are written
	unchanged []Target
	rootKey   string
}

// plan stages the targets.
func (j *job) plan(r *repository) error {
	j.unchanged = nil
	if r.found == nil {
		if err := j.begin(r); err != nil {
			return err
		}
	} else if err := j.choose(r); err != nil {
		return err
	}
	for _, t := range j.targets {
		if r.found != nil && j.stands(r.found, t) {
			j.unchanged = append(j.unchanged, t)
			continue
		}
		target, err := t.notary()
		if err != nil {
			return err
		}
		if err := r.AddTarget(target, j.roles...); err != nil {
			return err
		}
	}
	return nil
}

// notary is the target in notary's words.
func (t Target) notary() (*client.Target, error) {
	sum, err := hex.DecodeString(t.Digest.Encoded())
	if err != nil {
		return nil, err
	}
	return &client.Target{Name: t.Tag, Hashes: data.Hashes{notary.SHA256: sum}, Length: t.Size}, nil
}

// begin makes the repository with a first signer.
func (j *job) begin(r *repository) error {
	if j.signer == "" {
		return fmt.Errorf("%s has no signatures yet: say with --signer whose delegation it is to begin with", r.gun)
	}
	key, err := r.keys.signerKey(j.signer)
	if err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	j.roles = []data.RoleName{releasesRole, roleOf(j.signer)}
	if j.rootKey, err = r.signer.rootKey(); err != nil {
		return err
	}
	return r.addSigner(j.signer, []data.PublicKey{key})
}

// choose finds the roles that the targets go to, and opens their keys.
func (j *job) choose(r *repository) error {
	roles, err := j.candidates(r)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if delegation := r.delegations()[role]; delegation != nil {
			for _, t := range j.targets {
				if !delegation.CheckPaths(t.Tag) {
					return fmt.Errorf("%s of %s may not sign the tag %s: its paths are %s", role, r.gun, t.Tag, strings.Join(delegation.Paths, ", "))
				}
			}
		}
	}
	j.roles = roles
	if err := r.unlock(roles...); err != nil {
		return err
	}
	for _, role := range roles {
		if err := r.renew(role, j.now); err != nil {
			return err
		}
	}
	return nil
}

// candidates are the roles that the order means.
func (j *job) candidates(r *repository) ([]data.RoleName, error) {
	delegations := r.delegations()
	if len(delegations) == 0 {
		if j.signer != "" {
			return nil, fmt.Errorf("%s has no signers, and its tags are in targets: docker stig trust signer add %s %[1]s makes %[2]s one", r.gun, j.signer)
		}
		return []data.RoleName{targetsRole}, nil
	}
	if j.signer != "" {
		role := roleOf(j.signer)
		if delegations[role] == nil {
			return nil, fmt.Errorf("%s is no signer of %s: docker stig trust signer add %[1]s %[2]s makes it one", j.signer, r.gun)
		}
		if delegations[releasesRole] == nil {
			return []data.RoleName{role}, nil
		}
		return []data.RoleName{releasesRole, role}, nil
	}
	var roles []data.RoleName
	for name := range delegations {
		if len(r.held(name)) > 0 {
			roles = append(roles, name)
		}
	}
	slices.Sort(roles)
	switch {
	case len(roles) == 0:
		return nil, fmt.Errorf("the keys of none of the signers of %s are in %s: bring one with docker stig trust key load", r.gun, r.keys.dir)
	case delegations[releasesRole] != nil && !slices.Contains(roles, releasesRole):
		return nil, fmt.Errorf("none of the keys of %s of %s is in %s, and that role decides what a tag names", releasesRole, r.gun, r.keys.dir)
	}
	return roles, nil
}

// stands reports whether all roles say so already, and for long enough.
func (j *job) stands(found *tuf.Repo, t Target) bool {
	for _, role := range j.roles {
		if !names(found.Targets[role], t) || found.Targets[role].Signed.Expires.Before(j.now.Add(renewBefore)) {
			return false
		}
	}
	return true
}

// names reports whether a role's metadata holds a target.
func names(role *data.SignedTargets, t Target) bool {
	if role == nil {
		return false
	}
	meta, ok := role.Signed.Targets[t.Tag]
	sum, err := hex.DecodeString(t.Digest.Encoded())
	return ok && err == nil && bytes.Equal(meta.Hashes[notary.SHA256], sum)
}

// served wants the targets where they were written.
func (j *job) served(now *repository) error {
	for _, t := range j.targets {
		for _, role := range j.roles {
			if !names(now.found.Targets[role], t) {
				return errConflict
			}
		}
	}
	return nil
}

// result is what became of the job, all of which is done.
func (j *job) result(gun string, began bool) Result {
	result := Result{GUN: gun, Began: began, RootKey: j.rootKey}
	for _, role := range j.roles {
		result.Roles = append(result.Roles, role.String())
	}
	for _, t := range j.targets {
		if slices.Contains(j.unchanged, t) {
			result.Unchanged = append(result.Unchanged, t)
		} else {
			result.Published = append(result.Published, t)
		}
	}
	return result
}
