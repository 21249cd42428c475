package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// Recover takes back every transaction that was cut off, with the lock in
// hand. It is done before anything else is.
func (r Runner) Recover(ctx context.Context) error {
	if err := r.Store.sweep(); err != nil {
		return err
	}
	unfinished, err := r.Store.Unfinished()
	if err != nil {
		return err
	}
	for _, j := range unfinished {
		end := TakenBack
		if j.Phase == Undoing {
			end = Undone
		}
		r.Talk(fmt.Sprintf("Transaction %s of %s was cut off: taking back what it changed.", j.ID, stamp(j.Begun)))
		ctx, cancel := context.WithTimeout(ctx, backWithin)
		err := r.takeBack(ctx, j, end)
		cancel()
		if err != nil {
			return fmt.Errorf("transaction %s was cut off, and cannot be taken back: %w", j.ID, err)
		}
	}
	return nil
}

// Undo takes back a transaction that was made. What others have changed since
// is a *Changed error, unless it is to be kept; then nothing is touched.
func (r Runner) Undo(ctx context.Context, j *Journal, keep bool) error {
	changed, err := r.Changes(ctx, j)
	if err != nil {
		return err
	}
	if len(changed) > 0 && !keep {
		return &Changed{Steps: changed}
	}
	for _, c := range changed {
		j.Steps[c.Index].Kept = true
	}
	j.Phase = Undoing
	if err := r.Store.write(j); err != nil {
		return err
	}
	return r.takeBack(context.WithoutCancel(ctx), j, Undone)
}

// takeBack brings every step back to what was before, as often as it takes,
// and has others act on that.
func (r Runner) takeBack(ctx context.Context, j *Journal, end Phase) error {
	var errs []error
	for i := range slices.Backward(j.Steps) {
		if j.Steps[i].Kept {
			continue
		}
		if err := r.bringBack(ctx, j, &j.Steps[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", j.Steps[i].Subject, err))
		}
	}
	if len(errs) == 0 { // an engine is not told of half a way back
		errs = append(errs, r.tellBack(ctx, j))
	}
	if err := errors.Join(errs...); err != nil {
		j.Why = strings.TrimPrefix(j.Why+"; "+err.Error(), "; ")
		return errors.Join(err, r.Store.write(j))
	}
	return r.finish(j, end)
}

// bringBack restores one step.
func (r Runner) bringBack(ctx context.Context, j *Journal, step *Step) error {
	switch {
	case len(step.Run) > 0 && step.Left == "":
		return nil // it was never run
	case len(step.Run) > 0:
		return r.Program(ctx, step.Back)
	case step.Target != "":
		return r.putBack(ctx, step)
	}
	now, err := disk.Look(step.Path)
	if err != nil {
		return err
	}
	if !ours(now, *step) {
		return fmt.Errorf("others have changed it since. Put %s back by hand, or leave it as it is: docker stig undo --leave-changed %s", r.Store.originalOf(j, *step), j.ID)
	}
	if err := r.Store.writer(j.ID).Put(step.Path, step.Before); err != nil {
		return err
	}
	for _, folder := range slices.Backward(step.Folders) {
		if err := r.Store.writer(j.ID).RemoveFolder(folder); err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether a file stands as a transaction found it, as it left it,
// or on the way between the two, where owner and mode are changed one by one.
func ours(now disk.State, step Step) bool {
	if now.Same(step.Before) || now.Same(step.After) {
		return true
	}
	between := now.SameBytes(step.Before) && now.SameBytes(step.After)
	owner := now.UID == step.Before.UID && now.GID == step.Before.GID || now.UID == step.After.UID && now.GID == step.After.GID
	mode := slices.Contains([]uint32{step.Before.Mode, step.After.Mode, step.Before.Mode & step.After.Mode}, now.Mode)
	return between && owner && mode
}

// putBack restores a document, unless others have changed it since.
func (r Runner) putBack(ctx context.Context, step *Step) error {
	document, err := r.Documents(step.Target)
	if err != nil {
		return err
	}
	now, err := document.Read(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("its state is unknown, because it cannot be read: %w", err)
	case document.Same(now, step.Before.Bytes):
		return nil
	case !document.Same(now, step.After.Bytes) && disk.Sum(now) != step.Left:
		return errors.New("others have changed it since: take back by hand what the plan changed, then docker stig undo --leave-changed")
	}
	return put(ctx, document, step, now, step.Before.Bytes)
}

// tellBack has the engine and others act on what their files were, if they
// had been told of anything else. An engine that has ended is started.
func (r Runner) tellBack(ctx context.Context, j *Journal) error {
	if !j.Told {
		return nil
	}
	errs := []error{r.then(ctx, j)}
	if j.Tell == change.None {
		return errors.Join(errs...)
	}
	e := r.Engine(j.Dockerd)
	_, down := e.Answers(ctx)
	switch again := j.Sticky && r.AllowRestart && e.CanRestart() == nil; {
	case j.Tell == change.Restart, down != nil, again:
		errs = append(errs, e.Restart(ctx))
	default:
		errs = append(errs, e.Reload(ctx))
		if j.Sticky {
			r.Talk("The files are as they were. The engine keeps what it has read until it is restarted.")
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the files are as they were, but the engine could not be told: %w: restart it by hand", err)
	}
	return e.Up(ctx)
}

// A Difference is what others have made of a step since.
type Difference struct {
	Index int // of the step
	Step  Step
	Now   disk.State // of a document, its bytes alone
}

// Text shows the difference, without the lines around it.
func (d Difference) Text() string {
	switch {
	case d.Now.Exists != d.Step.After.Exists:
		return fmt.Sprintf("%s: there: %t, and the transaction left it so: %t\n", d.Step.Subject, d.Now.Exists, d.Step.After.Exists)
	case !d.Now.SameBytes(d.Step.After):
		return change.Diff(d.Step.Subject, "as it was left", "now", d.Step.After.Bytes, d.Now.Bytes)
	}
	return fmt.Sprintf("%s: owner and mode are %s, and were left as %s\n", d.Step.Subject, d.Now.Ownership(), d.Step.After.Ownership())
}

// Changed is the error of an undo that others' changes are in the way of.
type Changed struct{ Steps []Difference }

// Error shows the differences.
func (e *Changed) Error() string {
	var b strings.Builder
	b.WriteString("others have changed since what was to be taken back, and nothing was touched:\n")
	for _, step := range e.Steps {
		b.WriteString(step.Text())
	}
	b.WriteString("Put that back, or give --leave-changed to take back all else")
	return b.String()
}

// Changes are what others have made of a transaction's steps since.
func (r Runner) Changes(ctx context.Context, j *Journal) ([]Difference, error) {
	var changed []Difference
	for i, step := range j.Steps {
		var now disk.State
		var err error
		same := false
		switch {
		case step.Kept, len(step.Run) > 0:
			continue
		case step.Path != "":
			now, err = disk.Look(step.Path)
			same = now.Same(step.Before) || now.Same(step.After) || j.Phase != Applied && ours(now, step)
		default:
			var document Document
			if document, err = r.Documents(step.Target); err == nil {
				now.Exists = true
				now.Bytes, err = document.Read(ctx)
				now.Sum = disk.Sum(now.Bytes)
				same = err == nil && (document.Same(now.Bytes, step.Before.Bytes) || document.Same(now.Bytes, step.After.Bytes) || now.Sum == step.Left)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", step.Subject, err)
		}
		if !same {
			changed = append(changed, Difference{Index: i, Step: step, Now: now})
		}
	}
	return changed, nil
}
