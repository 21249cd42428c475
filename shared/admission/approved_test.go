package admission

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/protect"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/opencontainers/go-digest"
)

// TestApprovalHoldsAfterTheTagHasMoved, and with every trust source down, in
// the process that made it and in later ones.
func TestApprovalHoldsAfterTheTagHasMoved(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	j := s.judge(nil)
	c, err := s.create(j, first, good, signed+":v1")
	must(t, err)
	s.sign("v1", next)
	must(t, j.Approvals.Close(t.Context()))
	for name, judge := range map[string]*Judge{"now": j, "later": s.judge(nil)} {
		s.dark()
		admitted, err := judge.Container(t.Context(), c)
		if err != nil || !admitted.Approved || admitted.Answer.Digest != good || admitted.Answer.Method != trust.DCT || admitted.Repository().Name() != signed {
			t.Errorf("%s: got %+v, %v", name, admitted, err)
		}
		s.notary.Fault(nil)
	}
	current := s.judge(nil)
	current.Recorded = false
	_, err = current.Container(t.Context(), c)
	wantUnvouched(t, err, trust.Unsigned)
}

// TestApprovalVoids: what the approval binds, changed one by one. The tag has
// moved on and the trust server is silent, so that only an approval could say yes.
func TestApprovalVoids(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pins := func(pattern string, ids ...string) map[string]any {
		return map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": map[string]any{pattern: ids}}}
	}
	root := s.repo.RootKeyID()
	writer := s.judge(nil)
	inSignature, err := s.create(writer, first, good, signed+":v1")
	must(t, err)
	inList, err := s.create(writer, second, good, listed+":v1")
	must(t, err)
	a, ok := writer.Approvals.Find(first)
	if !ok || len(a.Keys) == 0 {
		t.Fatalf("no approval with keys: %+v", a)
	}
	must(t, writer.Approvals.Close(t.Context()))
	s.dark()
	both := map[string]bool{signed: true, listed: true}
	for name, test := range map[string]struct {
		change map[string]any
		holds  map[string]bool // by repository
	}{
		"nothing":                    {nil, both},
		"another repository":         {map[string]any{"signers": map[string]any{"localhost:5000/other": []string{"qa"}}}, both},
		"empty lists":                {map[string]any{"revoked": map[string]any{"keys": []string{}, "digests": []string{}}, "signers": map[string]any{}}, both},
		"allow-expired":              {map[string]any{"allow-expired": map[string]any{signed: "1d"}}, both},
		"signer keys of nobody here": {map[string]any{"signer-keys": map[string]any{"alice": []string{anyKey}}}, both},
		"another digest is revoked":  {map[string]any{"revoked": map[string]any{"digests": []digest.Digest{evil}}}, both},
		"another pin":                {map[string]any{"content-trust": pins("localhost:5000/app*", anyKey)}, map[string]bool{listed: true}},
		"one more pin":               {map[string]any{"content-trust": pins("localhost:5000/app*", root, anyKey)}, map[string]bool{listed: true}},
		"the same pin, other scope":  {map[string]any{"content-trust": pins(signed, root)}, map[string]bool{listed: true}},
		"no pin":                     {map[string]any{"content-trust": pins("localhost:5000/else", root)}, map[string]bool{listed: true}},
		"signers":                    {map[string]any{"signers": map[string]any{signed: []string{"alice"}}}, map[string]bool{listed: true}},
		"a key that signed":          {map[string]any{"revoked": map[string]any{"keys": a.Keys[:1]}}, map[string]bool{listed: true}},
		"a key above":                {map[string]any{"revoked": map[string]any{"keys": []string{root}}}, map[string]bool{listed: true}},
		"the digest is revoked":      {map[string]any{"revoked": map[string]any{"digests": []digest.Digest{good}}}, nil},
		"the list drops it":          {map[string]any{"digests": map[string]any{listed: []digest.Digest{next}}}, map[string]bool{signed: true}},
		"the list is gone":           {map[string]any{"digests": map[string]any{}}, map[string]bool{signed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge := s.judge(test.change)
			got, err := judge.Container(t.Context(), inSignature)
			if (err == nil) != test.holds[signed] || got.Approved != test.holds[signed] {
				t.Errorf("signature: got %+v, %v", got, err)
			}
			got, err = judge.Container(t.Context(), inList)
			if (err == nil) != test.holds[listed] || got.Approved != test.holds[listed] {
				t.Errorf("list: got %+v, %v", got, err)
			}
		})
	}
}

// TestApprovalIsOfOneContainerAndImage.
func TestApprovalIsOfOneContainerAndImage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	j := s.judge(nil)
	c, err := s.create(j, first, good, signed+":v1")
	must(t, err)
	must(t, j.Approvals.Close(t.Context()))
	s.dark()
	j = s.judge(nil)
	other := c
	other.ID = second
	_, err = j.Container(t.Context(), other)
	wantUnvouched(t, err, trust.Unreachable)
	other = c
	other.ImageID = evil
	_, err = j.Container(t.Context(), other)
	wantUnvouched(t, err, trust.Unreachable)

	path := filepath.Join(s.state, "approvals", first+".json")
	raw, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.state, "approvals", second+".json"), raw, 0o600))
	other = c
	other.ID = second
	if _, err := s.judge(nil).Container(t.Context(), other); err == nil {
		t.Error("a copy of one container's approval let another start")
	}
	if _, err := os.Stat(filepath.Join(s.state, "approvals", second+".json")); err == nil {
		t.Error("the copy is still there")
	}
	for _, change := range [][2]string{
		{`"digest":"` + string(good), `"digest":"` + string(evil)}, // not what the image ID is
		{`"terms":"`, `"terms":"0`},
		{`"scope":"localhost:5000/app*"`, `"scope":"localhost:5000/**"`},
		{`"repository":"` + signed, `"repository":"` + listed},
		{`"method":"dct"`, `"method":"cosign"`},
		{`"method":"dct"`, `"method":"trust me"`},
	} {
		spoilt := strings.Replace(string(raw), change[0], change[1], 1)
		if spoilt == string(raw) {
			t.Fatalf("%s has no %s", raw, change[0])
		}
		must(t, os.WriteFile(path, []byte(spoilt), 0o600))
		revoking := map[string]any{}
		if strings.Contains(change[1], string(evil)) {
			revoking["revoked"] = map[string]any{"digests": []digest.Digest{evil}}
		}
		if _, err := s.judge(revoking).Container(t.Context(), c); err == nil {
			t.Errorf("an approval with %s let the container start", change[1])
		}
	}
}

// TestRevokedBeatsAll: even content that somebody signed again.
func TestRevokedBeatsAll(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	j := s.judge(nil)
	c, err := s.create(j, first, good, signed+":v1")
	must(t, err)
	must(t, j.Approvals.Close(t.Context()))
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, good), s.now))
	_, err = s.judge(map[string]any{"revoked": map[string]any{"digests": []digest.Digest{good}}}).Container(t.Context(), c)
	wantUnvouched(t, err, trust.Revoked)
}

// TestApprovalIsMadeOfAFullYesOnly.
func TestApprovalIsMadeOfAFullYesOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	must(t, s.allowances().Add(t.Context(), s.allowance(signed, evil), s.now))
	c := s.engine.add(first, good, signed+":v1")
	allowed := s.engine.add(second, evil, signed+":v1")
	has := func(j *Judge, id string) bool {
		_, ok := j.Approvals.Find(id)
		return ok
	}
	j := s.judge(nil)
	j.Recorded = false
	if _, err := j.Container(t.Context(), c); err != nil || has(j, first) {
		t.Errorf("not recorded: %v, approved %v", err, has(j, first))
	}
	j = s.judge(nil)
	j.Protect = refusing{}
	if _, err := j.Container(t.Context(), c); !errors.Is(err, errProtected) || has(j, first) {
		t.Errorf("bad configuration: %v, approved %v", err, has(j, first))
	}
	j = s.judge(nil)
	if admitted, err := j.Container(t.Context(), allowed); err != nil || admitted.Allowance == nil || has(j, second) {
		t.Errorf("break-glass: %+v, %v, approved %v", admitted, err, has(j, second))
	}
	byName, err := j.Images(t.Context(), nil)
	must(t, err)
	j.Approve(c, byName)
	other, err := j.Made(t.Context(), c)
	must(t, err)
	j.Approve(allowed, other)
	if has(j, first) || has(j, second) {
		t.Error("a yes to something else was recorded")
	}
	if admitted, err := j.Container(t.Context(), c); err != nil || admitted.Approved || !has(j, first) {
		t.Errorf("full yes: %+v, %v, approved %v", admitted, err, has(j, first))
	}
	if admitted, err := j.Container(t.Context(), c); err != nil || !admitted.Approved {
		t.Errorf("the second time: %+v, %v", admitted, err)
	}
}

// TestReadOnlyMakesNoApproval, and believes those there are.
func TestReadOnlyMakesNoApproval(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	looking := s.judge(nil)
	looking.ReadOnly = true
	c, err := s.create(looking, first, good, signed+":v1")
	must(t, err)
	if _, err := looking.Container(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if _, ok := looking.Approvals.Find(first); ok {
		t.Error("an approval was made")
	}
	j := s.judge(nil)
	_, err = j.Container(t.Context(), c)
	must(t, err)
	must(t, j.Approvals.Close(t.Context()))
	s.dark()
	looking = s.judge(nil)
	looking.ReadOnly = true
	if admitted, err := looking.Container(t.Context(), c); err != nil || !admitted.Approved {
		t.Errorf("got %+v, %v", admitted, err)
	}
}

// TestApprovalAndARevokedPart: an approval that says what its digest names is
// exact with nobody to ask, in its file as in memory, and one that does not is
// completed when the parts are looked at.
func TestApprovalAndARevokedPart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	approvals := s.approvals()
	a := s.approval(first)
	a.Seen, a.Parts = true, []digest.Digest{evil}
	must(t, approvals.Record(a))
	must(t, approvals.Close(t.Context()))
	c := s.engine.add(first, good, listed+":v1")
	revoking := func(d digest.Digest) map[string]any {
		return map[string]any{"revoked": map[string]any{"digests": []digest.Digest{d}}}
	}
	s.dark()
	if admitted, err := s.judge(revoking(next)).Container(t.Context(), c); err != nil || !admitted.Approved {
		t.Errorf("another digest revoked: got %+v, %v", admitted, err)
	}
	_, err := s.judge(revoking(evil)).Container(t.Context(), c)
	wantUnvouched(t, err, trust.Revoked)

	approvals = s.approvals()
	must(t, approvals.Record(s.approval(second)))
	must(t, approvals.Close(t.Context()))
	other := s.engine.add(second, good, listed+":v1")
	j := s.judge(nil)
	j.Verifier = seeing{j.Verifier}
	for _, readOnly := range []bool{true, false} {
		j.ReadOnly = readOnly
		if admitted, err := j.Container(t.Context(), other); err != nil || !admitted.Approved {
			t.Fatalf("got %+v, %v", admitted, err)
		}
		if kept, _ := j.Approvals.Find(second); kept.Seen == readOnly || len(kept.Parts) == 1 == readOnly {
			t.Errorf("read-only %v: kept is %+v", readOnly, kept)
		}
	}
}

// seeing finds out that an approved digest names one part.
type seeing struct{ Verifier }

func (seeing) Upholds(_ context.Context, g policy.Grant) (policy.Grant, error) {
	g.Seen, g.Parts = true, []digest.Digest{evil}
	return g, nil
}

// TestSilentServerStopsNothing: what the trust server said last is past its
// time. That starts nothing, and is no no.
func TestSilentServerStopsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	j := s.judge(nil)
	j.Recorded = false
	c := s.engine.add(first, good, signed+":v1")
	if _, err := j.Container(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.dark()
	s.now = s.now.Add(100 * 24 * time.Hour)
	_, err := j.Container(t.Context(), c)
	wantUnvouched(t, err, trust.Expired)
	if Conclusive(err) {
		t.Errorf("taken for a no: %v", err)
	}
}

// TestConclusive tells what was refused from what went unanswered.
func TestConclusive(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"unsigned":       {&Unvouched{Err: &trust.Error{Reason: trust.Unsigned}}, true},
		"unreachable":    {&Unvouched{Err: &trust.Error{Reason: trust.Unreachable}}, false},
		"no reason":      {&Unvouched{Err: errors.New("broken")}, false},
		"out of date":    {&Unvouched{Err: &trust.Error{Reason: trust.Expired}}, false},
		"what it is":     {engine.Refuse("no-image", "it has none"), true},
		"what it does":   {fmt.Errorf("judging: %w", &protect.Refusal{Setting: "privileged"}), true},
		"unseen":         {fmt.Errorf("judging: %w", &protect.Refusal{Setting: "paths", Err: errors.New("stale file handle")}), false},
		"no answer":      {errors.New("the engine is away"), false},
		"nothing at all": {nil, false},
	} {
		if got := Conclusive(test.err); got != test.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
