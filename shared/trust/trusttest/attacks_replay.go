package trusttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Attacks by somebody who serves metadata that was signed for something else,
// at another time, by somebody else, or not at all.

// replayAttacks need no stolen key.
func replayAttacks() []attack {
	list := slices.Concat(softwareAttacks(), signatureAttacks())
	for _, role := range []data.RoleName{data.CanonicalSnapshotRole, data.CanonicalTargetsRole, releases} {
		list = append(list, attack{
			name:    "mix-and-match: an earlier " + string(role) + " under the current timestamp",
			prepare: moveTag,
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, role, func([]byte) []byte { return a.earlier[Path(a.gun, string(role))] })
			},
			fresh: refused(trust.BadSignature),
		})
	}
	return append(list,
		attack{
			name:  "indefinite freeze",
			do:    func(_ *testing.T, a *arena) { a.SetState(a.State()) },
			later: 15 * 24 * time.Hour, // notary's timestamps last 14 days
			fresh: refused(trust.Expired),
			known: refused(trust.Expired),
		},
		attack{
			name:    "rollback of the whole repository",
			prepare: moveTag,
			do:      func(_ *testing.T, a *arena) { a.SetState(a.earlier) },
			fresh:   want{digest: second}, // and until it expires, nobody who never asked can tell
			known:   refused(trust.Rollback),
		},
		attack{
			name:    "rollback of the timestamp alone",
			prepare: moveTag,
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, data.CanonicalTimestampRole, func([]byte) []byte { return a.earlier[Path(a.gun, "timestamp")] })
				a.Forget(a.gun, fmt.Sprintf("snapshot.%x", sha256.Sum256(a.earlier[Path(a.gun, "snapshot")])))
			},
			fresh: refused(trust.Unreachable), // what it names is not there
			known: refused(trust.Rollback),
		},
		attack{
			name: "rollback of the root alone",
			prepare: func(t *testing.T, a *arena) {
				t.Helper()
				a.earlier = a.State()
				a.RotateRoot()
				a.Publish()
			},
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, data.CanonicalRootRole, func([]byte) []byte { return a.earlier[Path(a.gun, "root")] })
				a.Forget(a.gun, "2.root")
			},
			fresh: refused(trust.BadSignature), // the snapshot names another root
		},
		attack{
			name: "GUN mix-up: another repository that the policy trusts as well",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				gun := data.GUN(string(a.gun) + "-test")
				repo := a.NewRepository(t, gun)
				repo.Sign("v1", evil, data.CanonicalTargetsRole)
				repo.Publish()
				a.site.RootKeys = append(a.site.RootKeys, repo.RootKeyID())
				a.SetState(rename(a.State(), gun, a.gun))
			},
			fresh: refused(trust.UnknownSigner),
			known: refused(trust.BadSignature),
		},
	)
}

// moveTag publishes v1 as it was, takes down what is served, and publishes it
// as it is now. Every role is longer then, so that an earlier one is never
// refused for its length.
func moveTag(_ *testing.T, a *arena) {
	a.Sign("v1", second, releases, alice)
	a.Publish()
	a.earlier = a.State()
	a.Sign("v1", first, releases, alice)
	a.Delegate("targets/carol")
	a.Sign("v1-by-carol", first, releases, data.CanonicalTargetsRole, "targets/carol")
	a.Publish()
}

// rename gives a repository's files another repository's name.
func rename(state State, from, to data.GUN) State {
	renamed := State{}
	prefix := strings.TrimSuffix(Path(from, ""), ".json")
	for path, raw := range state {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			renamed[Path(to, strings.TrimSuffix(name, ".json"))] = raw
		}
	}
	return renamed
}

// softwareAttacks want other content to be accepted.
func softwareAttacks() []attack {
	return []attack{
		{
			name: "arbitrary software: the attacker's own repository",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				a.SetState(forged(t, a.gun).notary.State())
			},
			fresh: refused(trust.UnknownSigner),
			known: refused(trust.BadSignature), // another root of the same version
		},
		{
			name:    "arbitrary software: other content under a signed tag",
			content: trust.Content{ID: evil, Store: trust.ContainerdStore},
			fresh:   refused(trust.DigestMismatch),
			known:   refused(trust.DigestMismatch),
		},
		{
			name: "arbitrary software: a target beside the signed ones",
			do:   func(_ *testing.T, a *arena) { a.Spoil(a.gun, releases, addTarget("pwn")) },
			tag:  "pwn", fresh: refused(trust.Unreachable), known: refused(trust.Unsigned), // longer than signed
		},
		{
			name: "extraneous dependencies: a delegation beside the signed ones",
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, data.CanonicalTargetsRole, func(raw []byte) []byte {
					return bytes.Replace(raw, []byte(`"roles":[`), []byte(`"roles":[{"keyids":[],"name":"targets/evil","paths":[""],"threshold":1},`), 1)
				})
			},
			fresh: refused(trust.Unreachable), // longer than signed
		},
		{
			name: "extraneous dependencies: a role that nobody delegated",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				state := a.State()
				state[Path(a.gun, "targets/evil")] = forged(t, a.gun).Served(data.CanonicalTargetsRole)
				a.SetState(state)
				a.site.Signers = []string{"evil"}
			},
			fresh: refused(trust.UnknownSigner), known: refused(trust.UnknownSigner),
		},
		{
			name: "target with other hash algorithms only",
			prepare: func(_ *testing.T, a *arena) {
				a.ForceHash("sha512-only", "sha512", releases)
				a.Publish()
			},
			tag: "sha512-only", fresh: refused(trust.Unsigned), known: refused(trust.Unsigned),
		},
	}
}

var evilSum = sha256.Sum256([]byte("evil"))

// addTarget lists a tag that was not signed.
func addTarget(tag string) func([]byte) []byte {
	entry := fmt.Sprintf(`"targets":{%q:{"hashes":{"sha256":%q},"length":528},`, tag, base64.StdEncoding.EncodeToString(evilSum[:]))
	return func(raw []byte) []byte { return bytes.Replace(raw, []byte(`"targets":{`), []byte(entry), 1) }
}

// forged is a repository of the same name with all keys the attacker's.
func forged(t *testing.T, gun data.GUN) *Repository {
	t.Helper()
	repo := NewNotary(t).NewRepository(t, gun)
	repo.Delegate(releases)
	repo.Sign("v1", evil, releases, data.CanonicalTargetsRole)
	repo.Publish()
	return repo
}

// signatureAttacks spoil signatures, and what tells whose they are.
func signatureAttacks() []attack {
	flipped := map[data.RoleName]want{
		data.CanonicalRootRole:      refused(trust.UnknownSigner), // the pinned key has not signed it
		data.CanonicalTimestampRole: refused(trust.BadSignature),
		data.CanonicalSnapshotRole:  refused(trust.BadSignature),
		data.CanonicalTargetsRole:   refused(trust.BadSignature),
		releases:                    refused(trust.BadSignature),
	}
	var list []attack
	for _, role := range slices.Sorted(maps.Keys(flipped)) {
		known := want{}
		if role == data.CanonicalTimestampRole {
			known = flipped[role] // all else it has, and does not ask for
		}
		list = append(list,
			attack{
				name:  "wrong signature: " + string(role),
				do:    func(_ *testing.T, a *arena) { a.Spoil(a.gun, role, flipSignature) },
				fresh: flipped[role], known: known,
			},
			attack{
				name:  "missing signature: " + string(role),
				do:    func(_ *testing.T, a *arena) { a.Spoil(a.gun, role, dropSignatures) },
				fresh: flipped[role], known: known,
			},
		)
	}
	return append(list,
		attack{
			name: "wrong length: longer than signed",
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, releases, func(raw []byte) []byte { return append(bytes.Clone(raw), ' ') })
			},
			fresh: refused(trust.Unreachable),
		},
		attack{
			name: "wrong length: shorter than signed",
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, releases, func([]byte) []byte { return []byte(`{"signed":{},"signatures":[]}`) })
			},
			fresh: refused(trust.BadSignature),
		},
		attack{
			name: "fast-forward: a timestamp of the last version there can be",
			do: func(_ *testing.T, a *arena) {
				a.Spoil(a.gun, data.CanonicalTimestampRole, func(raw []byte) []byte {
					return versions.ReplaceAll(raw, []byte(`"version":2147483647`))
				})
			},
			fresh: refused(trust.BadSignature), known: refused(trust.BadSignature),
		},
		attack{
			name: "key ID that is not the hash of the key",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				a.SetState(underID(t, a.gun, a.RootKey().ID()).notary.State())
			},
			fresh: refused(trust.UnknownSigner), known: refused(trust.BadSignature), // another root of the same version
		},
	)
}

var versions = regexp.MustCompile(`"version":[0-9]+`)

// underID forges a repository whose root gives the attacker's key the ID of
// another, and is signed under that ID.
func underID(t *testing.T, gun data.GUN, id string) *Repository {
	t.Helper()
	repo := forged(t, gun)
	key := repo.RootKey()
	private, _, err := repo.Keys.GetPrivateKey(repo.RootKeyID())
	repo.must(err)
	root := repo.TUF.Root.Signed
	root.Keys = maps.Clone(root.Keys)
	root.Keys[id] = key
	root.Roles = maps.Clone(root.Roles)
	root.Roles[data.CanonicalRootRole] = &data.RootRole{KeyIDs: []string{id}, Threshold: 1}
	unsigned, err := (&data.SignedRoot{Signed: root}).ToSigned()
	repo.must(err)
	raw := repo.SignRaw(unsigned, private, id)
	repo.ServeRaw(data.CanonicalRootRole, raw)
	repo.notary.serve(gun, "1.root", raw)
	return repo
}

// flipSignature changes one character of the first signature.
func flipSignature(raw []byte) []byte {
	at := bytes.Index(raw, []byte(`"sig":"`)) + len(`"sig":"`) + 10
	flipped := byte('A')
	if raw[at] == flipped {
		flipped = 'B'
	}
	spoiled := bytes.Clone(raw)
	spoiled[at] = flipped
	return spoiled
}

func dropSignatures(raw []byte) []byte {
	var metadata struct {
		Signed     json.RawMessage `json:"signed"`
		Signatures []struct{}      `json:"signatures"`
	}
	if err := json.Unmarshal(raw, &metadata); err != nil {
		panic(err) // the publisher's own bytes
	}
	metadata.Signatures = []struct{}{}
	stripped, err := json.Marshal(metadata)
	if err != nil {
		panic(err)
	}
	return stripped
}
