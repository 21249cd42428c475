package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// A Judged container is one that Container was asked about.
type Judged struct {
	Container engine.Container // as the engine lists it if it told no more
	Admitted  Admitted
	Err       error // why it may not run, or why that could not be found out
}

const (
	// judging bounds how many containers are judged at the same time, so that
	// the engine has time for others.
	judging = 4
	// prompt is when a container that is still being judged ceases to count
	// there: it waits for an answer and costs nobody anything. Anybody may
	// keep the engine from telling of a container, by reading no more of what
	// he copies from it, and of as many as he likes.
	prompt = 250 * time.Millisecond
	// waiting bounds how many wait.
	waiting = 64
	// oneWithin is when an answer about one container is waited for no longer:
	// twice the time of the plugin's decisions.
	oneWithin = 10 * time.Second
)

// All judges every container there is, running or not, in the order the engine
// lists them. What is wrong with one, or keeps the engine from telling of it,
// keeps none of the others from being judged; when time is up, the rest has
// that for an error. Containers that go away meanwhile are left out. The error
// says that there is no list, or that nobody wants it any more.
func (j *Judge) All(ctx context.Context) ([]Judged, error) {
	listed, err := j.Engine.Containers(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for its containers: %w", err)
	}
	judged := make([]Judged, len(listed))
	gone := make([]bool, len(listed))
	places := make(chan struct{}, judging)
	var group errgroup.Group
	group.SetLimit(waiting)
	for i := range listed {
		places <- struct{}{} // soon: whoever has a place gives it back
		group.Go(func() error {
			leave := sync.OnceFunc(func() { <-places })
			defer leave()
			defer time.AfterFunc(prompt, leave).Stop()
			judged[i], gone[i] = j.one(ctx, listed[i])
			return nil
		})
	}
	_ = group.Wait() // each keeps its own
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("judging %d containers: %w", len(listed), err)
	}
	var list []Judged
	for i, one := range judged {
		if !gone[i] {
			list = append(list, one)
		}
	}
	return list, nil
}

// one judges one container, unless it is gone.
func (j *Judge) one(ctx context.Context, listed engine.Container) (judged Judged, gone bool) {
	ctx, cancel := context.WithTimeout(ctx, oneWithin)
	defer cancel()
	c, err := engine.Exactly(ctx, j.Engine, listed.ID)
	if errors.Is(err, engine.ErrNotFound) {
		return Judged{}, true
	}
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("the engine did not tell of it in time; it cannot while somebody holds the container, for instance by a docker cp that does not go on: %w", err)
	}
	if err != nil {
		return Judged{Container: listed, Err: err}, false
	}
	admitted, err := j.Container(ctx, c)
	return Judged{Container: c, Admitted: admitted, Err: err}, false
}
