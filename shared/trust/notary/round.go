package notary

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf/data"
	"golang.org/x/sync/singleflight"
)

// round finds out about a repository afresh, once for all who wait for it.
func (v *Verifier) round(ctx context.Context, key string, gun data.GUN, s Scope) <-chan singleflight.Result {
	return v.flights.DoChan(key, func() (any, error) {
		// It serves every waiting question, so no single one may end it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxRound)
		defer cancel()
		now := v.opts.Now()
		before := v.memory.verified(key)
		read, unsaved, err := v.refresh(ctx, gun, s, func() entry { return v.memory.verified(key) })
		found := entry{gun: gun, scope: s, index: read.index, err: err, unsaved: unsaved, checked: now, asked: now}
		if v.opts.Refresh > 0 || unsaved.GUN != "" {
			v.memory.put(key, found)
		}
		if before.changed(found) {
			v.opts.Changed(gun.String())
		}
		if err != nil {
			return nil, err
		}
		return read.index, nil
	})
}

// maxOvertaken is how often a round is tried when another one, here or in
// another process, has seen newer data by the time it ends.
const maxOvertaken = 3

// refresh verifies a repository afresh: from the first server that gives what
// can be accepted, else, if none answers, from what was verified before.
// Beside it comes what could not be kept on disk.
func (v *Verifier) refresh(ctx context.Context, gun data.GUN, s Scope, known func() entry) (reading, copyOf, error) {
	cache := openCache(v.opts.CacheDir, gun)
	for range maxOvertaken {
		before := known()
		kept, err := v.remembered(cache, before)
		if err != nil {
			return reading{}, copyOf{}, err
		}
		read, err := v.fromServers(ctx, gun, s, kept, before.unchanged(kept))
		if unanswered(err) {
			cached, cacheErr := v.fromCache(ctx, gun, s, kept)
			if cacheErr != nil {
				return reading{}, copyOf{}, kept.silence(err, cacheErr)
			}
			if len(s.Servers) > 0 {
				v.opts.Log.Warn("trust server does not answer; the cached copy serves", "gun", gun, "error", err)
			}
			return cached, before.unsaved, nil
		}
		if err != nil {
			return reading{}, copyOf{}, err
		}
		if !read.kept.differs(kept) && before.unsaved.GUN == "" && v.opts.CacheDir != "" {
			return read, copyOf{}, nil
		}
		switch err := cache.write(read.kept); {
		case err == nil && v.opts.CacheDir != "":
			return read, copyOf{}, nil
		case errors.Is(err, errOvertaken):
			continue
		case err != nil:
			v.opts.Log.Warn("cannot keep verified trust data; a restart forgets the versions seen", "gun", gun, "error", err)
		}
		read.kept.GUN = gun
		return read, read.kept, nil
	}
	return reading{}, copyOf{}, refuse(trust.Rollback, "", fmt.Errorf("the trust server gives older data of %s than it gave to others meanwhile", gun))
}

// silence is the error when no server answers and what was kept does not
// serve. Of a bundle, which no server stands behind, that is the answer.
func (kept copyOf) silence(err, cacheErr error) error {
	silent := new(trust.Error)
	if len(kept.Roots) == 0 || !errors.As(err, &silent) {
		return err
	}
	if kept.Source == trust.Bundle {
		return cacheErr
	}
	answer := *silent
	answer.Err = fmt.Errorf("%w; and the copy kept here does not serve: %w", silent.Err, cacheErr)
	return &answer
}

// remembered is what was verified of a repository before, by this process or
// by another on the same cache. A damaged file starts anew; one that cannot be
// read just now leaves the question open, for it may know better.
func (v *Verifier) remembered(cache cache, before entry) (copyOf, error) {
	kept, err := cache.read()
	if errors.Is(err, errCorrupt) {
		v.opts.Log.Warn("the trust cache is unreadable and starts anew", "gun", cache.gun, "error", err)
	} else if err != nil {
		return copyOf{}, &trust.Error{Reason: trust.Unreachable, Err: fmt.Errorf("what was verified before cannot be read: %w", err), Next: "see to the folder of the trust cache"}
	}
	return before.unsaved.newer(kept), nil
}

// fromCache verifies what was verified before as if a server had given it.
func (v *Verifier) fromCache(ctx context.Context, gun data.GUN, s Scope, kept copyOf) (read reading, err error) {
	defer v.recovered(gun, &read, &err)
	read, err = v.load(ctx, gun, s, kept, kept)
	if err != nil {
		return reading{}, err
	}
	read.index.source = trust.Cache
	if kept.Source == trust.Bundle {
		read.index.source = trust.Bundle
	}
	return read, nil
}

// recovered turns a panic into a refusal: the bytes come from outside.
func (v *Verifier) recovered(gun data.GUN, read *reading, err *error) {
	if broken := recover(); broken != nil {
		v.opts.Log.Error("reading trust data failed; please report this", "gun", gun, "panic", broken)
		*read, *err = reading{}, &trust.Error{Reason: trust.BadSignature, Err: fmt.Errorf("the trust data cannot be read: %v", broken)}
	}
}
