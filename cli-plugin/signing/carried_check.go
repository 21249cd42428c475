package signing

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/distribution/reference"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/utils"
)

// A carriedRepository is one of either file.
type carriedRepository interface {
	about() (gun, server string, targets []Target)
	check() error
}

func (p PreparedRepository) about() (gun, server string, targets []Target) {
	return p.GUN, p.Server, p.Targets
}

func (p SignedRepository) about() (gun, server string, targets []Target) {
	return p.GUN, p.Server, p.Targets
}

// checkAll wants repositories in the order of their names, each once.
func checkAll[R carriedRepository](repositories []R) error {
	last := ""
	for _, r := range repositories {
		gun, server, targets := r.about()
		if gun <= last {
			return errChanged
		}
		last = gun
		if err := checkGroup(gun, server, targets); err != nil {
			return err
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("%s: %w", gun, err)
		}
	}
	return nil
}

// checkGroup refuses targets that are not those of one repository.
func checkGroup(gun, server string, targets []Target) error {
	if _, err := parseGUN(gun); err != nil {
		return err
	}
	if err := (Server{URL: server}).check(); err != nil {
		return err
	}
	if len(targets) == 0 {
		return fmt.Errorf("%s is without tags", gun)
	}
	for _, t := range targets {
		if t.GUN != gun || !anchoredTag.MatchString(t.Tag) {
			return fmt.Errorf("%.200q is no tag of %s", t.String(), gun)
		}
	}
	return checkTargets(targets)
}

// anchoredTag is what a registry accepts as a tag.
var anchoredTag = regexp.MustCompile(`^(?:` + reference.TagRegexp.String() + `)$`)

// check wants all of a repository, or none of it and the server's keys.
func (p PreparedRepository) check() error {
	if len(p.Roots) == 0 {
		if len(p.Roles) > 0 {
			return errors.New("it has roles and no root")
		}
		return wantKeys(p.Keys, serverRoles...)
	}
	if len(p.Roots) > maxRoots || len(p.Keys) > 0 {
		return errChanged
	}
	return wantKeys(p.Roles, append(slices.Clone(serverRoles), targetsRole)...)
}

// wantKeys wants members of a map, and names of roles for all of them.
func wantKeys(members map[string][]byte, wanted ...data.RoleName) error {
	for _, role := range wanted {
		if members[role.String()] == nil {
			return fmt.Errorf("its %s is missing", role)
		}
	}
	for name := range members {
		if !isRole(name) {
			return fmt.Errorf("%.90q is no role", name)
		}
	}
	return nil
}

func isRole(name string) bool {
	return data.ValidRole(data.RoleName(name)) || data.IsDelegation(data.RoleName(name))
}

// hexSum is a sha256.
var hexSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// check wants the metadata to say what the file says of it. Whether the
// signatures hold is found out before it is published: see verify.
func (p SignedRepository) check() error {
	if len(p.Roles) == 0 || p.Metadata[data.CanonicalTimestampRole.String()] != nil {
		return errChanged
	}
	begins := len(p.Basis) == 0
	if begins != (p.RootKey != "") || begins && len(p.Unchanged) > 0 {
		return errChanged
	}
	if err := wantKeys(p.Metadata); err != nil {
		return err
	}
	for name, digested := range p.Basis {
		if !isRole(name) || !hexSum.MatchString(digested) {
			return errChanged
		}
	}
	if begins {
		if err := p.checkRoot(); err != nil {
			return err
		}
	}
	if err := p.checkUnchanged(); err != nil {
		return err
	}
	for _, role := range p.Roles {
		if name := data.RoleName(role); name != targetsRole && !data.IsDelegation(name) {
			return fmt.Errorf("%.90q holds no tags", role)
		}
		if err := p.checkRole(role); err != nil {
			return err
		}
	}
	return nil
}

// checkUnchanged wants each tag that is said to be unchanged once.
func (p SignedRepository) checkUnchanged() error {
	for i, tag := range p.Unchanged {
		known := slices.ContainsFunc(p.Targets, func(t Target) bool { return t.Tag == tag })
		if !known || slices.Contains(p.Unchanged[:i], tag) {
			return errChanged
		}
	}
	return nil
}

// checkRoot wants the key that a person is told to be the one of the root.
func (p SignedRepository) checkRoot() error {
	root := &data.SignedRoot{}
	if p.Metadata[targetsRole.String()] == nil || json.Unmarshal(p.Metadata[data.CanonicalRootRole.String()], root) != nil {
		return errors.New("it begins, and its root or targets are missing")
	}
	role, err := root.BuildBaseRole(data.CanonicalRootRole)
	if err != nil {
		return fmt.Errorf("its root: %w", err)
	}
	for _, key := range role.ListKeys() {
		if id, err := utils.CanonicalKeyID(key); err != nil || id != p.RootKey {
			return fmt.Errorf("its root has another key than %.70s", p.RootKey)
		}
	}
	return nil
}

// checkRole wants each tag in the metadata of a role that is to be published.
func (p SignedRepository) checkRole(name string) error {
	raw := p.Metadata[name]
	if raw == nil {
		if len(p.Unchanged) < len(p.Targets) {
			return fmt.Errorf("its %s is missing", name)
		}
		return nil
	}
	role := &data.SignedTargets{}
	if err := json.Unmarshal(raw, role); err != nil {
		return fmt.Errorf("its %s: %w", name, err)
	}
	for _, t := range p.Targets {
		if !names(role, t) {
			return fmt.Errorf("its %s does not name %s for %s", name, t.Digest, t)
		}
	}
	return nil
}
