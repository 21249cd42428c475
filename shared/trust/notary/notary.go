// Package notary verifies images against Notary v1 trust servers (Docker
// Content Trust).
//
// It decides whether the signers that a Scope names vouch for a digest. Which
// scope holds for a repository is the policy's business; what follows from a
// refusal is the caller's. It follows TUF 1.0 as Notary v0.7 speaks it, and
// carries out these steps for one repository (its GUN), in this order:
//
//  1. root: the server's current root, or an earlier one signed by a pinned
//     key and followed link by link to the current one. There is no trust on
//     first use, and nothing is cached before this step has succeeded.
//  2. timestamp, snapshot, targets, delegations: signatures, thresholds,
//     hashes and versions are checked by notary's own tuf.RepoBuilder; none
//     may be older than one seen before.
//  3. freshness, by the clock of the caller or the latest one that fresh
//     metadata has borne out: timestamp and snapshot may be past their expiry
//     as far as the scope allows, everything else never.
//  4. the target, in the roles that the scope names.
//
// Whoever asks is answered from memory (memory.go), which a round of requests
// fills (round.go) from the first of several servers that gives what can be
// accepted (mirrors.go), or from what was verified before: the cache on disk,
// or a bundle that was imported there (copy.go). Nothing of it is believed
// before it has been verified again, and no version falls (floor.go).
//
// What is fetched is read strictly (form.go): bytes that two readers could
// understand in two ways are refused before anybody checks a signature.
//
// One limit is the protocol's: metadata of a delegation does not say which
// delegation it is of. Whoever holds the online keys can serve what a person
// signed for one role as another role of the same person.
//
// notary/client was turned down: it skips a delegation that does not verify,
// trusts on first use inside a pinned certificate check, refuses rotated
// roots, and reads the clock itself.
package notary

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/singleflight"
)

// A Scope is what the policy says of one repository.
type Scope struct {
	Pattern      string              // the policy's pattern that matched
	RootKeys     []string            // canonical IDs of root keys
	CertIDs      []string            // IDs of root certificates; when set, RootKeys do not count
	Signers      []string            // delegations below targets that must all agree; empty: the releases role
	SignerKeys   map[string][]string // canonical key IDs that a signer may use; absent: any
	RevokedKeys  []string            // canonical or certificate IDs refused wherever they signed
	Servers      []string            // base URLs, in the order they are asked
	CA           string              // PEM file that vouches for the servers; empty: the system's
	AllowExpired time.Duration       // how long past expiry timestamp and snapshot may be

	sealed string // key, if it was worked out beforehand
}

// Unbounded is an AllowExpired without end: Mirantis's global switch.
const Unbounded time.Duration = 1<<63 - 1

// Clients make the HTTP clients that trust servers are asked with.
type Clients interface {
	// TrustServer gives the client for a server with this base URL, whose
	// certificate the PEM file ca vouches for, or the system if it is empty.
	// It signs in with what is known of the repository's registry.
	TrustServer(base, ca, gun string) (*http.Client, error)
}

// Options configure a Verifier. Only Now is required.
type Options struct {
	Now      func() time.Time
	Clients  Clients       // nil: nobody's credentials
	CacheDir string        // verified metadata and versions seen; empty: memory only, and what falls out of it is forgotten
	Refresh  time.Duration // how long an answer in memory is good for; zero: always ask
	Timeout  time.Duration // of one answer of a server; zero: 2 s

	MaxRepositories int   // kept in memory; zero: DefaultMaxRepositories
	MaxMemory       int64 // bytes; zero: DefaultMaxMemory

	// Changed is told when what is known of a repository is no longer what
	// it was: other metadata, or a refusal. It must not wait. nil: nobody.
	Changed func(gun string)

	Log *slog.Logger // nil: discard
}

// A Verifier judges questions about repositories on Notary servers. It keeps
// what it has verified in memory and makes no request before it is asked.
type Verifier struct {
	opts    Options
	flights singleflight.Group
	health  health
	memory  *memory
	heavy   chan struct{} // see loader.weigh
}

// New makes a Verifier. It reads no file and opens no connection.
func New(opts Options) *Verifier {
	opts.Timeout = cmp.Or(opts.Timeout, 2*time.Second)
	opts.MaxRepositories = cmp.Or(opts.MaxRepositories, DefaultMaxRepositories)
	opts.MaxMemory = cmp.Or(opts.MaxMemory, DefaultMaxMemory)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Changed == nil {
		opts.Changed = func(string) {}
	}
	if opts.Clients == nil {
		opts.Clients = access.New(access.Options{Timeout: opts.Timeout})
	}
	return &Verifier{opts: opts, memory: newMemory(opts.MaxRepositories, opts.MaxMemory), heavy: make(chan struct{}, 1)}
}

// Verify answers the question under the scope. Its error is a *trust.Error.
func (v *Verifier) Verify(ctx context.Context, q trust.Question, s Scope) (trust.Signed, error) {
	signed, err := v.verify(ctx, q, s)
	if err == nil {
		return signed, nil
	}
	return trust.Signed{}, about(q.Ref, err)
}

// about is an error as the answer to a question about an image. One
// repository's error is shared by many questions.
func about(ref reference.Named, err error) error {
	refused := new(trust.Error)
	if !errors.As(err, &refused) {
		refused = &trust.Error{Reason: trust.Unreachable, Err: err}
	}
	answer := *refused
	answer.Ref = ref
	return &answer
}

func (v *Verifier) verify(ctx context.Context, q trust.Question, s Scope) (trust.Signed, error) {
	index, err := v.index(ctx, data.GUN(q.Ref.Name()), s)
	if err != nil {
		return trust.Signed{}, err
	}
	// A clock that was set back does not make old metadata fresh again.
	now := latest(v.opts.Now(), index.seen)
	if err := index.fresh(now, s); err != nil {
		return trust.Signed{}, err
	}
	return index.answer(q, s, now)
}

// VouchedFor lists the digests that the scope's deciding roles hold under any
// tag, as far as they are known or soon found out.
func (v *Verifier) VouchedFor(ctx context.Context, ref reference.Named, s Scope) []digest.Digest {
	index, err := v.index(ctx, data.GUN(ref.Name()), s)
	if err != nil {
		return nil
	}
	var digests []digest.Digest
	for _, name := range append(s.needs(), data.CanonicalTargetsRole) {
		if r := index.roles[name]; r != nil {
			for _, found := range r.targets {
				digests = append(digests, found.digest())
			}
		}
	}
	return digests
}

// Sealed is the scope with the key of its repository worked out beforehand.
func (s Scope) Sealed(gun string) Scope {
	s.sealed = ""
	s.sealed = s.key(data.GUN(gun))
	return s
}

// key tells the states of a repository apart that scopes lead to. Key IDs are
// hexadecimal, and no name of a signer or repository has a space or a comma.
func (s Scope) key(gun data.GUN) string {
	if strings.HasPrefix(s.sealed, string(gun)+" ") {
		return s.sealed
	}
	join := func(ids []string) string { return strings.Join(ids, ",") }
	return string(gun) + " " + join(s.CertIDs) + " " + join(s.RootKeys) + " " + join(s.Signers) + " " + join(s.RevokedKeys)
}

// index gives the verified state of a repository: from memory while it is
// good, else by one shared round of requests. A round that takes longer than a
// server may serves the next question; this one has what was verified before.
func (v *Verifier) index(ctx context.Context, gun data.GUN, s Scope) (*index, error) {
	key, now := s.key(gun), v.opts.Now()
	if e, ok := v.memory.get(key, now); ok && now.Sub(e.checked).Abs() < v.goodFor(e) {
		if e.err != nil {
			return nil, e.err
		}
		return e.index, nil
	}
	flight := v.round(ctx, key, gun, s)
	patience := time.NewTimer(v.opts.Timeout)
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, &trust.Error{Reason: trust.Unreachable, Err: fmt.Errorf("waiting for the trust server: %w", ctx.Err())}
		case <-patience.C:
			if index := v.fallback(ctx, key, gun, s); index != nil {
				return index, nil
			}
		case done := <-flight:
			if done.Err != nil {
				return nil, done.Err
			}
			return done.Val.(*index), nil
		}
	}
}

// maxRefused is how long a refusal is remembered: long enough for a flood of
// questions, and short enough for whoever has just signed.
const maxRefused = 3 * time.Second

func (v *Verifier) goodFor(e entry) time.Duration {
	if e.err != nil {
		return min(maxRefused, v.opts.Refresh)
	}
	return v.opts.Refresh
}

// fallback is what was verified before a round that is slow, by this process
// or by another on the same cache; nil if there is nothing, or if it has been
// refused since. It is read once for all who wait.
func (v *Verifier) fallback(ctx context.Context, key string, gun data.GUN, s Scope) *index {
	before := v.memory.verified(key)
	if before.err != nil && !unanswered(before.err) {
		return nil
	}
	found, err, _ := v.flights.Do("cache "+key, func() (any, error) {
		kept, err := v.remembered(openCache(v.opts.CacheDir, gun), before)
		if err != nil {
			return nil, err
		}
		if index := before.unchanged(kept); index != nil {
			return index.from(trust.Cache), nil
		}
		read, err := v.fromCache(context.WithoutCancel(ctx), gun, s, kept)
		return read.index, err
	})
	if err != nil {
		return nil
	}
	v.opts.Log.Warn("trust server is slow; what was verified before serves", "gun", gun)
	return found.(*index)
}
