package transaction

import (
	"context"
	"errors"
	"fmt"
)

// run runs a program, unless what it does is so already: that is others' then,
// and is not taken back.
func (r Runner) run(ctx context.Context, j *Journal, step *Step) error {
	done, err := r.done(ctx, step)
	if err != nil || done {
		return err
	}
	if err := r.begin(j, step); err != nil {
		return err
	}
	return r.Program(ctx, step.Run)
}

// programBack takes back what a program did. Whether it did anything before it
// failed or was killed, and whether others have taken that back since, only the
// machine knows. One that cannot be taken back is not left in silence, and can
// be let be: else it would be in the way of every transaction to come.
func (r Runner) programBack(ctx context.Context, j *Journal, step *Step) error {
	if len(step.Run) == 0 || !step.Begun {
		return nil
	}
	done, err := r.done(ctx, step)
	if err == nil && done {
		err = r.Program(ctx, step.Back)
	}
	switch {
	case err == nil:
		step.Begun = false
		return nil
	case j.leave:
		step.Kept = true
		r.Talk(fmt.Sprintf("%s could not be taken back, and stays as it is: %v", step.Subject, err))
		return nil
	}
	return fmt.Errorf("it cannot be taken back: %w: take it back by hand, or leave it as it is: docker stig undo --leave-changed %s", err, j.ID)
}

// done reports whether what a program does is so. A program that does not say
// how that is seen counts as done from when it was begun.
func (r Runner) done(ctx context.Context, step *Step) (bool, error) {
	if len(step.Done) == 0 {
		return step.Begun, nil
	}
	err := r.Program(ctx, step.Done)
	var ended interface{ ExitCode() int } // os/exec's; below 0 for one that was killed
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &ended) && ended.ExitCode() > 0:
		return false, nil
	}
	return false, fmt.Errorf("whether it is done cannot be told: %w", err)
}
