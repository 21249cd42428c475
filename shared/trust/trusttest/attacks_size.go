package trusttest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Attacks by size. Who publishes such metadata has the repository key and the
// online keys, or is an honest publisher who never tidies up.
var sizes = []struct {
	name           string
	roles, targets int
	refuse         bool // is an answer, too
}{
	{name: "10,000 roles", roles: 10_000},
	{name: "50,000 targets", targets: 50_000},
	{name: "500,000 targets", targets: 500_000, refuse: true},
	{name: "1,000,000 targets", targets: 1_000_000, refuse: true},
}

// Bounds of what one question may cost, whatever is published: the memory is
// that of docker-stig-authz.service, whose GOMEMLIMIT is 400 MiB and whose
// MemoryMax, at which it dies, 768 MiB.
const (
	memoryLimit = 400 << 20 // bytes
	maxMemory   = 768 << 20
	maxTime     = 30 * time.Second
)

// sizeAttacks run one after the other, because they measure. They are for the
// server in memory: publishing such a thing to a real one takes its time.
func sizeAttacks(t *testing.T, open func(testing.TB) Backend, verifier func(testing.TB, Site) trust.Verifier) {
	t.Helper()
	for _, size := range sizes {
		t.Run(size.name+" (online and repository keys)", func(t *testing.T) {
			a := newArena(t, open(t), verifier)
			thief := a.steal(t)
			if testing.Short() {
				t.Skip("takes 20 s with the race detector")
			}
			thief.addRoles(size.roles)
			thief.addTargets(size.targets)
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(memoryLimit))
			began, heap := time.Now(), watchHeap()
			signed, err := a.ask(t, a.fresh, "v1", patience, trust.Content{})
			took, peak := time.Since(began), heap()
			t.Logf("%s, %d MiB: %+v, %v", took.Round(time.Millisecond), peak>>20, signed.Digest, err)
			if err != nil && size.refuse {
				wantReason(t, "a machine that never asked", err, trust.Unreachable)
			} else if err != nil || signed.Digest != first {
				t.Errorf("got %+v, %v", signed, err)
			}
			if took > maxTime || peak > maxMemory {
				t.Errorf("it took %s and %d MiB, more than the %s and %d MiB it may", took, peak>>20, maxTime, maxMemory>>20)
			}
			a.recover(t)
		})
	}
}

// watchHeap gives a function that tells by how much the heap has grown at most.
func watchHeap() func() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before, highest, done, ended := stats.HeapAlloc, uint64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			runtime.ReadMemStats(&stats)
			highest = max(highest, stats.HeapAlloc)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(done)
		<-ended
		return highest - min(before, highest)
	}
}

// addRoles publishes that many more delegations, each of which has signed a
// tag.
func (r *Repository) addRoles(count int) {
	r.tb.Helper()
	if count == 0 {
		return
	}
	delegated, err := r.TUF.GetDelegationRole(alice)
	r.must(err)
	raw := r.Served(alice)
	sum := sha256.Sum256(raw)
	targets := r.TUF.Targets[data.CanonicalTargetsRole]
	for i := range count {
		name := data.RoleName(fmt.Sprintf("targets/role-%05d", i))
		targets.Signed.Delegations.Roles = append(targets.Signed.Delegations.Roles, &data.Role{
			RootRole: data.RootRole{KeyIDs: delegated.ListKeyIDs(), Threshold: 1}, Name: name, Paths: []string{""},
		})
		r.TUF.Snapshot.Signed.Meta[string(name)] = data.FileMeta{Length: int64(len(raw)), Hashes: data.Hashes{notary.SHA256: sum[:]}}
		r.notary.serveRole(r.GUN, name, raw)
	}
	r.ReplaceSigned(data.CanonicalTargetsRole)
}

// addTargets publishes that many more tags in the releases role. It writes
// canonical JSON by hand, because to sign a million tags otherwise takes longer
// than all other attacks together.
func (r *Repository) addTargets(count int) {
	r.tb.Helper()
	if count == 0 {
		return
	}
	file := func(name string, sum [sha256.Size]byte) string {
		return fmt.Sprintf(`%q:{"hashes":{"sha256":%q},"length":528}`, name, base64.StdEncoding.EncodeToString(sum[:]))
	}
	text := new(bytes.Buffer)
	expires := time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)
	fmt.Fprintf(text, `{"_type":"Targets","delegations":{"keys":{},"roles":[]},"expires":%q,"targets":{`, expires)
	for i := range count {
		text.WriteString(file(fmt.Sprintf("tag-%07d", i), evilSum) + ",")
	}
	text.WriteString(file("v1", sha256.Sum256([]byte("first"))) + `},"version":2}`)
	delegated, err := r.TUF.GetDelegationRole(releases)
	r.must(err)
	id := delegated.ListKeyIDs()[0]
	private, _, err := r.Keys.GetPrivateKey(id)
	r.must(err)
	signature, err := private.Sign(rand.Reader, text.Bytes(), nil)
	r.must(err)
	r.TUF.Targets[releases].Signed.Version = 2 // so that the publisher counts on from it
	r.ServeRaw(releases, fmt.Appendf(nil, `{"signed":%s,"signatures":[{"keyid":%q,"method":"ecdsa","sig":%q}]}`,
		text, id, base64.StdEncoding.EncodeToString(signature)))
}
