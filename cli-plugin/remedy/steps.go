package remedy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
)

// place is what the step of a change is known by, "" if it has none.
func place(w change.Change) (string, error) {
	switch {
	case w.Path() != "":
		return disk.Real(w.Path())
	case w.Setting != nil:
		return w.Setting.Target, nil
	case w.Program != nil:
		return strings.Join(w.Program.Argv, " "), nil
	}
	return "", nil
}

// placeOf is the place of the changes that a step makes.
func placeOf(s transaction.Step) string {
	return cmp.Or(s.Path, s.Target, strings.Join(s.Run, " "))
}

// stepOf reports whether a change is part of a step.
func stepOf(c Planned, s transaction.Step) bool { return c.place != "" && c.place == placeOf(s) }

// step makes one step of the changes of a place: nil if all is as it is
// wanted.
func (c *composer) step(ctx context.Context, place string, changes []change.Change) (*transaction.Step, error) {
	step := &transaction.Step{Subject: changes[0].Subject()}
	for _, one := range changes {
		step.Serves = append(step.Serves, one.Serves...)
	}
	slices.Sort(step.Serves)
	step.Serves = slices.Compact(step.Serves)
	switch first := changes[0]; {
	case first.Program != nil:
		step.Run, step.Back, step.Done = first.Program.Argv, first.Program.Undo, first.Program.Done
		return step, nil
	case first.Setting != nil:
		return c.documentStep(ctx, step, changes)
	}
	return c.fileStep(step, place, changes)
}

func (c *composer) documentStep(ctx context.Context, step *transaction.Step, changes []change.Change) (*transaction.Step, error) {
	step.Target = changes[0].Setting.Target
	document, err := c.options.Open(step.Target)
	if err != nil {
		return nil, err
	}
	before, err := document.Read(ctx)
	if err != nil {
		return nil, err
	}
	var settings []change.Setting
	for _, one := range changes {
		settings = append(settings, *one.Setting)
	}
	after, err := document.Edit(before, settings)
	if err != nil || document.Same(before, after) {
		return nil, err
	}
	step.Before, step.After = disk.State{}.With(before), disk.State{}.With(after)
	return step, nil
}

func (c *composer) fileStep(step *transaction.Step, path string, changes []change.Change) (*transaction.Step, error) {
	before, err := disk.Look(path)
	if err != nil {
		return nil, err
	}
	if before.Locked {
		return nil, fmt.Errorf("%s is immutable or append-only: take that away first (chattr -ia %[1]s)", path)
	}
	slices.SortStableFunc(changes, func(a, b change.Change) int { // owner and mode are those of what is there then
		return cmp.Compare(rank(a), rank(b))
	})
	after := before
	for _, one := range changes {
		if after, err = one.ApplyTo(after); err != nil {
			return nil, err
		}
		step.Config = step.Config || one.Option != nil
	}
	if before.Same(after) {
		return nil, nil //nolint:nilnil // nothing to do is an answer here
	}
	if !before.SameBytes(after) && before.Exists && (!before.Regular() || before.Links > 1) {
		return nil, fmt.Errorf("%s is no regular file of one name, and cannot be replaced: see to it first", path)
	}
	if step.Config {
		if err := c.starts(after.Bytes, changes); err != nil {
			return nil, err
		}
	}
	step.Path, step.Before, step.After = path, before, after
	c.plan.sticky = c.plan.sticky || step.Config && begins(before.Bytes, changes)
	step.Folders = disk.MissingFolders(path)
	return step, nil
}

// begins reports whether changes put keys into a daemon.json that were not
// there. An engine that reads the file again keeps what a key said that is gone
// (20.10 to 29): only a restart takes that back.
func begins(config []byte, changes []change.Change) bool {
	return slices.ContainsFunc(changes, func(one change.Change) bool {
		if one.Option == nil || one.Option.Value == nil || one.Disruption != change.Reload {
			return false
		}
		had, err := jsonedit.Get(config, one.Option.Pointer)
		return err == nil && had == nil
	})
}

func rank(c change.Change) int {
	if c.Owner != nil {
		return 1
	}
	return 0
}

// A refusal is a contradiction that shows only in the whole file.
type refusal struct {
	change.Contradiction
	guilty []change.Change
}

// Error says what contradicts.
func (r *refusal) Error() string { return r.What }

// starts wants the engine to start with a daemon.json.
func (c *composer) starts(config []byte, changes []change.Change) error {
	found, refused := change.EngineRefuses(config, c.plan.dockerd.Flags(), changes)
	if !refused {
		return nil
	}
	if len(found.Changes) == 0 {
		return fmt.Errorf("the engine would not start with it, whatever is changed: %s", found.What)
	}
	r := &refusal{Contradiction: found}
	for _, i := range found.Changes {
		r.guilty = append(r.guilty, changes[i])
	}
	return r
}
