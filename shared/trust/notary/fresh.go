package notary

import (
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/theupdateframework/notary/tuf/data"
)

// noticeable is a difference between two clocks that is worth a word.
const noticeable = time.Minute

// fresh checks the base roles' expiry. TUF 1.0.31, 5.3.10, 5.4.4, 5.5.6 and
// 5.6.5; the scope's allowance is for an air gap and excuses only timestamp
// and snapshot, whose one purpose is to show that an answer is recent.
func (x *index) fresh(now time.Time, s Scope) error {
	for _, name := range data.BaseRoles {
		until, ends := s.goodUntil(name, x.base[name])
		if ends && now.After(until) {
			return x.expired(name, x.base[name], now)
		}
	}
	return nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// expired refuses, and tells a clock that is wrong from metadata that is old.
func (x *index) expired(name data.RoleName, until, now time.Time) error {
	err := &trust.Error{Reason: trust.Expired, Role: string(name), Err: fmt.Errorf("it was good until %s", until.UTC().Format(time.RFC3339))}
	theirs := now.Add(x.skew)
	switch {
	case x.source == trust.Cache:
		err.Err = fmt.Errorf("%w, and no trust server answers with a newer one", err.Err)
	case x.source == trust.Bundle:
		err.Next = "import a newer bundle of it (docker stig trust export, where its trust server answers), or give it more time under allow-expired in the policy"
	case x.skew.Abs() > noticeable && !theirs.After(until):
		err.Err = fmt.Errorf("%w; this machine's clock says %s, and the trust server's %s", err.Err, now.UTC().Format(time.RFC3339), theirs.UTC().Format(time.RFC3339))
		err.Next = "set the clock of this machine, or the trust server's, right"
	case now.Equal(x.seen):
		err.Err = fmt.Errorf("%w; this machine's clock has been set back: it stood at %s when trust data was last verified", err.Err, now.UTC().Format(time.RFC3339))
		err.Next = "set the clock right; if it was wrong then and is right now, remove this repository's file from the trust cache"
	}
	return err
}

// goodUntil is when a base role ends to be accepted under the scope, if ever.
func (s Scope) goodUntil(name data.RoleName, expires time.Time) (until time.Time, ends bool) {
	if name != data.CanonicalTimestampRole && name != data.CanonicalSnapshotRole {
		return expires, true
	}
	if s.AllowExpired == Unbounded {
		return time.Time{}, false
	}
	return expires.Add(s.AllowExpired), true
}

// expires is when the first of the base roles ends to be accepted.
func (x *index) expires(s Scope) time.Time {
	var first time.Time
	for name, expires := range x.base {
		until, ends := s.goodUntil(name, expires)
		if ends && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// renewBy is when the first of the roles expires that somebody has to see to,
// if that is soon. A server that answers renews timestamp and snapshot itself.
func (x *index) renewBy(consulted []data.RoleName, s Scope, now time.Time) time.Time {
	var first time.Time
	note := func(at time.Time) {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	for name, expires := range x.base {
		until, ends := s.goodUntil(name, expires)
		renewed := x.source == trust.Server && (name == data.CanonicalTimestampRole || name == data.CanonicalSnapshotRole)
		if ends && !renewed {
			note(until)
		}
	}
	for _, name := range consulted {
		note(x.roles[name].expires)
	}
	if first.Sub(now) > trust.Soon {
		return time.Time{}
	}
	return first.UTC()
}
