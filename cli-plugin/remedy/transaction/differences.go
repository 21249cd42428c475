package transaction

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
)

// A Difference is what others have made of a step since.
type Difference struct {
	Index int    // of the step
	What  string // for a person; it repeats nothing of what others wrote
}

// Changed is the error of an undo that others' changes are in the way of.
type Changed struct{ Steps []Difference }

// Error shows the differences.
func (e *Changed) Error() string {
	var b strings.Builder
	b.WriteString("others have changed since what was to be taken back, and nothing was touched:\n")
	for _, step := range e.Steps {
		b.WriteString("  " + step.What + "\n")
	}
	b.WriteString("Put that back, or give --leave-changed to take back all else")
	return b.String()
}

// Changes are what others have made of a transaction's steps since.
func (r Runner) Changes(ctx context.Context, j *Journal) ([]Difference, error) {
	var changed []Difference
	for i, step := range j.Steps {
		var what string
		var err error
		switch {
		case step.Kept:
			continue
		case step.Path != "":
			what, err = fileDiffers(j.Phase, step, r.Store.planned(j.ID, i))
		case step.Target != "" && step.Begun:
			what, err = r.documentDiffers(ctx, step)
		}
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", step.Subject, err)
		}
		if what != "" {
			changed = append(changed, Difference{i, step.Subject + ": " + what})
		}
	}
	return changed, nil
}

// fileDiffers is "" for a file that others have not changed. kept is where it
// lies as it was left.
func fileDiffers(phase Phase, step Step, kept string) (string, error) {
	now, err := disk.Look(step.Path)
	switch {
	case errors.Is(err, disk.ErrLink):
		return "a symbolic link stands there now, or on the way to it", nil
	case err != nil:
		return "", err
	case now.Same(step.Before), now.Same(step.After), phase != Applied && ours(now, step):
		return "", nil
	case !now.Exists:
		return "it is gone", nil
	case !step.After.Exists:
		return "it is there again", nil
	case now.Regular() != step.After.Regular():
		return "it is something else than it was", nil
	case !now.SameBytes(step.After):
		return fmt.Sprintf("%s: compare it with %s", differing(step, now.Bytes), kept), nil
	}
	return fmt.Sprintf("owner and mode are %s, and were left as %s", now.Ownership(), step.After.Ownership()), nil
}

// documentDiffers is "" for a document that others have not changed.
func (r Runner) documentDiffers(ctx context.Context, step Step) (string, error) {
	document, err := r.Documents(step.Target)
	if err != nil {
		return "", err
	}
	now, err := document.Read(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is not there any more", nil
	case err != nil:
		return "", err
	case document.Same(now, step.Before.Bytes), document.Same(now, step.After.Bytes), disk.Sum(now) == step.Left:
		return "", nil
	}
	return differing(step, now), nil
}

// differing names what differs from what a step left, and no value.
func differing(step Step, now []byte) string {
	names, err := change.Differing(step.Form(), step.After.Bytes, now)
	if err != nil || len(names) == 0 {
		return "it holds something else than it was left with"
	}
	return "it holds something else than it was left with in " + strings.Join(names, ", ")
}
