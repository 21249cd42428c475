package transaction

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

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
		j.cutOff = true
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
// is a *Changed error, and nothing is touched, unless it is to be kept; so are
// then the programs that cannot be taken back.
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
	j.cutOff, j.leave = j.Phase != Applied, keep
	j.Phase = Undoing
	if err := r.Store.write(j); err != nil {
		return err
	}
	return r.takeBack(context.WithoutCancel(ctx), j, Undone)
}

// takeBack brings every step back to what was before, as often as it takes,
// and has others act on that. What programs did goes first, because it may need
// the files. Documents go before the engine is told, because a manager that is
// locked when it starts again lets nobody change its swarm; and those
// that an engine has to be up for go last.
func (r Runner) takeBack(ctx context.Context, j *Journal, end Phase) error {
	documents := func(step *Step) error { return r.documentBack(ctx, j, step) }
	_ = r.stepsBack(j, documents) // those that fail are tried again below
	errs := []error{
		r.stepsBack(j, func(step *Step) error { return r.programBack(ctx, j, step) }),
		r.stepsBack(j, func(step *Step) error { return r.fileBack(j, step) }),
	}
	if errors.Join(errs...) == nil {
		errs = append(errs, r.tellBack(ctx, j), r.socketsBack(j))
	} else { // an engine is not told of half a way back
		errs = append(errs, r.wake(ctx, j))
	}
	errs = append(errs, r.stepsBack(j, documents))
	if err := errors.Join(errs...); err != nil {
		j.Why = strings.TrimPrefix(j.Why+"; "+err.Error(), "; ")
		return errors.Join(err, r.Store.write(j))
	}
	return r.finish(j, end)
}

// stepsBack goes through the steps from the last to the first, whatever becomes
// of each.
func (r Runner) stepsBack(j *Journal, back func(*Step) error) error {
	var errs []error
	for i := range slices.Backward(j.Steps) {
		if j.Steps[i].Kept {
			continue
		}
		if err := back(&j.Steps[i]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", j.Steps[i].Subject, err))
		}
	}
	return errors.Join(errs...)
}

// fileBack restores a file, unless others have changed it since.
func (r Runner) fileBack(j *Journal, step *Step) error {
	if step.Path == "" {
		return nil
	}
	now, err := disk.Look(step.Path)
	if errors.Is(err, disk.ErrLink) || err == nil && !ours(now, *step) {
		return fmt.Errorf("others have changed it since. Put %s back by hand, or leave it as it is: docker stig undo --leave-changed %s", r.Store.originalOf(j, *step), j.ID)
	}
	if err != nil {
		return err
	}
	w := r.Store.writer(j.ID)
	if err := w.Put(step.Path, step.Before); err != nil {
		return err
	}
	for _, folder := range slices.Backward(step.Folders) {
		if err := w.RemoveFolder(folder); err != nil {
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

// documentBack restores a document, unless others have changed it since.
func (r Runner) documentBack(ctx context.Context, j *Journal, step *Step) error {
	if step.Target == "" || !step.Begun {
		return nil
	}
	document, err := r.Documents(step.Target)
	if err != nil {
		return err
	}
	now, err := document.Read(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("it is not there any more: docker stig undo --leave-changed %s takes back all else (%w)", j.ID, err)
	case err != nil:
		return fmt.Errorf("its state is unknown, because it cannot be read: %w", err)
	case document.Same(now, step.Before.Bytes):
		step.Begun = false // what others make of it from now on is theirs
		return nil
	case !document.Same(now, step.After.Bytes) && disk.Sum(now) != step.Left:
		return fmt.Errorf("others have changed it since: take back by hand what the plan changed, then docker stig undo --leave-changed %s", j.ID)
	}
	err = put(ctx, document, step, now, step.Before.Bytes)
	step.Begun = err != nil
	return err
}
