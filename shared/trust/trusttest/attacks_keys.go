package trusttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/docker/go/canonical/json"
	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Attacks by somebody who has stolen keys. Each says which: the online keys
// are those of timestamp and snapshot, which a Notary server keeps; the
// repository key is that of targets, and a signer's key that of a delegation.

// keyAttacks run for a repository whose keys can be had.
func keyAttacks() []attack {
	list := []attack{
		{
			name: "threshold met by two signatures of one key (online keys, one of two signers' keys)",
			prepare: func(t *testing.T, a *arena) {
				t.Helper()
				a.owner(t).Threshold(releases, 2)
				a.Publish()
			},
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				role, err := thief.TUF.GetDelegationRole(releases)
				thief.must(err)
				twice := thief.SignWith(releases, role.ListKeys()[0])
				twice.Signatures = append(twice.Signatures, twice.Signatures[0])
				thief.Replace(releases, twice)
			},
			fresh: refused(trust.BelowThreshold), known: refused(trust.BelowThreshold),
		},
		{
			name: "signature of a stranger (online keys)",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				thief.Replace(releases, thief.SignWith(releases, thief.NewKey(releases)))
			},
			fresh: refused(trust.UnknownSigner), known: refused(trust.UnknownSigner),
		},
		{
			name:    "key ID that is not the hash of the key: a signer's (online and repository keys)",
			prepare: func(t *testing.T, a *arena) { t.Helper(); bindAlice(t, a) },
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				id := a.site.SignerKeys["alice"][0]
				key := thief.NewKey(alice)
				private, _, err := thief.Keys.GetPrivateKey(key.ID())
				thief.must(err)
				thief.TUF.Targets[data.CanonicalTargetsRole].Signed.Delegations.Keys[id] = key
				thief.ReplaceSigned(data.CanonicalTargetsRole)
				thief.ForceSign("v1", evil, alice)
				unsigned, err := thief.TUF.Targets[alice].ToSigned()
				thief.must(err)
				thief.ServeRaw(alice, thief.SignRaw(unsigned, private, id))
			},
			fresh: refused(trust.BadSignature), known: refused(trust.BadSignature),
		},
		{
			name: "delegation that claims a path it does not have (its key)",
			prepare: func(t *testing.T, a *arena) {
				t.Helper()
				a.owner(t).Delegate("targets/bob", "release-")
				a.Publish()
			},
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				thief.ForceSign("v1", evil, "targets/bob")
				thief.ReplaceSigned("targets/bob")
				a.site.Signers = []string{"bob"}
			},
			fresh: refused(trust.Unsigned), known: refused(trust.Unsigned),
		},
		{
			name: "indefinite freeze: a timestamp that lasts for ever (online keys)",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				for _, role := range []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole} {
					thief.Expires[role] = time.Now().AddDate(100, 0, 0)
				}
				thief.PublishSnapshot()
			},
			later: 4 * 365 * 24 * time.Hour, // targets last three years
			fresh: refused(trust.Expired), known: refused(trust.Expired),
		},
	}
	list = append(list, duplicates()...)
	list = append(list, loops()...)
	list = append(list, lengths()...)
	return append(list, versionAttacks()...)
}

// bindAlice makes alice the only signer who counts, by her key.
func bindAlice(t *testing.T, a *arena) {
	t.Helper()
	role, err := a.owner(t).TUF.GetDelegationRole(alice)
	if err != nil {
		t.Fatal(err)
	}
	a.site.Signers, a.site.SignerKeys = []string{"alice"}, map[string][]string{"alice": role.ListKeyIDs()}
}

// duplicates add a second list of targets before the signed one: who checks
// the signature sees the last of two equal members, and who reads them into a
// struct, where capitals count for nothing, sees both.
func duplicates() []attack {
	var list []attack
	for how, member := range map[string]string{"plain": `"targets"`, "escaped": `"t\u0061rgets"`, "in capitals": `"TARGETS"`} {
		entry := fmt.Sprintf(`%s:{"pwn":{"hashes":{"sha256":%q},"length":528}},"targets":{`, member, base64.StdEncoding.EncodeToString(evilSum[:]))
		for _, role := range []data.RoleName{releases, alice} {
			list = append(list, attack{
				name: fmt.Sprintf("duplicate JSON keys: targets stands twice in %s, once %s (online keys)", role, how),
				do: func(t *testing.T, a *arena) {
					t.Helper()
					thief := a.steal(t)
					raw := thief.Served(role)
					forged := bytes.Replace(raw, []byte(`"targets":{`), []byte(entry), 1)
					if bytes.Equal(raw, forged) {
						t.Fatal("the metadata has another form than the attack wants")
					}
					thief.ServeRaw(role, forged)
					if role == alice {
						a.site.Signers = []string{"alice"}
					}
				},
				tag: "pwn", fresh: refused(trust.BadSignature), known: refused(trust.BadSignature),
			})
		}
	}
	return list
}

// loops are delegations that lead back to where they came from. Names of
// roles are paths in Notary, so only a role's own list can try.
func loops() []attack {
	loop := func(name string, roles ...data.RoleName) attack {
		return attack{
			name: "delegation loop: " + name + " (a signer's key)",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				role, err := thief.TUF.GetDelegationRole(alice)
				thief.must(err)
				targets := thief.TUF.Targets[alice]
				for _, key := range role.ListKeys() {
					targets.Signed.Delegations.Keys[key.ID()] = key
				}
				for _, name := range roles {
					targets.Signed.Delegations.Roles = append(targets.Signed.Delegations.Roles, &data.Role{
						RootRole: data.RootRole{KeyIDs: role.ListKeyIDs(), Threshold: 1}, Name: name, Paths: []string{""},
					})
				}
				thief.ReplaceSigned(alice)
			},
		}
	}
	list := []attack{
		loop("a role delegates to itself", alice),
		loop("a role delegates to the one above", data.CanonicalTargetsRole),
		loop("a role delegates to the one beside it", releases),
		loop("one role many times", "targets/alice/x", "targets/alice/x", "targets/alice/x"),
	}
	for i := range list {
		needed := list[i]
		needed.name += ", and the policy wants that signer"
		spoil := needed.do
		needed.do = func(t *testing.T, a *arena) { t.Helper(); spoil(t, a); a.site.Signers = []string{"alice"} }
		if i < 3 { // what is out of form is nobody's word
			needed.fresh, needed.known = refused(trust.BadSignature), refused(trust.BadSignature)
		}
		list = append(list, needed)
	}
	return list
}

// lengths are signed lies about how long a role is.
func lengths() []attack {
	lie := func(name string, length int64) attack {
		return attack{
			name: "wrong length: the snapshot says " + name + " (online keys)",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				sum := sha256.Sum256(thief.Served(releases))
				thief.Claim(releases, length, sum[:])
			},
			fresh: refused(trust.Unreachable),
		}
	}
	return []attack{
		lie("-1", -1),
		lie("the lowest number", math.MinInt64),
		lie("one byte", 1),
		lie("100 GB", 100*gigabyte),
		lie("the highest number that JSON's readers agree on", 1<<53),
	}
}

// versionAttacks turn versions back or forward.
func versionAttacks() []attack {
	var list []attack
	for role, fresh := range map[data.RoleName]want{releases: {digest: second}, data.CanonicalTargetsRole: {}} { // targets does not list the tag
		list = append(list, attack{
			name:    "rollback of " + string(role) + " (online keys)",
			prepare: func(t *testing.T, a *arena) { t.Helper(); a.owner(t); moveTag(t, a) },
			do: func(t *testing.T, a *arena) {
				t.Helper()
				a.steal(t).ServeRaw(role, a.earlier[Path(a.gun, string(role))])
			},
			fresh: fresh,
			known: refused(trust.Rollback),
		})
	}
	return append(list,
		attack{
			name:    "rollback of snapshot (online keys)",
			prepare: func(t *testing.T, a *arena) { t.Helper(); a.owner(t); moveTag(t, a) },
			do: func(t *testing.T, a *arena) {
				t.Helper()
				thief := a.steal(t)
				raw := a.earlier[Path(a.gun, "snapshot")]
				snapshot := new(data.Signed)
				thief.must(json.Unmarshal(raw, snapshot))
				earlier, err := data.SnapshotFromSigned(snapshot)
				thief.must(err)
				a.SetState(a.earlier)
				thief.TUF.Snapshot = earlier
				thief.PublishTimestamp()
			},
			fresh: want{digest: second}, known: refused(trust.Rollback),
		},
		attack{
			name: "fast-forward: timestamp and snapshot of the last versions there can be (online keys)",
			do: func(t *testing.T, a *arena) {
				t.Helper()
				fastForward(t, a)
				// TUF 1.0.31, 5.3.11: new keys of these roles end the attack.
				for _, role := range []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole} {
					a.owner(t).must(a.owner(t).TUF.ReplaceBaseKeys(role, a.owner(t).NewKey(role)))
				}
			},
		},
	)
}

// fastForward publishes versions above which there is none.
func fastForward(t *testing.T, a *arena) {
	t.Helper()
	thief := a.owner(t).Steal() // and is not overtaken: nothing can be
	thief.TUF.Snapshot.Signed.Version = math.MaxInt32 - 1
	thief.TUF.Timestamp.Signed.Version = math.MaxInt32 - 1
	thief.PublishSnapshot()
}
