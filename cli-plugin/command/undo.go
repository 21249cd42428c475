package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
)

type undoOptions struct {
	host         hostOptions
	transaction  transactionOptions
	id           string
	yes          bool
	dryRun       bool
	leaveChanged bool
}

func newUndoCommand(dockerCLI command.Cli) *cobra.Command {
	var opts undoOptions
	cmd := &cobra.Command{
		Use:   "undo [OPTIONS] [ID]",
		Short: "Take back what docker stig fix changed",
		Long: `Put back what a fix changed, byte for byte, owners and modes: the newest one, or
the one of an ID that docker stig history lists. A file that others have changed
since is not overwritten: the difference is shown, and nothing is done, unless
--leave-changed leaves it as it is and takes back all else. A fix that was cut
off is rolled back first. UCP and DTR are asked only for what was changed there.

Exit codes: 0 it is taken back; 2 others have changed it since, or --dry-run
found something to take back; 1 everything else.`,
		Example: `  docker stig undo --dry-run
  sudo docker stig undo 20261130T101500Z --allow-restart`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.id = strings.Join(args, "")
			return runUndo(cmd.Context(), dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	opts.host.addFlags(flags)
	for _, name := range []string{"policy", "host-root", "parallel"} {
		flags.Lookup(name).Hidden = true // what is judged with them is none of an undo
	}
	opts.transaction.addFlags(flags)
	flags.BoolVarP(&opts.yes, "yes", "y", false, "Take back without asking")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "Show what would be taken back, and do nothing")
	flags.BoolVar(&opts.leaveChanged, "leave-changed", false, "Leave as it is what others have changed since, and what no program can take back")
	return cmd
}

func runUndo(ctx context.Context, dockerCLI command.Cli, opts undoOptions) error {
	at, err := opts.places(dockerCLI)
	if err != nil {
		return err
	}
	ctx, stop := whileWanted(ctx)
	defer stop()
	t := opts.transaction.over(dockerCLI, at)
	before, err := t.runner.Store.Unfinished()
	if err != nil {
		return err
	}
	switch {
	case opts.dryRun:
		err = reportUnfinished(dockerCLI)
	case opts.leaveChanged && opts.stuck(before):
		return opts.release(ctx, t)
	default:
		var unlock func()
		if unlock, err = t.lock(ctx, "docker stig undo"); err == nil {
			defer unlock()
		}
	}
	if err != nil {
		return err
	}
	if len(before) > 0 && !opts.dryRun && (opts.id == "" || opts.stuck(before)) {
		_, err := fmt.Fprintln(dockerCLI.Out(), "What was cut off is rolled back. Nothing else was done.")
		return err
	}
	j, err := opts.find(t.runner.Store)
	if err != nil {
		return err
	}
	if err := opts.show(ctx, dockerCLI, t, j); err != nil {
		return err
	}
	if opts.dryRun {
		return exit(exitNo, "there is something to take back; nothing was done")
	}
	return opts.takeBack(ctx, dockerCLI, t, j)
}

// stuck reports whether what was cut off is what is to be taken back.
func (o undoOptions) stuck(unfinished []*transaction.Journal) bool {
	return slices.ContainsFunc(unfinished, func(j *transaction.Journal) bool { return o.id == "" || j.ID == o.id })
}

// release takes back what was cut off, but for what others have changed.
func (o undoOptions) release(ctx context.Context, t *transactions) error {
	unlock, err := t.runner.Store.Lock(ctx, "docker stig undo --leave-changed", lockPatience)
	if err != nil {
		return err
	}
	defer unlock()
	unfinished, err := t.runner.Store.Unfinished()
	if err != nil {
		return err
	}
	for _, j := range unfinished {
		if o.id != "" && j.ID != o.id {
			continue
		}
		if err := t.runner.Undo(ctx, j, true); err != nil {
			return err
		}
	}
	return nil
}

// find gives the transaction that is meant: the newest that is in force.
func (o undoOptions) find(store transaction.Store) (*transaction.Journal, error) {
	ids := []string{o.id}
	if o.id == "" {
		var err error
		if ids, err = store.List(); err != nil {
			return nil, err
		}
	}
	for _, id := range slices.Backward(ids) {
		j, err := store.Head(id)
		switch {
		case j == nil:
			return nil, err
		case j.Phase == transaction.Applied:
			return store.Read(id)
		}
		if o.id != "" {
			return nil, fmt.Errorf("transaction %s is %s: there is nothing to take back", id, j.Phase)
		}
	}
	return nil, errors.New("there is nothing to take back: docker stig history lists what was changed")
}

// show tells what becomes of each file.
func (o undoOptions) show(ctx context.Context, dockerCLI command.Cli, t *transactions, j *transaction.Journal) error {
	changed, err := t.runner.Changes(ctx, j)
	if err != nil {
		return err
	}
	if len(changed) > 0 && !o.leaveChanged {
		return exit(exitNo, "%v", &transaction.Changed{Steps: changed})
	}
	var b strings.Builder
	for i, step := range j.Steps {
		switch {
		case step.Path == "" && !step.Begun: // it was so already
		case slices.ContainsFunc(changed, func(d transaction.Difference) bool { return d.Index == i }):
			fmt.Fprintf(&b, "%s was changed by others since, and stays as it is.\n", step.Subject)
		case len(step.Back) > 0:
			fmt.Fprintf(&b, "%s\n  runs %s\n", step.Subject, strings.Join(step.Back, " "))
		case !step.Before.SameBytes(step.After):
			b.WriteString(change.Diff(step.Form(), step.Subject, "now", "as it was", step.After.Bytes, step.Before.Bytes))
		default:
			fmt.Fprintf(&b, "%s\n  owner and mode: %s becomes %s\n", step.Subject, step.After.Ownership(), step.Before.Ownership())
		}
	}
	for _, done := range j.Done {
		fmt.Fprintf(&b, "It stays, because it cannot be taken back: %s\n", done)
	}
	if j.Tell == change.Restart {
		b.WriteString("The engine is restarted once: containers stop, unless live-restore is on.\n")
	}
	_, err = fmt.Fprint(dockerCLI.Out(), b.String())
	return err
}

func (o undoOptions) takeBack(ctx context.Context, dockerCLI command.Cli, t *transactions, j *transaction.Journal) error {
	if j.Tell == change.Restart && !o.transaction.allowRestart {
		return errors.New("this takes a restart of the engine, and nothing was changed: give --allow-restart")
	}
	if !o.yes {
		if err := ask(ctx, dockerCLI, "Take it back? [y/N] ", "y", "yes"); err != nil {
			return err
		}
	}
	err := t.runner.Undo(ctx, j, o.leaveChanged)
	if changed := new(transaction.Changed); errors.As(err, &changed) {
		return exit(exitNo, "%v", err)
	}
	if err != nil {
		return fmt.Errorf("not all could be taken back: %w; run docker stig undo again", err)
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "Transaction %s is taken back.\n", j.ID)
	return err
}
