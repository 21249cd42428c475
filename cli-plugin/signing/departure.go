package signing

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/tuf/data"
)

// ErrLastSigner says that the tags of a repository would be signed by nobody.
var ErrLastSigner = errors.New("no other signer would be left")

// A Departure is what it means for a repository that a signer leaves it.
type Departure struct {
	GUN    string
	Signer string
	Alone  []Target // in targets/releases, whose digest nobody who stays has in a delegation of his own; by tag
	Heirs  []string // signers who stay and whose keys are here, in order: they sign targets/releases anew
}

// Departure says what would become of a repository without a signer. It
// changes nothing, and refuses what RemoveSigner would.
func (s *Signer) Departure(ctx context.Context, gun, name string) (Departure, error) {
	var d Departure
	if err := CheckName(name); err != nil {
		return d, err
	}
	_, err := s.change(ctx, gun, func(r *repository) error {
		var err error
		d, err = r.departure(name)
		return err
	}, nil)
	return d, err
}

// RemoveSigner takes a signer's delegation and its share in targets/releases
// away. That role is signed anew by those who stay, or else no engine would
// believe it any more; their keys vouch for all that is left in it. So what the
// signer alone has vouched for is dropped from it, or, with keep, signed by the
// heirs, in their own delegations as well. It is an error if that is not what
// has been agreed to.
func (s *Signer) RemoveSigner(ctx context.Context, agreed Departure, keep bool) error {
	p := &parting{Departure: agreed, keep: keep, now: time.Now()}
	_, err := s.change(ctx, agreed.GUN, p.plan, p.served)
	return err
}

// A parting is a signer on the way out.
type parting struct {
	Departure
	keep    bool
	now     time.Time
	leaving []string // canonical IDs of keys that targets/releases loses
	begun   bool
}

func (p *parting) plan(r *repository) error {
	role := roleOf(p.Signer)
	if p.begun && r.found != nil && r.delegations()[role] == nil {
		return p.served(r) // it is published, and only reading it again was left
	}
	d, err := r.departure(p.Signer)
	if err != nil {
		return err
	}
	if !slices.Equal(d.Alone, p.Alone) || !slices.Equal(d.Heirs, p.Heirs) {
		return fmt.Errorf("%s of %s is not what was agreed to any more, and nothing was changed: do it again, and look at the list", releasesRole, p.GUN)
	}
	p.begun = true
	if err := r.unlock(targetsRole); err != nil {
		return err
	}
	if err := p.leaveReleases(r); err != nil {
		return err
	}
	return r.RemoveDelegationRole(role)
}

// leaveReleases stages targets/releases as it is without the signer.
func (p *parting) leaveReleases(r *repository) error {
	leaving, staying := r.shares(p.Signer)
	p.leaving = leaving
	if r.releases() != nil && r.hasShare(p.Signer) {
		for _, id := range slices.DeleteFunc(staying, func(id string) bool { return !r.keys.has(id) }) {
			if err := r.keys.unlock(id, fmt.Sprintf("%s of %s", releasesRole, r.gun)); err != nil {
				return err
			}
		}
		if _, err := r.Witness(releasesRole); err != nil {
			return err
		}
		if err := p.settle(r); err != nil {
			return err
		}
	}
	if len(leaving) == 0 {
		return nil
	}
	return r.RemoveDelegationKeys(releasesRole, leaving)
}

// settle drops what the signer alone has vouched for, or has the heirs do it.
func (p *parting) settle(r *repository) error {
	if p.keep && len(p.Alone) > 0 {
		for _, heir := range p.Heirs {
			if err := r.renew(roleOf(heir), p.now); err != nil {
				return err
			}
		}
	}
	for _, t := range p.Alone {
		if !p.keep {
			if err := r.RemoveTarget(t.Tag, releasesRole); err != nil {
				return err
			}
			continue
		}
		meta := r.releases().Signed.Targets[t.Tag]
		for _, heir := range p.Heirs {
			if err := r.AddTarget(&client.Target{Name: t.Tag, Hashes: meta.Hashes, Length: meta.Length, Custom: meta.Custom}, roleOf(heir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// served wants the signer gone, and with him what was dropped.
func (p *parting) served(now *repository) error {
	held := now.holders(releasesRole)
	back := slices.ContainsFunc(p.leaving, func(id string) bool { return slices.Contains(held, id) })
	if back || now.delegations()[roleOf(p.Signer)] != nil {
		return errConflict
	}
	for _, t := range p.Alone {
		if names(now.found.Targets[releasesRole], t) != p.keep {
			return errConflict
		}
	}
	return nil
}

// departure says what it means that a signer leaves, or why he cannot.
func (r *repository) departure(name string) (Departure, error) {
	d := Departure{GUN: r.gun.String(), Signer: name}
	if r.found == nil || r.delegations()[roleOf(name)] == nil {
		return d, fmt.Errorf("%s is no signer of %s", name, r.gun)
	}
	if err := r.need(targetsRole); err != nil {
		return d, err
	}
	if !r.hasShare(name) {
		return d, nil
	}
	_, staying := r.shares(name)
	if len(staying) == 0 {
		return d, fmt.Errorf("%s is the last signer of %s: %w; add another one first", name, r.gun, ErrLastSigner)
	}
	releases := r.releases()
	if releases == nil {
		return d, nil
	}
	if !slices.ContainsFunc(staying, r.keys.has) {
		return d, fmt.Errorf("what is in %s of %s has to be signed anew by another signer than %s, and none of their keys (%s) is in %s", releasesRole, r.gun, name, shorten(staying), r.keys.dir)
	}
	if below := releases.Signed.Delegations.Roles; len(below) > 0 {
		return d, fmt.Errorf("%s of %s has delegations of its own, such as %.90q, by which %s could go on signing: take them away with notary delegation remove first", releasesRole, r.gun, below[0].Name, name)
	}
	d.Alone, d.Heirs = r.alone(name), r.heirs(name)
	return d, nil
}

// releases is targets/releases, if anything was signed in it by its keys. What
// a stranger has signed is left as it is: nobody believes it.
func (r *repository) releases() *data.SignedTargets {
	role := r.all()[releasesRole]
	if role == nil || r.found.Targets[releasesRole] == nil && r.signedByHolders(releasesRole) != nil {
		return nil
	}
	return role
}

// hasShare reports whether a signer can sign in targets/releases.
func (r *repository) hasShare(name string) bool {
	held := r.holders(releasesRole)
	return slices.ContainsFunc(r.holders(roleOf(name)), func(id string) bool { return slices.Contains(held, id) })
}

// shares are the keys of targets/releases that go with a signer, and those
// that stay: a key that another signer has as well is his.
func (r *repository) shares(name string) (leaving, staying []string) {
	own := r.holders(roleOf(name))
	for _, id := range r.holders(releasesRole) {
		others := slices.ContainsFunc(r.others(name), func(other string) bool { return slices.Contains(r.holders(roleOf(other)), id) })
		if slices.Contains(own, id) && !others {
			leaving = append(leaving, id)
		} else {
			staying = append(staying, id)
		}
	}
	return leaving, staying
}

// others are the signers who stay when one leaves, in order.
func (r *repository) others(name string) []string {
	var others []string
	for role := range r.delegations() {
		if role != roleOf(name) && role != releasesRole {
			others = append(others, signerOf(role))
		}
	}
	slices.Sort(others)
	return others
}

// heirs are the others whose keys are here, and sign in targets/releases.
func (r *repository) heirs(name string) []string {
	_, staying := r.shares(name)
	return slices.DeleteFunc(r.others(name), func(other string) bool {
		return !slices.ContainsFunc(r.held(roleOf(other)), func(id string) bool { return slices.Contains(staying, id) })
	})
}

// alone is what is in targets/releases, and in the valid delegation of none of
// the others.
func (r *repository) alone(name string) []Target {
	var alone []Target
	others := r.others(name)
	for tag, meta := range r.releases().Signed.Targets {
		sum := digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(meta.Hashes[notary.SHA256]))
		t := Target{GUN: r.gun.String(), Tag: tag, Digest: sum, Size: meta.Length}
		if !slices.ContainsFunc(others, func(other string) bool { return names(r.found.Targets[roleOf(other)], t) }) {
			alone = append(alone, t)
		}
	}
	slices.SortFunc(alone, func(a, b Target) int { return strings.Compare(a.Tag, b.Tag) })
	return alone
}
