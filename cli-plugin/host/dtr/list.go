package dtr

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/sync/errgroup"
)

// A Listing is one repository with its tags, or why they could not be read.
type Listing struct {
	Repository Repository
	Tags       []Tag // in DTR's order
	Err        error // of this repository alone; then there are no tags
}

// ListTags reads the tags of every repository that the account sees, as many
// repositories at a time as Options.Parallel allows, and yields them in the order of the repositories.
// Only a few repositories are held at once. A repository that cannot be read
// is yielded with its error, and the rest follow. An error beside an empty
// Listing is the last thing yielded: the list of repositories itself ended
// there, and what came before is not all.
func (c *Client) ListTags(ctx context.Context) iter.Seq2[Listing, error] {
	return func(yield func(Listing, error) bool) {
		asking, cancel := context.WithCancel(ctx)
		queue := make(chan pending, 2*c.conn.Parallel()) // answered or being asked; the slowest must not stop the others at once
		var producer errgroup.Group
		producer.Go(func() error { c.produce(asking, queue); return nil })
		defer func() {
			cancel()
			_ = producer.Wait() // gives no error; nothing is left behind
		}()
		for next := range queue {
			answer := <-next
			if !yield(answer.listing, answer.err) || answer.err != nil {
				return
			}
		}
		if ctx.Err() != nil { // the producer may have stopped without a word
			yield(Listing{}, fmt.Errorf("listing the repositories of DTR was given up: %w", ctx.Err()))
		}
	}
}

// pending is a Listing to come.
type pending chan result

type result struct {
	listing Listing
	err     error // of the list of repositories
}

// produce queues a place for each repository in order, and fills the places
// as answers come. It closes the queue once every question has ended.
func (c *Client) produce(ctx context.Context, queue chan<- pending) {
	var readers errgroup.Group
	readers.SetLimit(c.conn.Parallel()) // more would wait for their turn anyway
	defer close(queue)
	defer readers.Wait() //nolint:errcheck // the readers give no error
	for repository, err := range c.Repositories(ctx) {
		place := make(pending, 1)
		select {
		case queue <- place:
		case <-ctx.Done():
			return
		}
		if err != nil {
			place <- result{err: err}
			return
		}
		readers.Go(func() error {
			tags, err := c.tags(ctx, repository)
			place <- result{listing: Listing{Repository: repository, Tags: tags, Err: err}}
			return nil
		})
	}
}
