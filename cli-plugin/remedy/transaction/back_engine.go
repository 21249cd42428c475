package transaction

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// tellBack has the engine and others act on what their files were, if they may
// have read anything else.
func (r Runner) tellBack(ctx context.Context, j *Journal) error {
	var errs []error
	if j.Told || j.cutOff { // the machine may have been started since
		errs = append(errs, r.then(ctx, j))
	}
	if j.Tell != change.None {
		errs = append(errs, r.engineBack(ctx, j))
	}
	return errors.Join(errs...)
}

// engineBack tells the engine. One that does not run is started. One that was
// started since has read the files without having been told to, as after a
// power cut; nobody has agreed that it is restarted for that.
func (r Runner) engineBack(ctx context.Context, j *Journal) error {
	e := r.Engine(j.Dockerd)
	since, runs := e.Running(ctx, r.Now())
	if runs && !j.Told && !since.After(j.Begun) {
		return nil
	}
	var err error
	restart := j.Tell == change.Restart
	again := r.AllowRestart && e.CanRestart() == nil // an engine forgets only so what it has read
	switch {
	case !runs, restart && (j.Told || again), j.Sticky && again:
		r.Talk("Restarting the engine.")
		err = e.Restart(ctx)
	case restart:
		r.Talk("The files are as they were. The engine was started while they were not, and acts on what they said then until it is restarted: restart it.")
		return r.pending(j)
	default:
		err = e.Reload(ctx)
		if j.Sticky {
			r.Talk("The files are as they were. The engine keeps what it has read until it is restarted.")
			err = errors.Join(err, r.pending(j))
		}
	}
	if err != nil {
		return fmt.Errorf("the files are as they were, but the engine could not be told: %w: restart it by hand", err)
	}
	return e.Up(ctx)
}

// pending has daemon.json count as changed after the engine started: whoever
// checks is not to take it for what the engine acts on.
func (r Runner) pending(j *Journal) error {
	var errs []error
	for _, step := range j.Steps {
		if step.Config && step.Before.Exists && !step.Kept {
			errs = append(errs, r.Store.writer(j.ID).Touch(step.Path, r.Now()))
		}
	}
	return errors.Join(errs...)
}

// wake starts an engine that does not run, where others' changes keep its files
// from being put back: it would be down until somebody has seen to them.
func (r Runner) wake(ctx context.Context, j *Journal) error {
	if j.Tell == change.None {
		return nil
	}
	e := r.Engine(j.Dockerd)
	if _, runs := e.Running(ctx, r.Now()); runs {
		return nil
	}
	r.Talk("Starting the engine.")
	if err := e.Restart(ctx); err != nil {
		return fmt.Errorf("the engine does not run: %w: start it by hand", err)
	}
	return e.Up(ctx)
}

// socketsBack gives sockets their owner and mode once more: an engine that was
// restarted has made its own anew.
func (r Runner) socketsBack(j *Journal) error {
	var errs []error
	for _, step := range j.Steps {
		if step.Kept || !step.Before.Special {
			continue
		}
		now, err := disk.Look(step.Path)
		if err == nil && now.Special {
			err = r.Store.writer(j.ID).Put(step.Path, step.Before)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
