package notary

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// interest is for how long after its last question a repository is kept
	// fresh; a question after that waits for one round.
	interest = 15 * time.Minute
	// background bounds the rounds that nobody waits for.
	background = 4
	// minTick is how often Run looks around at most.
	minTick = 100 * time.Millisecond
)

// Run renews what questions have been asked about, before it has grown too old
// to answer them, until ctx is done: then questions find their answer in
// memory, whatever the servers do. Without a Refresh interval it only waits.
func (v *Verifier) Run(ctx context.Context) {
	if v.opts.Refresh <= 0 {
		<-ctx.Done()
		return
	}
	// A repository is due after three quarters of its time, and looked at
	// every eighth: no question finds it too old.
	ticker := time.NewTicker(max(minTick, v.opts.Refresh/8))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			v.renew(ctx, v.opts.Refresh*3/4)
		}
	}
}

// Stats tells what is kept in memory.
func (v *Verifier) Stats() Stats { return v.memory.stats() }

// renew starts a round for every repository that was found out about longer
// ago than age, and waits for them. What comes of it, questions are told.
func (v *Verifier) renew(ctx context.Context, age time.Duration) {
	now := v.opts.Now()
	var group errgroup.Group
	group.SetLimit(background)
	for key, e := range v.memory.stale(now.Add(-age), now.Add(-interest)) {
		group.Go(func() error {
			if ctx.Err() == nil {
				<-v.round(ctx, key, e.gun, e.scope)
			}
			return nil
		})
	}
	_ = group.Wait() // a round's error is kept for whoever asks
}
