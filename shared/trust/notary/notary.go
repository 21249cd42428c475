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
//  3. freshness, by the clock of the caller: timestamp and snapshot may be
//     past their expiry as far as the scope allows, everything else never.
//  4. the target, in the roles that the scope names.
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
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
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
}

// Unbounded is an AllowExpired without end: Mirantis's global switch.
const Unbounded time.Duration = 1<<63 - 1

// Options configure a Verifier. Only Now is required.
type Options struct {
	Now      func() time.Time
	CacheDir string        // verified metadata and versions seen; empty: memory only
	Refresh  time.Duration // how long an answer in memory is good for; zero: always ask
	Timeout  time.Duration // of one answer of a server; zero: 2 s

	Log *slog.Logger // nil: discard
}

// A Verifier judges questions about repositories on Notary servers. It keeps
// what it has verified in memory and makes no request before it is asked.
type Verifier struct {
	opts    Options
	flights singleflight.Group
	clients clients

	mu    sync.Mutex
	known map[string]known
	kept  map[data.GUN]copyOf // what was verified last, for its root and versions
}

// known is the verified state of one repository under one scope, and when it
// was confirmed.
type known struct {
	index   *index
	checked time.Time
}

// New makes a Verifier. It reads no file and opens no connection.
func New(opts Options) *Verifier {
	if opts.Timeout == 0 {
		opts.Timeout = 2 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Verifier{opts: opts, known: map[string]known{}, kept: map[data.GUN]copyOf{}}
}

// Verify answers the question under the scope. Its error is a *trust.Error.
func (v *Verifier) Verify(ctx context.Context, q trust.Question, s Scope) (trust.Signed, error) {
	signed, err := v.verify(ctx, q, s)
	if err == nil {
		return signed, nil
	}
	refused := new(trust.Error)
	if !errors.As(err, &refused) {
		refused = &trust.Error{Reason: trust.Unreachable, Err: err}
	}
	answer := *refused // one repository's error is shared by many questions
	answer.Ref = q.Ref
	return trust.Signed{}, &answer
}

func (v *Verifier) verify(ctx context.Context, q trust.Question, s Scope) (trust.Signed, error) {
	index, err := v.index(ctx, data.GUN(q.Ref.Name()), s)
	if err != nil {
		return trust.Signed{}, err
	}
	if err := index.fresh(v.opts.Now(), s); err != nil {
		return trust.Signed{}, err
	}
	return index.answer(q, s, v.opts.Now())
}

// key tells the states of a repository apart that scopes lead to. Key IDs are
// hexadecimal, and no name of a signer or repository has a space or a comma.
func (s Scope) key(gun data.GUN) string {
	join := func(ids []string) string { return strings.Join(ids, ",") }
	return string(gun) + " " + join(s.CertIDs) + " " + join(s.RootKeys) + " " + join(s.Signers) + " " + join(s.RevokedKeys)
}

// index gives the verified state of a repository: from memory while it is
// good, else by one shared round of requests.
func (v *Verifier) index(ctx context.Context, gun data.GUN, s Scope) (*index, error) {
	key := s.key(gun)
	v.mu.Lock()
	kept, ok := v.known[key]
	v.mu.Unlock()
	if ok && v.opts.Now().Sub(kept.checked).Abs() < v.opts.Refresh {
		return kept.index, nil
	}
	flight := v.flights.DoChan(key, func() (any, error) {
		// The round serves every waiting question, so no single one may end it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxRound)
		defer cancel()
		index, err := v.refresh(ctx, gun, s)
		if err != nil {
			return nil, err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.known[key] = known{index: index, checked: v.opts.Now()}
		return index, nil
	})
	select {
	case <-ctx.Done():
		return nil, &trust.Error{Reason: trust.Unreachable, Err: fmt.Errorf("waiting for the trust server: %w", ctx.Err())}
	case done := <-flight:
		if done.Err != nil {
			return nil, done.Err
		}
		return done.Val.(*index), nil
	}
}

// refresh verifies a repository afresh: from the first server that answers,
// else from what was verified before. A panic below is a refusal: the bytes
// come from outside.
func (v *Verifier) refresh(ctx context.Context, gun data.GUN, s Scope) (found *index, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			v.opts.Log.Error("reading trust data failed; please report this", "gun", gun, "panic", broken)
			found, err = nil, &trust.Error{Reason: trust.BadSignature, Err: fmt.Errorf("the trust data cannot be read: %v", broken)}
		}
	}()
	cache := openCache(v.opts.CacheDir, gun)
	for range maxOvertaken {
		kept := v.remembered(gun, cache)
		index, verified, err := v.fromServers(ctx, gun, s, kept)
		if unanswered(err) {
			cached, _, cacheErr := v.load(ctx, gun, s, kept, kept)
			if cacheErr != nil {
				return nil, err
			}
			v.opts.Log.Warn("trust server does not answer; the cached copy serves", "gun", gun, "error", err)
			cached.source = trust.Cache
			return cached, nil
		}
		if err != nil {
			return nil, err
		}
		if v.remember(gun, cache, verified) {
			return index, nil
		}
	}
	return nil, refuse(trust.Rollback, "", fmt.Errorf("the trust server gives older data of %s than it gave to others meanwhile", gun))
}

// maxOvertaken is how often a round is tried when another one, here or in
// another process, has seen newer data by the time it ends.
const maxOvertaken = 3

// remembered is what was verified of a repository before, by this process or
// by another on the same cache.
func (v *Verifier) remembered(gun data.GUN, cache cache) copyOf {
	kept, err := cache.read()
	if err != nil {
		v.opts.Log.Warn("the trust cache is unreadable and starts anew", "gun", gun, "error", err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kept[gun].newer(kept)
}

// remember keeps what was verified, unless something newer has been seen
// meanwhile: then it says no, and keeps that.
func (v *Verifier) remember(gun data.GUN, cache cache, verified copyOf) bool {
	v.mu.Lock()
	overtaken := v.kept[gun].overtakes(verified)
	if !overtaken {
		v.kept[gun] = verified
	}
	v.mu.Unlock()
	if overtaken {
		return false
	}
	switch err := cache.write(verified); {
	case errors.Is(err, errOvertaken):
		return false
	case err != nil:
		v.opts.Log.Warn("cannot keep verified trust data; a restart forgets the versions seen", "gun", gun, "error", err)
	}
	return true
}

// fromServers asks the scope's servers in order until one answers, yes or no.
func (v *Verifier) fromServers(ctx context.Context, gun data.GUN, s Scope, kept copyOf) (*index, copyOf, error) {
	client, err := v.clients.get(s.CA, v.opts.Timeout)
	if err != nil {
		return nil, copyOf{}, &trust.Error{Reason: trust.Unreachable, Err: err, Next: "name a readable PEM file under notary.ca in the policy"}
	}
	var errs []error
	for _, base := range s.Servers {
		src := &server{base: strings.TrimSuffix(base, "/"), gun: gun, client: client, kept: kept}
		index, verified, err := v.load(ctx, gun, s, src, kept)
		if err == nil {
			index.source = trust.Server
			return index, verified, nil
		}
		if !unanswered(err) {
			return nil, copyOf{}, err
		}
		errs = append(errs, err)
	}
	return nil, copyOf{}, noAnswer(errs)
}

// noAnswer is the error of several servers, none of which answered.
func noAnswer(errs []error) error {
	switch len(errs) {
	case 0:
		return &trust.Error{Reason: trust.Unreachable, Err: errors.New("the policy names no trust server")}
	case 1:
		return errs[0]
	default:
		for i, err := range errs {
			errs[i] = errors.Unwrap(err) // the reason is the same for all, and stands once
		}
		return &trust.Error{Reason: trust.Unreachable, Err: errors.Join(errs...)}
	}
}

func unanswered(err error) bool {
	refused := new(trust.Error)
	return errors.As(err, &refused) && refused.Inconclusive()
}
