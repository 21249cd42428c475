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
	known map[data.GUN]known
}

// known is the verified state of one repository, and when it was confirmed.
type known struct {
	index   *index
	pins    string // the pins it was verified under
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
	return &Verifier{opts: opts, known: map[data.GUN]known{}}
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

// index gives the verified state of a repository: from memory while it is
// good, else by one shared round of requests.
func (v *Verifier) index(ctx context.Context, gun data.GUN, s Scope) (*index, error) {
	pins := fmt.Sprintf("%q %q", s.CertIDs, s.RootKeys)
	v.mu.Lock()
	kept, ok := v.known[gun]
	v.mu.Unlock()
	if ok && kept.pins == pins && v.opts.Now().Sub(kept.checked).Abs() < v.opts.Refresh {
		return kept.index, nil
	}
	flight := v.flights.DoChan(string(gun)+" "+pins, func() (any, error) {
		// The round serves every waiting question, so no single one may end it.
		return v.refresh(context.WithoutCancel(ctx), gun, s, pins)
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
// else from the cache.
func (v *Verifier) refresh(ctx context.Context, gun data.GUN, s Scope, pins string) (*index, error) {
	cache := openCache(v.opts.CacheDir, gun)
	kept, err := cache.read()
	if err != nil {
		v.opts.Log.Warn("the trust cache is unreadable and starts anew", "gun", gun, "error", err)
	}
	index, err := v.fromServers(ctx, gun, s, cache, kept)
	if unanswered(err) {
		if cached, cacheErr := v.load(ctx, gun, s, kept, cache, kept); cacheErr == nil {
			v.opts.Log.Warn("trust server does not answer; the cached copy serves", "gun", gun, "error", err)
			index, err = cached, nil
			index.source = trust.Cache
		}
	}
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[gun] = known{index: index, pins: pins, checked: v.opts.Now()}
	return index, nil
}

// fromServers asks the scope's servers in order until one answers, yes or no.
func (v *Verifier) fromServers(ctx context.Context, gun data.GUN, s Scope, cache cache, kept copyOf) (*index, error) {
	client, err := v.clients.get(s.CA, v.opts.Timeout)
	if err != nil {
		return nil, &trust.Error{Reason: trust.Unreachable, Err: err}
	}
	var errs []error
	for _, base := range s.Servers {
		src := &server{base: strings.TrimSuffix(base, "/"), gun: gun, client: client, kept: kept}
		index, err := v.load(ctx, gun, s, src, cache, kept)
		if err == nil {
			index.source = trust.Server
			return index, nil
		}
		if !unanswered(err) {
			return nil, err
		}
		errs = append(errs, err)
	}
	switch len(errs) {
	case 0:
		return nil, &trust.Error{Reason: trust.Unreachable, Err: errors.New("the policy names no trust server")}
	case 1:
		return nil, errs[0]
	default:
		for i, err := range errs {
			errs[i] = errors.Unwrap(err) // the reason is the same for all, and stands once
		}
		return nil, &trust.Error{Reason: trust.Unreachable, Err: errors.Join(errs...)}
	}
}

func unanswered(err error) bool {
	refused := new(trust.Error)
	return errors.As(err, &refused) && refused.Inconclusive()
}
