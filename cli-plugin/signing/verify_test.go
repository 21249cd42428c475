package signing

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
	"github.com/theupdateframework/notary/tuf/signed"
)

// again changes the metadata of a role and signs it with the role's own keys,
// as one who holds them could.
func (w *world) again(t *testing.T, role data.RoleName, raw []byte, change func(*data.Targets)) []byte {
	t.Helper()
	metadata := &data.SignedTargets{}
	if err := json.Unmarshal(raw, metadata); err != nil {
		t.Fatal(err)
	}
	change(&metadata.Signed)
	unsigned, err := metadata.ToSigned()
	if err != nil {
		t.Fatal(err)
	}
	delegation, err := w.TUF.GetDelegationRole(role)
	if err != nil {
		t.Fatal(err)
	}
	unsigned.Signatures = nil
	if err := signed.Sign(w.Keys, unsigned, delegation.ListKeys(), 1, nil); err != nil {
		t.Fatal(err)
	}
	return encoded(t, unsigned)
}

func encoded(t *testing.T, value any) []byte {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestPublicationIsVerified spoils what was signed on its way to the server,
// which would take everything here.
func TestPublicationIsVerified(t *testing.T) {
	t.Parallel()
	const qa, releases = "targets/qa", "targets/releases"
	w := published(t)
	good, result := signOne(t, w.vault(t), w.prepare(t, target("2")), "qa")
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	evil := func(targets *data.Targets) { targets.Targets["evil"] = targets.Targets["2"] }
	root := func(change func(*data.SignedRoot), keys ...data.PublicKey) []byte {
		next := &data.SignedRoot{}
		if err := json.Unmarshal(encoded(t, w.TUF.Root), next); err != nil {
			t.Fatal(err)
		}
		next.Signed.Version++
		change(next)
		unsigned, err := next.ToSigned()
		if err != nil {
			t.Fatal(err)
		}
		if err := signed.Sign(w.Keys, unsigned, keys, 1, nil); err != nil {
			t.Fatal(err)
		}
		return encoded(t, unsigned)
	}
	other := newWorld(t, nil)
	other.delegate(t)
	other.Publish()
	for name, c := range map[string]struct {
		spoil func(map[string][]byte)
		want  string
	}{
		"flipped byte": {func(m map[string][]byte) {
			m[qa] = bytes.Replace(m[qa], []byte(`"length":528`), []byte(`"length":529`), 1)
		}, "its targets/qa does not verify"},
		"other key": {func(m map[string][]byte) {
			unsigned := &data.Signed{}
			if err := json.Unmarshal(m[releases], unsigned); err != nil {
				t.Error(err)
			}
			unsigned.Signatures = nil
			if err := signed.Sign(w.Keys, unsigned, data.KeyList{w.NewKey(targetsRole)}, 1, nil); err != nil {
				t.Error(err)
			}
			m[releases] = encoded(t, unsigned)
		}, "its targets/releases does not verify"},
		"no signature": {func(m map[string][]byte) {
			unsigned := &data.Signed{}
			if err := json.Unmarshal(m[qa], unsigned); err != nil {
				t.Error(err)
			}
			unsigned.Signatures = []data.Signature{}
			m[qa] = encoded(t, unsigned)
		}, "its targets/qa does not verify"},
		"a tag that is not listed": {func(m map[string][]byte) { m[qa] = w.again(t, qa, m[qa], evil) }, `holds "evil" otherwise than it is listed`},
		"a tag that is moved": {func(m map[string][]byte) {
			m[qa] = w.again(t, qa, m[qa], func(targets *data.Targets) { targets.Targets["1"] = targets.Targets["2"] })
		}, `holds "1" otherwise than it is listed`},
		"a tag that is lost": {func(m map[string][]byte) {
			m[qa] = w.again(t, qa, m[qa], func(targets *data.Targets) { delete(targets.Targets, "1") })
		}, "has lost tags"},
		"a signer below": {func(m map[string][]byte) {
			key := w.NewKey(targetsRole)
			m[releases] = w.again(t, releasesRole, m[releases], func(targets *data.Targets) {
				targets.Delegations.Keys = data.Keys{key.ID(): key}
				targets.Delegations.Roles = []*data.Role{{Name: "targets/releases/x", RootRole: data.RootRole{KeyIDs: []string{key.ID()}, Threshold: 1}, Paths: []string{""}}}
			})
		}, "has other signers than before"},
		"version left out": {func(m map[string][]byte) {
			m[qa] = w.again(t, qa, m[qa], func(targets *data.Targets) { targets.Version += 1000 })
		}, "its targets/qa does not verify"},
		"expired": {func(m map[string][]byte) {
			m[qa] = w.again(t, qa, m[qa], func(targets *data.Targets) { targets.Expires = time.Now().Add(-time.Hour) })
		}, "its targets/qa does not verify"},
		"a role that nobody delegates to": {func(m map[string][]byte) { m["targets/mallory"] = m[qa] }, "its targets/mallory does not verify"},
		"a stranger's root":               {func(m map[string][]byte) { m["root"] = encoded(t, other.TUF.Root) }, "its root does not verify"},
		"a root with another key": {func(m map[string][]byte) {
			key := w.NewKey(targetsRole)
			m["root"] = root(func(next *data.SignedRoot) {
				next.Signed.Keys[key.ID()] = key
				next.Signed.Roles[data.CanonicalTimestampRole].KeyIDs = []string{key.ID()}
			}, w.RootKey())
		}, "its root gives timestamp other keys"},
		"a snapshot of others": {func(m map[string][]byte) {
			snapshot, err := w.TUF.Snapshot.ToSigned()
			if err != nil {
				t.Error(err)
				return
			}
			m["snapshot"] = encoded(t, snapshot)
		}, "its snapshot does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			spoiled := good
			spoiled.Metadata = maps.Clone(good.Metadata)
			c.spoil(spoiled.Metadata)
			if err := spoiled.check(); err != nil {
				t.Fatalf("it is refused before it is verified: %v", err)
			}
			got := publishOne(t, newSigner(t, w.signer.opts.Server), spoiled)
			if got.Err == nil || !strings.Contains(got.Err.Error(), c.want) || !strings.Contains(got.Err.Error(), "prepare and sign anew") || len(w.sent) != 0 {
				t.Errorf("want %q, got %v, sent %d", c.want, got.Err, len(w.sent))
			}
		})
	}
	t.Run("a root that is only renewed", func(t *testing.T) {
		renewed := good
		renewed.Metadata = maps.Clone(good.Metadata)
		renewed.Metadata["root"] = root(func(*data.SignedRoot) {}, w.RootKey())
		if publishOne(t, newSigner(t, w.signer.opts.Server), renewed); len(w.sent) != 1 {
			t.Errorf("sent %d", len(w.sent))
		}
	})
}

// TestBeginningIsVerified spoils what a repository begins with.
func TestBeginningIsVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	keys := map[string][]byte{"timestamp": encoded(t, w.NewKey("timestamp")), "snapshot": encoded(t, w.NewKey("snapshot"))}
	p := PreparedRepository{GUN: gun, Server: w.server.URL, Targets: []Target{target("1")}, Keys: keys}
	s := newSigner(t, nil)
	if _, _, err := s.GenerateKey("qa", t.TempDir()); err != nil {
		t.Fatal(err)
	}
	good, result := signOne(t, s, Prepared{Form: preparedForm, Repositories: []PreparedRepository{p}}, "qa")
	if result.Err != nil {
		t.Fatal(result.Err)
	}
	for name, c := range map[string]struct {
		spoil func(*SignedRepository)
		want  string
	}{
		"as it was signed": {func(*SignedRepository) {}, ""},
		"flipped byte": {func(r *SignedRepository) {
			r.Metadata["root"] = bytes.Replace(r.Metadata["root"], []byte(`"version":1`), []byte(`"version":2`), 1)
		}, "its root does not verify"},
		"no targets": {func(r *SignedRepository) { delete(r.Metadata, "targets") }, "its targets does not verify"},
		"another role": {func(r *SignedRepository) {
			r.Roles = []string{"targets/releases"}
		}, "other signers"},
		"another digest is listed": {func(r *SignedRepository) {
			r.Targets = []Target{{GUN: gun, Tag: "2", Digest: digest.FromString("2"), Size: 528}}
		}, "otherwise than it is listed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoiled := good
			spoiled.Metadata = maps.Clone(good.Metadata)
			c.spoil(&spoiled)
			r, err := newSigner(t, nil).read(p)
			if err != nil {
				t.Fatal(err)
			}
			r.begins = true
			switch err := r.verify(spoiled); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("want %q, got %v", c.want, err)
			}
		})
	}
}

// TestCarriedRolesAreRoles wants nothing shown on a terminal that is no role.
func TestCarriedRolesAreRoles(t *testing.T) {
	t.Parallel()
	good := SignedRepository{GUN: gun, Server: "https://notary.example.com", Targets: []Target{target("1")}, Unchanged: []string{"1"}, Roles: []string{"targets"}, Basis: map[string]string{"root": strings.Repeat("0", 64)}}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*SignedRepository){
		"role":             func(r *SignedRepository) { r.Roles = []string{"targets\x1b[2J"} },
		"unchanged":        func(r *SignedRepository) { r.Unchanged = []string{"2"} },
		"unchanged, twice": func(r *SignedRepository) { r.Unchanged = []string{"1", "1"} },
	} {
		spoiled := good
		spoil(&spoiled)
		if spoiled.check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if (Server{URL: "https://notary.example.com/\u009b2J"}).check() == nil {
		t.Error("a server's address with a terminal's command is taken")
	}
	if got := (Target{GUN: gun, Tag: "\x1b[2J"}).String(); strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// FuzzVerify has bytes from outside verified that no key of the repository has
// signed: none are to be published.
func FuzzVerify(f *testing.F) {
	from := one(f)
	s, err := New(Options{Dir: f.TempDir(), Passphrases: &Passphrases{}})
	if err != nil {
		f.Fatal(err)
	}
	r, err := s.read(from)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("targets", from.Roles["targets"])
	f.Add("root", from.Roots[0])
	f.Add("snapshot", from.Roles["snapshot"])
	for _, odd := range []string{"", "null", "{}", `{"signed":null,"signatures":null}`, `{"signed":{"_type":"Root","roles":{"root":null},"keys":null}}`} {
		f.Add("root", []byte(odd))
		f.Add("targets", []byte(odd))
		f.Add("targets/qa", []byte(odd))
	}
	f.Fuzz(func(t *testing.T, role string, raw []byte) {
		if !isRole(role) || role == data.CanonicalTimestampRole.String() || len(raw) == 0 {
			return
		}
		p := SignedRepository{GUN: gun, Targets: from.Targets, Roles: []string{"targets"}, Metadata: map[string][]byte{role: raw}}
		if r.verify(p) == nil {
			t.Errorf("%s is taken", role)
		}
	})
}
