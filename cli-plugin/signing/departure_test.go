package signing

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/tuf/data"
)

// join makes somebody a signer as docker does: one key in a delegation and in
// targets/releases.
func (w *world) join(t *testing.T, name string) {
	t.Helper()
	key := w.NewKey(roleOf(name))
	for _, role := range []data.RoleName{releasesRole, roleOf(name)} {
		if err := errors.Join(
			w.TUF.UpdateDelegationKeys(role, data.KeyList{key}, nil, 1),
			w.TUF.UpdateDelegationPaths(role, []string{""}, nil, false),
		); err != nil {
			t.Fatal(err)
		}
	}
	w.hold(t, key.ID(), data.RoleName(name), "")
}

// hold puts a key of the repository into the folder.
func (w *world) hold(t *testing.T, id string, role data.RoleName, of data.GUN) {
	t.Helper()
	private, _, err := w.Keys.GetPrivateKey(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.signer.keys.AddKey(trustmanager.KeyInfo{Role: role, Gun: of}, private); err != nil {
		t.Fatal(err)
	}
}

// owned is a world with qa and alice, and the keys of targets.
func owned(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.join(t, "qa")
	w.join(t, "alice")
	role, err := w.TUF.GetBaseRole(targetsRole)
	if err != nil {
		t.Fatal(err)
	}
	w.hold(t, role.ListKeyIDs()[0], targetsRole, gun)
	return w
}

// sentTags are the tags of a role in what was sent first: digests by tag.
func (w *world) sentTags(t *testing.T, role string) map[string]string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sent) == 0 {
		t.Fatal("nothing was sent")
	}
	_, after, found := strings.Cut(w.sent[0], `filename="`+role+`"`)
	if !found {
		t.Fatalf("%s was not sent", role)
	}
	_, body, _ := strings.Cut(after, "\r\n\r\n")
	metadata := &data.SignedTargets{}
	if err := json.NewDecoder(strings.NewReader(body)).Decode(metadata); err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for tag, meta := range metadata.Signed.Targets {
		tags[tag] = digest.NewDigestFromBytes(digest.SHA256, meta.Hashes["sha256"]).String()
	}
	return tags
}

// TestDeparture wants nobody who stays to vouch unasked for what only the one
// who leaves has signed.
func TestDeparture(t *testing.T) {
	t.Parallel()
	one, two, three := digest.FromString("1"), digest.FromString("2"), digest.FromString("3")
	for name, c := range map[string]struct {
		keep    bool
		expired bool
		want    map[string]map[string]string
	}{
		"dropped":              {want: map[string]map[string]string{"targets/releases": {"1": one.String()}}},
		"dropped from expired": {expired: true, want: map[string]map[string]string{"targets/releases": {"1": one.String()}}},
		"kept": {keep: true, want: map[string]map[string]string{
			"targets/releases": {"1": one.String(), "2": two.String(), "3": three.String()},
			"targets/alice":    {"1": one.String(), "2": two.String(), "3": three.String()},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := owned(t)
			w.Sign("1", one, releasesRole, roleOf("qa"), roleOf("alice"))
			w.Sign("2", two, releasesRole, roleOf("qa"))
			w.Sign("2", digest.FromString("another"), roleOf("alice"))
			w.Sign("3", three, releasesRole, roleOf("qa"))
			if c.expired {
				w.Expires[releasesRole] = time.Now().Add(-time.Hour)
			}
			w.Publish()
			d, err := w.signer.Departure(t.Context(), gun, "qa")
			if err != nil {
				t.Fatal(err)
			}
			want := Departure{GUN: gun, Signer: "qa", Alone: []Target{target("2"), target("3")}, Heirs: []string{"alice"}}
			if diff := cmp.Diff(want, d); diff != "" || len(w.sent) != 0 {
				t.Fatalf("sent %d (-want +got):\n%s", len(w.sent), diff)
			}
			err = w.signer.RemoveSigner(t.Context(), d, c.keep)
			if !errors.Is(err, errConflict) { // the server never serves it
				t.Fatal(err)
			}
			for role, tags := range c.want {
				if diff := cmp.Diff(tags, w.sentTags(t, role)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", role, diff)
				}
			}
		})
	}
}

// TestDepartureIsAgreedTo wants nothing changed that was not on the list.
func TestDepartureIsAgreedTo(t *testing.T) {
	t.Parallel()
	w := owned(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"), roleOf("alice"))
	w.Publish()
	d, err := w.signer.Departure(t.Context(), gun, "qa")
	if err != nil || len(d.Alone) != 0 {
		t.Fatalf("%v, %v", d, err)
	}
	w.Sign("2", digest.FromString("2"), releasesRole, roleOf("qa"))
	w.Publish()
	for _, keep := range []bool{false, true} {
		if err := w.signer.RemoveSigner(t.Context(), d, keep); err == nil || !strings.Contains(err.Error(), "not what was agreed to any more") || len(w.sent) != 0 {
			t.Errorf("%v, sent %d", err, len(w.sent))
		}
	}
}

// TestDepartureLeavesNoBackDoor refuses to sign anew what lets the one who
// leaves sign on.
func TestDepartureLeavesNoBackDoor(t *testing.T) {
	t.Parallel()
	w := owned(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("alice"))
	w.Delegate("targets/releases/qa")
	w.Publish()
	if _, err := w.signer.Departure(t.Context(), gun, "qa"); err == nil || !strings.Contains(err.Error(), `"targets/releases/qa"`) {
		t.Error(err)
	}
}

// TestDepartureOfTheLast refuses what would leave nobody.
func TestDepartureOfTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.join(t, "qa")
	role, err := w.TUF.GetBaseRole(targetsRole)
	if err != nil {
		t.Fatal(err)
	}
	w.Publish()
	if _, err := w.signer.Departure(t.Context(), gun, "qa"); err == nil || !strings.Contains(err.Error(), "none of the keys of targets") {
		t.Error(err)
	}
	w.hold(t, role.ListKeyIDs()[0], targetsRole, gun)
	if _, err := w.signer.Departure(t.Context(), gun, "qa"); !errors.Is(err, ErrLastSigner) {
		t.Error(err)
	}
}

// TestSuccessor has somebody publish after a change was planned, and before it
// is signed.
func TestSuccessor(t *testing.T) {
	t.Parallel()
	w := published(t)
	r, err := w.signer.reach(t.Context(), w.server, gun)
	if err != nil {
		t.Fatal(err)
	}
	j := &job{targets: []Target{target("2")}, signer: "qa", now: time.Now()}
	if _, err := r.stage(j.plan); err != nil {
		t.Fatal(err)
	}
	w.Sign("theirs", digest.FromString("theirs"), releasesRole)
	w.Publish()
	if err := r.send(); !errors.Is(err, errConflict) || len(w.sent) != 0 {
		t.Errorf("%v, sent %d", err, len(w.sent))
	}
}

// TestRevokeTakesWhatExpired wants a tag out of roles that have expired: the
// next one to sign in them would bring it back.
func TestRevokeTakesWhatExpired(t *testing.T) {
	t.Parallel()
	w := published(t)
	w.Sign("2", digest.FromString("2"), releasesRole)
	w.Expires[releasesRole] = time.Now().Add(-time.Hour)
	w.Publish()
	if _, err := w.signer.Revoke(t.Context(), gun, "1"); !errors.Is(err, errConflict) { // the server never serves it
		t.Fatal(err)
	}
	for role, want := range map[string]map[string]string{
		"targets/releases": {"2": digest.FromString("2").String()}, "targets/qa": {},
	} {
		if diff := cmp.Diff(want, w.sentTags(t, role)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", role, diff)
		}
	}
}

// TestRevokeDoesNotVouchForStrangers has a role signed by a stranger: a new
// signature of it is one of all that is in it.
func TestRevokeDoesNotVouchForStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
	w.Sign("evil", digest.FromString("evil"), releasesRole)
	w.Publish()
	w.Replace(releasesRole, w.SignWith(releasesRole, w.NewKey(targetsRole)))
	if _, err := w.signer.Revoke(t.Context(), gun, "1"); err == nil || !strings.Contains(err.Error(), "docker stig trust revoke "+gun+" takes all back") || len(w.sent) != 0 {
		t.Errorf("%v, sent %d", err, len(w.sent))
	}
	if _, err := w.signer.Revoke(t.Context(), gun); !errors.Is(err, errConflict) { // the server never serves it
		t.Fatal(err)
	}
	for _, role := range []string{"targets/releases", "targets/qa"} {
		if got := w.sentTags(t, role); len(got) != 0 {
			t.Errorf("%s still has %v", role, got)
		}
	}
}
