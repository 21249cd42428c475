package admission

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/protect"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// exceptFor opens a configuration to one repository.
type exceptFor string

func (e exceptFor) Container(_ context.Context, _ engine.Container, image reference.Named) error {
	if image != nil && image.Name() == string(e) {
		return nil
	}
	return &protect.Refusal{Setting: policy.SettingPrivileged, Text: "it is privileged"}
}

// TestExceptionsAreForWhatIsVouchedFor: break-glass under a repository's name
// gets none of them.
func TestExceptionsAreForWhatIsVouchedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	j := s.judge(nil)
	j.Protect = exceptFor(signed)
	if _, err := s.create(j, first, good, signed+":v1"); err != nil {
		t.Errorf("what is signed: %v", err)
	}
	mounted := mount.Mount{Type: mount.TypeImage, Source: signed + "@" + evil.String(), Target: "/m"}
	for name, c := range map[string]engine.Container{
		"its image":                     s.engine.add(second, evil, signed+":v1"),
		"an image it mounts":            s.engine.add(second, good, signed+":v1", mounted),
		"and it is approved for itself": s.engine.add(first, good, signed+":v1", mounted),
	} {
		_, err := j.Container(t.Context(), c)
		refusal := new(protect.Refusal)
		if !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "break-glass") || !Conclusive(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if admitted, err := j.Container(t.Context(), s.engine.add(second, good, signed+":v1")); err != nil || admitted.Repository().Name() != signed {
		t.Errorf("without break-glass: got %+v, %v", admitted, err)
	}
	j.Protect = exceptFor(listed) // would open it to neither
	_, err := j.Container(t.Context(), s.engine.add(second, evil, signed+":v1"))
	if err == nil || strings.Contains(err.Error(), "break-glass") || !Conclusive(err) {
		t.Errorf("where no exception is missed: got %v", err)
	}
}

// TestBreakGlassMakesNoSilenceFinal: a container that runs by an exception goes
// on while no trust server answers, with an allowance as without.
func TestBreakGlassMakesNoSilenceFinal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.dark()
	j := s.judge(nil)
	j.Protect = exceptFor(signed)
	c := s.engine.add(first, good, signed+":v1")
	_, err := j.Container(t.Context(), c)
	wantUnvouched(t, err, trust.Unreachable)
	if Conclusive(err) {
		t.Error("silence is final")
	}
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, good), s.now))
	_, err = j.Container(t.Context(), c)
	refusal := new(protect.Refusal)
	if !errors.As(err, &refusal) || Conclusive(err) {
		t.Errorf("with an allowance: got %v, final: %v", err, Conclusive(err))
	}
}
