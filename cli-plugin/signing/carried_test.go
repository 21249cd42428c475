package signing

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/tuf/data"
)

// published is a world with one signed tag.
func published(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	w.delegate(t)
	w.Sign("1", digest.FromString("1"), releasesRole, roleOf("qa"))
	w.Publish()
	return w
}

func (w *world) prepare(t *testing.T, targets ...Target) Prepared {
	t.Helper()
	p, err := w.signer.Prepare(t.Context(), targets, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// vault is a signer on another machine, which no server answers, with the keys
// of the world's.
func (w *world) vault(t *testing.T) *Signer {
	t.Helper()
	s := newSigner(t, nil)
	if err := os.CopyFS(s.keys.dir, os.DirFS(w.signer.keys.dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.keys.reload(); err != nil {
		t.Fatal(err)
	}
	return s
}

func signOne(t *testing.T, s *Signer, p Prepared, signer string) (SignedRepository, Result) {
	t.Helper()
	signed, results := s.SignPrepared(t.Context(), p, Order{Signer: signer})
	return signed.Repositories[0], results[0]
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }

func TestSignPrepared(t *testing.T) {
	t.Parallel()
	w := published(t)
	p := w.prepare(t, target("2"), target("1"))
	signed, result := signOne(t, w.vault(t), p, "")
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	if diff := cmp.Diff([]string{"targets/qa", "targets/releases"}, sortedKeys(signed.Metadata)); diff != "" {
		t.Errorf("signed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"root", "targets", "targets/qa", "targets/releases"}, sortedKeys(signed.Basis)); diff != "" {
		t.Errorf("basis (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1"}, signed.Unchanged); diff != "" {
		t.Errorf("unchanged (-want +got):\n%s", diff)
	}
	if len(w.sent) != 0 {
		t.Errorf("sent %d", len(w.sent))
	}
}

// TestSnapshotKeyIsHere signs the snapshot, too, where its key is no server's.
func TestSnapshotKeyIsHere(t *testing.T) {
	t.Parallel()
	w := published(t)
	role, err := w.TUF.GetBaseRole(data.CanonicalSnapshotRole)
	if err != nil {
		t.Fatal(err)
	}
	private, _, err := w.Keys.GetPrivateKey(role.ListKeyIDs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := w.signer.keys.AddKey(trustmanager.KeyInfo{Role: data.CanonicalSnapshotRole, Gun: gun}, private); err != nil {
		t.Fatal(err)
	}
	p := w.prepare(t, target("2"))
	signed, result := signOne(t, w.vault(t), p, "qa")
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	snapshot := &data.SignedSnapshot{}
	if err := json.Unmarshal(signed.Metadata["snapshot"], snapshot); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"targets/releases", "targets/qa"} {
		if got := snapshot.Signed.Meta[name].Hashes["sha256"]; !strings.EqualFold(sum(signed.Metadata[name]), strings.ToLower(digest.NewDigestFromBytes(digest.SHA256, got).Encoded())) {
			t.Errorf("the snapshot names another %s", name)
		}
	}
	other := w.vault(t)
	other.keys.passphrases.Env = func(string) string { return "another passphrase" }
	if _, result := signOne(t, other, p, "qa"); !errors.Is(result.Err, ErrPassphrase) {
		t.Errorf("keys that do not open: %v", result.Err)
	}
}

// TestBeginPrepared makes root, targets and delegation where no server is.
func TestBeginPrepared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	keys := map[string][]byte{}
	for _, role := range serverRoles {
		raw, err := json.Marshal(w.NewKey(role))
		if err != nil {
			t.Fatal(err)
		}
		keys[role.String()] = raw
	}
	p := Prepared{Form: preparedForm, Repositories: []PreparedRepository{{GUN: gun, Server: w.server.URL, Targets: []Target{target("1")}, Keys: keys}}}
	s := newSigner(t, nil)
	if _, result := signOne(t, s, p, "qa"); result.Err == nil || !strings.Contains(result.Err.Error(), "no key of the signer qa") {
		t.Errorf("%v", result.Err)
	}
	if _, _, err := s.GenerateKey("qa", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if reviewed, err := s.Review(p); err != nil || !reviewed[0].Begins {
		t.Errorf("%v, %v", reviewed, err)
	}
	signed, result := signOne(t, s, p, "qa")
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	if diff := cmp.Diff([]string{"root", "targets", "targets/qa", "targets/releases"}, sortedKeys(signed.Metadata)); diff != "" {
		t.Errorf("signed (-want +got):\n%s", diff)
	}
	if !result.Began || result.RootKey != signed.RootKey || len(signed.Basis) != 0 {
		t.Errorf("%+v", result)
	}
	if raw, err := encodeForm(Publication{Form: signedForm, Repositories: []SignedRepository{signed}}); err != nil {
		t.Error(err)
	} else if _, err := decodePublication(raw); err != nil {
		t.Error(err)
	}
	other := signed
	other.RootKey = strings.Repeat("0", 64)
	if err := other.check(); err == nil {
		t.Error("a root with another key than the one that is told")
	}
}

func TestStanding(t *testing.T) {
	t.Parallel()
	w := published(t)
	p := w.prepare(t, target("2"))
	owner := w.vault(t)
	private, _, err := w.Keys.GetPrivateKey(w.RootKeyID())
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.keys.AddKey(trustmanager.KeyInfo{Role: data.CanonicalRootRole}, private); err != nil {
		t.Fatal(err)
	}
	stranger := w.vault(t)
	for name, c := range map[string]struct {
		signer *Signer
		want   Standing
	}{"seen": {w.signer, Seen}, "own": {owner, Own}, "stranger": {stranger, Stranger}} {
		reviewed, err := c.signer.Review(p)
		if err != nil {
			t.Fatal(err)
		}
		if reviewed[0].Standing != c.want || reviewed[0].RootKeys[0] != w.RootKeyID() {
			t.Errorf("%s: %+v", name, reviewed[0])
		}
	}
	if reviewed, _ := stranger.Review(p); reviewed[0].Standing != Stranger {
		t.Error("looking at it has made it known")
	}
}

// TestPreparedIsVerified spoils what was prepared on its way to the keys.
func TestPreparedIsVerified(t *testing.T) {
	t.Parallel()
	w := published(t)
	old := w.prepare(t, target("2"))
	w.Sign("3", digest.FromString("3"), releasesRole, roleOf("qa"))
	w.Publish()
	now := w.prepare(t, target("2"))
	other := newWorld(t, nil)
	other.delegate(t)
	other.Publish()
	for name, c := range map[string]struct {
		spoil func(*PreparedRepository)
		seen  bool // the newest, before
		want  string
	}{
		"rollback":        {func(r *PreparedRepository) { r.Roots, r.Roles = old.Repositories[0].Roots, old.Repositories[0].Roles }, true, "version"},
		"old timestamp":   {func(r *PreparedRepository) { r.Roles["timestamp"] = old.Repositories[0].Roles["timestamp"] }, true, "version"},
		"another's root":  {func(r *PreparedRepository) { *r = other.prepare(t, target("2")).Repositories[0] }, true, ""},
		"mix and match":   {func(r *PreparedRepository) { r.Roles["targets/qa"] = old.Repositories[0].Roles["targets/qa"] }, false, ""},
		"broken JSON":     {func(r *PreparedRepository) { r.Roles["snapshot"] = []byte("{") }, false, ""},
		"missing":         {func(r *PreparedRepository) { delete(r.Roles, "targets") }, false, ""},
		"said to be none": {func(r *PreparedRepository) { r.Roots, r.Roles = nil, nil }, true, "no longer has the signatures"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := w.vault(t)
			if c.seen {
				if _, result := signOne(t, s, now, "qa"); result.Err != nil {
					t.Fatal(result.Err)
				}
			}
			spoiled := now.Repositories[0]
			spoiled.Roles = maps.Clone(spoiled.Roles)
			c.spoil(&spoiled)
			p := Prepared{Form: preparedForm, Repositories: []PreparedRepository{spoiled}}
			if _, err := s.Review(p); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "prepare anew") {
				t.Errorf("review: %v", err)
			}
			if signed, result := signOne(t, s, p, "qa"); result.Err == nil || signed.Metadata != nil {
				t.Errorf("signed: %v", result.Err)
			}
		})
	}
}

func publishOne(t *testing.T, s *Signer, r SignedRepository) Result {
	t.Helper()
	return s.PublishSigned(t.Context(), Publication{Form: signedForm, Repositories: []SignedRepository{r}}, nil)[0]
}

func TestPublishSigned(t *testing.T) {
	t.Parallel()
	w := published(t)
	p := w.prepare(t, target("2"))
	signed, result := signOne(t, w.vault(t), p, "qa")
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	carrier := newSigner(t, w.signer.opts.Server) // without keys
	if got := publishOne(t, carrier, signed); !errors.Is(got.Err, errStale) || len(w.sent) != 1 {
		t.Errorf("the server took it and does not serve it: %v, sent %d", got.Err, len(w.sent))
	}
	elsewhere := signed
	elsewhere.Server = "https://notary.example.com"
	if got := publishOne(t, carrier, elsewhere); got.Err == nil || !strings.Contains(got.Err.Error(), "was prepared from https://notary.example.com") {
		t.Error(got.Err)
	}
	w.Sign("2", digest.FromString("another"), releasesRole, roleOf("qa"))
	w.Publish()
	if got := publishOne(t, carrier, signed); !errors.Is(got.Err, errStale) || len(w.sent) != 1 || len(got.Failed) != 1 {
		t.Errorf("changed in between: %v, sent %d", got.Err, len(w.sent))
	}
	w.Sign("2", digest.FromString("2"), releasesRole, roleOf("qa"))
	w.Publish()
	again, result := signOne(t, w.vault(t), w.prepare(t, target("2")), "qa")
	if result.Err != nil || len(again.Metadata) != 0 {
		t.Fatalf("it stands: %v, %v", result.Err, sortedKeys(again.Metadata))
	}
	if got := publishOne(t, carrier, again); got.Err != nil || len(got.Unchanged) != 1 || len(w.sent) != 1 {
		t.Errorf("%+v, sent %d", got, len(w.sent))
	}
}

func TestCarriedFiles(t *testing.T) {
	t.Parallel()
	w := published(t)
	p := w.prepare(t, target("2"))
	path := filepath.Join(t.TempDir(), "work.json")
	if err := p.Write(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := p.Write(path); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Error(err)
	}
	read, err := ReadPrepared(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, read); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if _, err := ReadPublication(path); err == nil || !strings.Contains(err.Error(), "trust sign --from writes") {
		t.Error(err)
	}
}

func TestCarriedFilesAreStrict(t *testing.T) {
	t.Parallel()
	w := published(t)
	p := w.prepare(t, target("2"))
	signed, _ := w.vault(t).SignPrepared(t.Context(), p, Order{Signer: "qa"})
	prepared, err := encodeForm(p)
	if err != nil {
		t.Fatal(err)
	}
	publication, err := encodeForm(signed)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"unknown key":   {`"form":`, `"more": 1, "form":`},
		"doubled key":   {`"form":`, `"form": "x", "form":`},
		"other case":    {`"gun":`, `"GUN":`},
		"trailing":      {"\n}\n", "\n}\n{}"},
		"other version": {"/1\"", "/2\""},
		"other GUN":     {`"gun": "` + gun + `",` + "\n      \"server\"", `"gun": "registry.example.com/prod/other",` + "\n      \"server\""},
		"plain server":  {`"https://`, `"http://`},
		"tag":           {`"tag": "2"`, `"tag": "../2"`},
		"digest":        {`"digest": "sha256:`, `"digest": "sha512:`},
		"role":          {`"targets/qa":`, `"targets/../qa":`},
		"nothing":       {string(prepared), ""},
	} {
		for form, raw := range map[string][]byte{preparedForm: prepared, signedForm: publication} {
			spoiled := bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)
			if bytes.Equal(raw, spoiled) {
				continue
			}
			_, errPrepared := decodePrepared(spoiled)
			_, errSigned := decodePublication(spoiled)
			if errPrepared == nil || errSigned == nil {
				t.Errorf("%s of %s is read", name, form)
			}
		}
	}
}

// one is a repository with one tag, as it is prepared.
func one(tb testing.TB) PreparedRepository {
	tb.Helper()
	notary := trusttest.NewNotary(tb)
	r := notary.NewRepository(tb, gun)
	r.Sign("1", digest.FromString("1"), targetsRole)
	r.Publish()
	repository := PreparedRepository{GUN: gun, Server: notary.URL, Targets: []Target{target("1")}, Roles: map[string][]byte{}}
	state := notary.State()
	repository.Roots = [][]byte{state[trusttest.Path(gun, "root")]}
	for _, role := range append(slices.Clone(serverRoles), targetsRole) {
		repository.Roles[role.String()] = state[trusttest.Path(gun, role.String())]
	}
	return repository
}

// FuzzPrepared reads files from outside.
func FuzzPrepared(f *testing.F) {
	raw, err := encodeForm(Prepared{Form: preparedForm, Repositories: []PreparedRepository{one(f)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"form": "docker-stig-prepared/1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePrepared(raw)
		if err != nil {
			return
		}
		if again, err := encodeForm(p); err != nil || !bytes.Equal(raw, again) {
			t.Errorf("read, and written otherwise: %v", err)
		}
	})
}

// FuzzReview verifies metadata from outside: what is not what its owner signed
// is refused.
func FuzzReview(f *testing.F) {
	good := one(f)
	f.Add(good.Roots[0], good.Roles["timestamp"], good.Roles["snapshot"], good.Roles["targets"])
	for _, odd := range []string{"", "null", "{}", `{"signed":null,"signatures":null}`, `{"signed":{"_type":"Root","roles":{"root":null},"keys":null}}`} {
		f.Add(good.Roots[0], []byte(odd), good.Roles["snapshot"], good.Roles["targets"])
		f.Add([]byte(odd), []byte(odd), []byte(odd), []byte(odd))
	}
	s, err := New(Options{Dir: f.TempDir(), Passphrases: &Passphrases{}})
	if err != nil {
		f.Fatal(err)
	}
	seen, err := metadataFiles(s.metadataDir(gun))
	if err != nil {
		f.Fatal(err)
	}
	if err := seen.Set("root", good.Roots[0]); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, root, timestamp, snapshot, targets []byte) {
		r := good
		r.Roots = [][]byte{root}
		r.Roles = map[string][]byte{"timestamp": timestamp, "snapshot": snapshot, "targets": targets}
		found, err := s.read(r)
		if err == nil && found.found != nil && !names(found.found.Targets[targetsRole], target("1")) {
			t.Error("other targets are believed")
		}
	})
}

// FuzzPublication reads files from outside.
func FuzzPublication(f *testing.F) {
	f.Add([]byte(`{"form": "docker-stig-signed/1"}`))
	raw, err := encodeForm(Publication{Form: signedForm, Repositories: []SignedRepository{{
		GUN: gun, Server: "https://notary.example.com", Targets: []Target{target("1")}, Roles: []string{"targets"},
		RootKey: strings.Repeat("0", 64), Metadata: map[string][]byte{"root": []byte(`{"signed":{}}`), "targets": []byte(`{"signed":{"targets":{}}}`)},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePublication(raw)
		if err != nil {
			return
		}
		if again, err := encodeForm(p); err != nil || !bytes.Equal(raw, again) {
			t.Errorf("read, and written otherwise: %v", err)
		}
	})
}
