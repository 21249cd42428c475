package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/metrics"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

const (
	// sweepTimeout bounds one look at all containers.
	sweepTimeout = 10 * time.Minute
	// sweepPause is between two looks at the least: trust in many repositories
	// may change at once.
	sweepPause = 5 * time.Second
	// sweepRetry is when a look is tried again that came to nothing: the
	// engine starts, or does not answer.
	sweepRetry = 30 * time.Second
)

// sweeps judges what runs, again and again until ctx is done: when the daemon
// starts, on the policy's timer, and after each change of trust or policy. The
// first one gives those containers an approval that were there before the
// plugin and are accepted.
func (l *loader) sweeps(ctx context.Context) {
	known := map[string]string{}
	for {
		ok := l.sweep(ctx, known)
		if !sleep(ctx, sweepPause) {
			return
		}
		wait := l.untilNextSweep(ok)
		select {
		case <-ctx.Done():
			return
		case <-l.changed:
		case <-wait:
		}
	}
}

// untilNextSweep is a channel that says when the timer wants a sweep; nil is
// never.
func (l *loader) untilNextSweep(ok bool) <-chan time.Time {
	f := l.inForce.Load()
	if f == nil {
		return nil
	}
	if !ok {
		return time.After(sweepRetry)
	}
	if every := time.Duration(f.Sweep.Every); every > 0 {
		return time.After(every)
	}
	return nil
}

// sweep judges every container and says which of those that run would be
// refused now: of each once, until the reason changes. It stops them only if
// the policy enforces and says so, and never for want of an answer. It ends
// when another policy is in force: that one has a sweep of its own.
func (l *loader) sweep(ctx context.Context, known map[string]string) bool {
	f := l.inForce.Load()
	if f == nil || f.settings.Mode == policy.Disabled {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	listed := time.Now()
	judged, err := f.judgeAll(ctx)
	if f.current.Err() != nil {
		return true
	}
	if err != nil {
		if ctx.Err() == nil {
			l.log.Warn("what runs could not be judged", "error", err)
		}
		l.swept.Store(&metrics.Sweep{At: listed})
		return false
	}
	result := metrics.Sweep{At: listed, OK: true}
	ids := make([]string, 0, len(judged))
	for _, one := range judged {
		if f.current.Err() != nil {
			return true
		}
		ids = append(ids, one.Container.ID)
		if one.Err == nil || !one.Container.Running {
			delete(known, one.Container.ID)
			continue
		}
		conclusive := admission.Conclusive(one.Err)
		if conclusive {
			result.Refused++
		} else {
			result.OK = false
		}
		l.tell(ctx, f, one, conclusive, known)
	}
	maps.DeleteFunc(known, func(id, _ string) bool { return !slices.Contains(ids, id) })
	l.approvals.Keep(ids, listed)
	l.swept.Store(&result)
	return true
}

// judgeAll judges every container as long as the policy is in force.
func (f *force) judgeAll(ctx context.Context) ([]admission.Judged, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.current, cancel)()
	return f.settings.Judge.All(ctx)
}

// tell logs what was found out about a container that runs, and stops it if
// that is what the policy wants.
func (l *loader) tell(ctx context.Context, f *force, one admission.Judged, conclusive bool, known map[string]string) {
	c := one.Container
	attrs := []any{"container", c.ID, "name", c.Name, "image", c.ImageName, "reason", one.Err.Error()}
	stop := conclusive && f.settings.Mode == policy.Enforced && f.Sweep.Action == policy.SweepStop
	if known[c.ID] != one.Err.Error() || stop {
		known[c.ID] = one.Err.Error()
		if conclusive {
			l.log.Warn("a container runs that would be refused now", attrs...)
		} else {
			l.log.Warn("a container runs that could not be judged", attrs...)
		}
	}
	if !stop {
		return
	}
	if err := f.settings.Judge.Engine.StopContainer(ctx, c.ID); err != nil {
		l.log.Error("a container that would be refused could not be stopped", "container", c.ID, "error", err)
		return
	}
	l.log.Warn("stopped a container that would be refused now", attrs...)
}

// sleep waits, and reports whether ctx is not done.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
