package notary

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf/data"
)

const (
	// hedge is how long a server may be silent before the next is asked
	// beside it.
	hedge = 500 * time.Millisecond
	// suspicion is how long a server that did not answer is asked last.
	suspicion = 30 * time.Second
	// retrial is how long one is waited for that failed before that.
	retrial = 100 * time.Millisecond
)

// A health remembers which servers did not answer, so that a dead one costs no
// later question any time. Servers are few: the policy names them.
type health struct {
	mu    sync.Mutex
	since map[string]time.Time // of those that failed, by base URL
	known map[string]bool      // those that have answered before
}

// A turn is a server to ask, and how long it is waited for before the next is
// asked beside it.
type turn struct {
	base string
	wait time.Duration
}

// turns orders servers: as the policy has them, those that just failed last.
// One that failed a while ago has its place again, and less time.
func (h *health) turns(servers []string, now time.Time) []turn {
	h.mu.Lock()
	defer h.mu.Unlock()
	var turns, suspects []turn
	for _, base := range servers {
		failed, has := h.since[base]
		switch {
		case !has:
			turns = append(turns, turn{base, hedge})
		case now.Sub(failed).Abs() < suspicion:
			suspects = append(suspects, turn{base, 0})
		default:
			turns = append(turns, turn{base, retrial})
		}
	}
	return append(turns, suspects...)
}

func (h *health) failed(base string, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since == nil {
		h.since = map[string]time.Time{}
	}
	h.since[base] = now
}

func (h *health) answered(base string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.since, base)
	if h.known == nil {
		h.known = map[string]bool{}
	}
	h.known[base] = true
}

// met reports whether a server has answered before, so that there is likely to
// be a connection to it.
func (h *health) met(base string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known[base]
}

// errNoServer is the silence of a scope that names nobody to ask.
var errNoServer = &trust.Error{
	Reason: trust.Unreachable, Err: errors.New("the policy names no trust server for it, and no bundle of it was imported"),
	Next: "import a bundle with docker stig trust import, or name its server under notary.servers in the policy",
}

// A reply is what came of asking one server.
type reply struct {
	reading
	turn int
	err  error
}

// fromServers asks the scope's servers until one gives metadata that verifies
// and is fresh. One that serves anything else does not keep the next from being
// asked, and is reported: it may be a mirror that was rolled back.
func (v *Verifier) fromServers(ctx context.Context, gun data.GUN, s Scope, kept copyOf, before *index) (reading, error) {
	if len(s.Servers) == 0 {
		return reading{}, errNoServer
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // those still being asked when another has answered
	turns := v.health.turns(s.Servers, v.opts.Now())
	replies, got := make(chan reply, len(turns)), make([]reply, len(turns))
	asked, answered := 0, 0
	overdue := time.NewTimer(0) // for nobody: the first is asked at once
	defer overdue.Stop()
	for answered < len(turns) {
		select {
		case <-overdue.C:
			if asked > 0 {
				v.health.failed(turns[asked-1].base, v.opts.Now())
			}
		case r := <-replies:
			got[r.turn] = r
			answered++
			v.note(ctx, gun, s, turns[r.turn].base, r)
			if v.good(r, s) {
				return r.reading, nil
			}
			if r.turn != asked-1 {
				continue // the next is being asked already
			}
		}
		if asked == len(turns) {
			continue
		}
		go func(turn int) {
			read, err := v.fromServer(ctx, turns[turn].base, gun, s, kept, before)
			replies <- reply{read, turn, err}
		}(asked)
		overdue.Reset(turns[asked].wait)
		asked++
	}
	return conclude(got)
}

// good reports whether a reply settles the matter.
func (v *Verifier) good(r reply, s Scope) bool {
	return r.err == nil && r.index.fresh(latest(v.opts.Now(), r.index.seen), s) == nil
}

// note remembers whether a server answered, and reports one that is tried past.
func (v *Verifier) note(ctx context.Context, gun data.GUN, s Scope, base string, r reply) {
	switch {
	case ctx.Err() != nil: // we hung up, not it
	case unanswered(r.err):
		v.health.failed(base, v.opts.Now())
	default:
		v.health.answered(base)
		if r.err != nil && len(s.Servers) > 1 {
			v.opts.Log.Warn("a trust server gives what cannot be accepted; others are asked", "server", base, "gun", gun, "error", r.err)
		}
	}
}

// conclude chooses among replies of which none was good: the first that says
// anything, in the order the servers were asked.
func conclude(replies []reply) (reading, error) {
	var errs []error
	for _, r := range replies {
		if !unanswered(r.err) {
			return r.reading, r.err
		}
		errs = append(errs, r.err)
	}
	if len(errs) == 1 {
		return reading{}, errs[0]
	}
	for i, err := range errs {
		errs[i] = errors.Unwrap(err) // the reason is the same for all, and stands once
	}
	return reading{}, &trust.Error{Reason: trust.Unreachable, Err: errors.Join(errs...)}
}

// fromServer verifies what one server gives. While its timestamp is the one
// that was verified before, nothing else has changed.
func (v *Verifier) fromServer(ctx context.Context, base string, gun data.GUN, s Scope, kept copyOf, before *index) (read reading, err error) {
	defer v.recovered(gun, &read, &err)
	client, err := v.opts.Clients.TrustServer(base, s.CA, string(gun))
	if err != nil {
		return reading{}, &trust.Error{Reason: trust.Unreachable, Err: err, Next: "name a readable PEM file under notary.ca in the policy"}
	}
	src := &server{base: strings.TrimSuffix(base, "/"), gun: gun, client: client, kept: kept}
	switch {
	case before != nil && src.unchanged(ctx, before.timestamp):
		same := before.from(trust.Server)
		if now := latest(v.opts.Now(), kept.Seen); same.fresh(now, Scope{}) == nil {
			same.seen = now
		}
		return reading{index: same, kept: kept.confirmed(same.seen)}, nil
	case len(kept.Roots) == 0:
		src.fetchAhead(ctx, v.health.met(base), append(slices.Clone(data.BaseRoles), s.needs()...)...)
	}
	read, err = v.load(ctx, gun, s, src, kept)
	if err != nil {
		return reading{}, err
	}
	read.index.source = trust.Server
	read.index.skew = src.skew(v.opts.Now())
	return read, nil
}
