package admission

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// A Judged container is one that Container was asked about.
type Judged struct {
	Container engine.Container // with no more than its ID if the engine did not tell
	Admitted  Admitted
	Err       error // why it may not run, or why that could not be found out
}

// judging bounds how many containers are judged at the same time, so that the
// engine has time for others.
const judging = 4

// All judges every container there is, running or not, in the order the engine
// lists them. An error about one keeps none of the others from being judged;
// those that go away meanwhile are left out. The error says that there is no
// list, or that time was up before all of it was judged.
func (j *Judge) All(ctx context.Context) ([]Judged, error) {
	ids, err := j.Engine.ContainerIDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for its containers: %w", err)
	}
	judged := make([]Judged, len(ids))
	gone := make([]bool, len(ids))
	var group errgroup.Group
	group.SetLimit(judging)
	for i, id := range ids {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			judged[i], gone[i] = j.one(ctx, id)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("judging %d containers: %w", len(ids), err)
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
func (j *Judge) one(ctx context.Context, id string) (judged Judged, gone bool) {
	c, err := engine.Exactly(ctx, j.Engine, id)
	if errors.Is(err, engine.ErrNotFound) {
		return Judged{}, true
	}
	if err != nil {
		return Judged{Container: engine.Container{ID: id}, Err: err}, false
	}
	admitted, err := j.Container(ctx, c)
	return Judged{Container: c, Admitted: admitted, Err: err}, false
}
