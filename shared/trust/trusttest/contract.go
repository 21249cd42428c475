package trusttest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// A Backend is a trust server whose network an attacker holds.
type Backend interface {
	// NewRepository makes a repository in which nothing is signed.
	NewRepository(tb testing.TB, gun data.GUN) Publisher
	// Address is where verifiers are told the server is, and the PEM file
	// that vouches for it.
	Address() (url, ca string)

	// What the attacker does, who has no key.

	State() State                                                           // all that is served now
	SetState(state State, but ...string)                                    // played back, files with these ends apart
	Spoil(gun data.GUN, role data.RoleName, change func(raw []byte) []byte) // under all its names
	Forget(gun data.GUN, name string)                                       // one file
	Fault(handler http.HandlerFunc)                                         // answers everything; nil: as before
	Honest()                                                                // ends all that
}

// A Publisher holds the keys of one repository. A *Repository is one whose
// keys can be stolen.
type Publisher interface {
	// Delegate adds a delegation with a key of its own, for all tags or those
	// with one of the prefixes.
	Delegate(role data.RoleName, paths ...string) data.PublicKey
	// Sign lists a tag with a digest in each of the roles.
	Sign(tag string, dgst digest.Digest, roles ...data.RoleName)
	// ForceHash lists a tag with a hash of one algorithm, which is not sha256.
	ForceHash(tag, algorithm string, role data.RoleName)
	// RotateRoot replaces the root key by a new one, which the old one signs.
	RotateRoot()
	// Publish makes the changes known.
	Publish()
	// RootKey is the current root certificate's key; its ID is what
	// certificates are pinned by.
	RootKey() data.PublicKey
	// RootKeyID is the canonical ID of the current root key.
	RootKeyID() string
}

// A Site is a machine and its policy: all that a verifier is made of.
type Site struct {
	GUN        data.GUN
	RootKeys   []string
	Signers    []string
	SignerKeys map[string][]string
	Servers    []string
	CA         string
	Cache      string // folder
	Now        func() time.Time
	Timeout    time.Duration // of one answer of the server
}

// Memory is the server in memory as a Backend.
func Memory(tb testing.TB) Backend {
	tb.Helper()
	return memory{NewNotary(tb)}
}

type memory struct{ *Notary }

func (m memory) NewRepository(tb testing.TB, gun data.GUN) Publisher {
	tb.Helper()
	return m.Notary.NewRepository(tb, gun)
}

// What the honest publisher signs.
var (
	first  = digest.FromString("first")
	second = digest.FromString("second")
	evil   = digest.FromString("evil") // nobody signs it
)

// Contract tries each attack of the TUF specification, and those that readers
// of its metadata have fallen for, on a verifier. Each test is named after the
// attack. A machine that never asked before and one that knows the repository
// have to refuse for the reason given, or to go on with what the honest
// publisher signed; and when the attack is over both have to accept the
// publisher's next word.
func Contract(t *testing.T, open func(testing.TB) Backend, verifier func(testing.TB, Site) trust.Verifier) {
	t.Helper()
	for _, list := range [][]attack{networkAttacks(), replayAttacks(), keyAttacks()} {
		for _, attack := range list {
			t.Run(attack.name, func(t *testing.T) {
				t.Parallel()
				newArena(t, open(t), verifier).try(t, attack)
			})
		}
	}
	t.Run("unicode and case tricks", func(t *testing.T) {
		t.Parallel()
		tricks(t, newArena(t, open(t), verifier))
	})
	sizeAttacks(t, open, verifier)
}

// An attack is what is done, and what has to come of it.
type attack struct {
	name     string
	prepare  func(t *testing.T, a *arena) // before the machine that knows the repository gets to know it
	do       func(t *testing.T, a *arena)
	fresh    want          // of a machine that never asked
	known    want          // of one that knows the repository
	tag      string        // asked for; "" is v1
	content  trust.Content // held by the engine
	patience time.Duration // of one answer; zero: that of an honest server
	later    time.Duration // how far the clock is moved before the machines ask
}

// A want is a reason to refuse or, with none, the digest that is accepted:
// first if it is empty.
type want struct {
	reason trust.Reason
	digest digest.Digest
}

func refused(reason trust.Reason) want { return want{reason: reason} }

// An arena is an honest repository, an attacker between it and two machines,
// and what those machines trust.
type arena struct {
	Backend
	Publisher
	gun      data.GUN
	site     Site
	later    time.Duration
	fresh    string // the cache of a machine that never asked
	known    string // of one that knows the repository
	thief    *Repository
	earlier  State // for attacks that play it back
	verifier func(testing.TB, Site) trust.Verifier
}

// guns tells the repositories of one process apart on a server they share.
var guns atomic.Int64

// newArena signs tag v1 into releases, as docker trust does, with a signer
// named alice.
func newArena(t *testing.T, b Backend, verifier func(testing.TB, Site) trust.Verifier) *arena {
	t.Helper()
	gun := data.GUN(fmt.Sprintf("registry.example.com/prod/app%d", guns.Add(1)))
	a := &arena{Backend: b, Publisher: b.NewRepository(t, gun), gun: gun, fresh: t.TempDir(), known: t.TempDir(), verifier: verifier}
	a.Delegate(releases)
	a.Delegate(alice)
	a.Sign("v1", first, releases, alice)
	a.Publish()
	url, ca := b.Address()
	a.site = Site{GUN: gun, RootKeys: []string{a.RootKeyID()}, Servers: []string{url}, CA: ca, Now: func() time.Time { return time.Now().Add(a.later) }}
	return a
}

const (
	releases data.RoleName = "targets/releases"
	alice    data.RoleName = "targets/alice"
)

// patience is how long an honest server may take for one answer. It is long,
// because tests run side by side.
const patience = 10 * time.Second

// ask asks a machine, in a process of its own.
func (a *arena) ask(t *testing.T, cache, tag string, timeout time.Duration, content trust.Content) (trust.Signed, error) {
	t.Helper()
	site := a.site
	site.Cache, site.Timeout = cache, timeout
	ref, err := reference.ParseNormalizedNamed(string(a.gun) + ":" + tag)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing may take longer than what a round of requests may.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return a.verifier(t, site).Verify(ctx, trust.Question{Ref: ref, Content: content})
}

// expect asks a machine and wants an answer.
func (a *arena) expect(t *testing.T, who, cache, tag string, timeout time.Duration, content trust.Content, w want) {
	t.Helper()
	signed, err := a.ask(t, cache, tag, timeout, content)
	if w.reason != "" {
		wantReason(t, who, err, w.reason)
		return
	}
	if err != nil {
		t.Errorf("%s: refused: %v", who, err)
		return
	}
	if w.digest == "" {
		w.digest = first
	}
	if signed.Digest != w.digest || !signed.Method.Signs() {
		t.Errorf("%s: got %+v, want digest %s", who, signed, w.digest)
	}
}

func wantReason(t *testing.T, who string, err error, want trust.Reason) {
	t.Helper()
	refusal := new(trust.Error)
	switch {
	case err == nil:
		t.Errorf("%s: accepted, want %s", who, want)
	case !errors.As(err, &refusal):
		t.Errorf("%s: got %v, want a refusal: %s", who, err, want)
	case refusal.Reason != want:
		t.Errorf("%s: got reason %q, want %q: %v", who, refusal.Reason, want, err)
	}
}

// try carries out an attack and looks what has become of it.
func (a *arena) try(t *testing.T, attack attack) {
	t.Helper()
	if attack.tag == "" {
		attack.tag = "v1"
	}
	if attack.patience == 0 {
		attack.patience = patience
	}
	if attack.prepare != nil {
		attack.prepare(t, a)
	}
	a.expect(t, "before the attack", a.known, "v1", patience, trust.Content{}, want{})
	if attack.do != nil {
		attack.do(t, a)
	}
	a.later = attack.later
	a.expect(t, "a machine that never asked", a.fresh, attack.tag, attack.patience, attack.content, attack.fresh)
	a.expect(t, "a machine that knows the repository", a.known, attack.tag, attack.patience, attack.content, attack.known)
	a.recover(t)
}

// recover ends the attack. What the publisher says next has to be accepted by
// everybody: else the attack did lasting damage.
func (a *arena) recover(t *testing.T) {
	t.Helper()
	a.Honest()
	a.site.Signers, a.site.SignerKeys = nil, nil
	if repo, ok := a.Publisher.(*Repository); ok {
		if a.thief != nil {
			repo.Overtake(a.thief)
		}
		for _, role := range []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole, data.CanonicalTargetsRole, releases, alice} {
			repo.Expires[role] = time.Now().Add(a.later).AddDate(1, 0, 0)
		}
	} else if a.later > 0 { // a real server has one clock, and a machine does not go back to it
		a.later, a.fresh, a.known = 0, t.TempDir(), t.TempDir()
	}
	a.Sign("later", second, releases, alice)
	a.Publish()
	for who, cache := range map[string]string{"a machine that never asked": a.fresh, "a machine that knows the repository": a.known} {
		a.expect(t, who+", after the attack", cache, "v1", patience, trust.Content{}, want{})
		a.expect(t, who+", after the attack", cache, "later", patience, trust.Content{}, want{digest: second})
	}
}

// steal gives the repository to an attacker who has its keys. A real server
// and a real publisher keep them to themselves.
func (a *arena) steal(t *testing.T) *Repository {
	t.Helper()
	a.thief = a.owner(t).Steal()
	return a.thief
}

// owner is the publisher, where it can be made to do what docker trust does not.
func (a *arena) owner(t *testing.T) *Repository {
	t.Helper()
	repo, ok := a.Publisher.(*Repository)
	if !ok {
		t.Skip("this attack needs private keys, and the real server's cannot be stolen: it runs for the server in memory")
	}
	return repo
}

// answer serves what is served now, but for the files of one role, for which
// handler answers.
func (a *arena) answer(role data.RoleName, handler http.HandlerFunc) {
	state := a.State()
	folder := strings.TrimSuffix(Path(a.gun, ""), ".json")
	a.Fault(func(w http.ResponseWriter, r *http.Request) {
		name := "." + strings.TrimPrefix(r.URL.Path, folder) // .root.json, .1.root.json, .targets/qa.<checksum>.json
		raw, ok := state[r.URL.Path]
		switch {
		case strings.HasPrefix(name, "."+string(role)+"."), strings.HasSuffix(name, "."+string(role)+".json"):
			handler(w, r)
		case !ok:
			http.NotFound(w, r)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(raw)
		}
	})
}
