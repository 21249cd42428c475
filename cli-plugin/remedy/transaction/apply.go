package transaction

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// Apply makes the changes of a journal, with the lock in hand. Its error is a
// *RolledBack once a change may have been made. check says whether what was
// wanted is so now.
func (r Runner) Apply(ctx context.Context, j *Journal, check func(context.Context) error, last []Last) error {
	j.Version, j.Phase, j.Begun = journalVersion, Applying, r.Now().UTC()
	if err := r.Store.begin(j); err != nil {
		return err
	}
	err := r.carryOut(ctx, j)
	if err == nil && check != nil {
		r.Talk("Checking again.")
		err = r.settled(ctx, j, check)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = r.finish(j, Applied)
		if kept, readErr := r.Store.Read(j.ID); err != nil && readErr == nil && kept.Phase == Applied {
			return fmt.Errorf("all is changed, but whether that outlives a power cut is unknown: %w; docker stig undo %s takes it back", err, j.ID)
		}
	}
	if err != nil {
		return r.giveUp(ctx, j, err)
	}
	return r.last(ctx, j, last)
}

// settled checks until what was wanted is so, for a while: an engine that was
// told to read its file again acts on it by and by.
func (r Runner) settled(ctx context.Context, j *Journal, check func(context.Context) error) error {
	until := r.Now().Add(settleWithin)
	for {
		err := check(ctx)
		if err == nil || j.Tell != change.Reload || r.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(lookEvery):
		}
	}
}

// giveUp takes back what was begun. A person who interrupts wants that, too.
func (r Runner) giveUp(ctx context.Context, j *Journal, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backWithin)
	defer cancel()
	r.Talk("It did not work out. Rolling back.")
	j.Why = why.Error()
	return &RolledBack{Why: why, Left: r.takeBack(ctx, j, TakenBack)}
}

// carryOut makes the changes; giveUp takes back what was made of them.
func (r Runner) carryOut(ctx context.Context, j *Journal) error {
	if err := r.validate(ctx, j); err != nil {
		return err
	}
	if err := r.changeFiles(ctx, j); err != nil {
		return err
	}
	if err := r.tell(ctx, j); err != nil {
		return err
	}
	for i := range j.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.changeOther(ctx, j, &j.Steps[i]); err != nil {
			return fmt.Errorf("%s: %w", j.Steps[i].Subject, err)
		}
	}
	return nil
}

// validate has the engine itself judge its new daemon.json beforehand, or the
// one that it is restarted with as it is, and wants to be able to restart it
// where that is needed.
func (r Runner) validate(ctx context.Context, j *Journal) error {
	if j.Dockerd == nil {
		return nil
	}
	if j.Tell == change.Restart {
		if err := r.Engine(j.Dockerd).CanRestart(); err != nil {
			return err
		}
	}
	for i, step := range j.Steps {
		if step.Config && step.After.Exists {
			return r.Engine(j.Dockerd).Validate(ctx, r.Store.planned(j.ID, i))
		}
	}
	if j.Tell == change.Restart {
		return r.Engine(j.Dockerd).Validate(ctx, "")
	}
	return nil
}

// changeFiles puts every file in its new state, unless others have changed it.
func (r Runner) changeFiles(ctx context.Context, j *Journal) error {
	for _, step := range j.Steps {
		if step.Path == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		now, err := disk.Look(step.Path)
		if err != nil {
			return err
		}
		if !now.Same(step.Before) {
			return fmt.Errorf("%s was changed since the plan was made: run the fix again", step.Path)
		}
		for _, folder := range step.Folders {
			if err := r.Store.writer(j.ID).MakeFolder(folder, 0o755); err != nil {
				return err
			}
		}
		if err := r.Store.writer(j.ID).Put(step.Path, step.After); err != nil {
			return err
		}
		r.Talk("Changed " + step.Path)
	}
	return nil
}

// tell has others act on changed files: systemd, the audit system, and the
// engine, once. The journal says so first.
func (r Runner) tell(ctx context.Context, j *Journal) error {
	if len(j.Then) == 0 && j.Tell == change.None {
		return nil
	}
	j.Told = true
	if err := r.Store.write(j); err != nil {
		return err
	}
	if err := r.then(ctx, j); err != nil {
		return err
	}
	switch j.Tell {
	case change.Reload:
		r.Talk("The engine reads its configuration again.")
		if err := r.Engine(j.Dockerd).Reload(ctx); err != nil {
			return err
		}
	case change.Restart:
		r.Talk("Restarting the engine.")
		if err := r.Engine(j.Dockerd).Restart(ctx); err != nil {
			return err
		}
	case change.None, change.Recreate:
		return nil
	}
	return r.Engine(j.Dockerd).Up(ctx)
}

// changeOther changes a document, or runs a program that can be taken back.
func (r Runner) changeOther(ctx context.Context, j *Journal, step *Step) error {
	switch {
	case len(step.Run) > 0:
		return r.run(ctx, j, step)
	case step.Target == "":
		return nil
	}
	document, err := r.Documents(step.Target)
	if err != nil {
		return err
	}
	now, err := document.Read(ctx)
	if err != nil {
		return fmt.Errorf("reading it once more before it is changed: %w", err)
	}
	switch {
	case document.Same(now, step.After.Bytes):
		return nil
	case !document.Same(now, step.Before.Bytes):
		return errors.New("it was changed since the plan was made: run the fix again")
	}
	if err := r.begin(j, step); err != nil {
		return err
	}
	if err := put(ctx, document, step, now, step.After.Bytes); err != nil {
		return err
	}
	r.Talk("Changed " + step.Subject)
	return nil
}

func (r Runner) begin(j *Journal, step *Step) error {
	step.Begun = true
	return r.Store.write(j)
}

// put notes what a document is after an upload that failed, so that it can be
// told from what others make of it.
func put(ctx context.Context, document Document, step *Step, before, after []byte) error {
	err := document.Put(ctx, before, after)
	if err == nil {
		return nil
	}
	if left, readErr := document.Read(context.WithoutCancel(ctx)); readErr == nil {
		step.Left = disk.Sum(left)
	}
	return err
}

// last makes the changes that cannot be taken back. Those before one that
// fails stay made, as does all else.
func (r Runner) last(ctx context.Context, j *Journal, last []Last) error {
	for _, l := range last {
		if err := l.Do(ctx); err != nil {
			return fmt.Errorf("%s: %w; all other changes stay made (docker stig undo %s takes them back)", l.Title, err, j.ID)
		}
		r.Talk("Done: " + l.Title)
		j.Done = append(j.Done, l.Title)
		if err := r.Store.write(j); err != nil {
			return err
		}
	}
	return nil
}

func (r Runner) finish(j *Journal, phase Phase) error {
	done := *j
	done.Phase, done.Ended = phase, r.Now().UTC()
	if err := r.Store.write(&done); err != nil {
		return fmt.Errorf("writing down that it is done: %w", err)
	}
	*j = done
	return nil
}

// then runs what makes changed files count.
func (r Runner) then(ctx context.Context, j *Journal) error {
	for _, then := range j.Then {
		if err := r.Program(ctx, words(then)); err != nil {
			return err
		}
	}
	return nil
}
