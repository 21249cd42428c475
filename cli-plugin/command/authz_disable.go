package command

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

type disableOptions struct {
	yes    bool
	dryRun bool
}

func newAuthzDisableCommand(dockerCLI command.Cli) *cobra.Command {
	var opts disableOptions
	cmd := &cobra.Command{
		Use:   "disable [OPTIONS]",
		Short: "Take back what authz enable has changed",
		Long: `Take back what docker stig authz enable has changed, and nothing else: daemon.json
and the policy become what they were, byte for byte; of a file that others have
changed since, only what was enabled is taken out. The guard goes out of the way,
which restarts the engine; otherwise the engine is told to read daemon.json again.
An enable that was cut off is taken back, too.

Approvals of containers stay: they count again after the next enable.

Exit codes: 0 the engine answers as it did before; 2 --dry-run found something to
take back; 1 everything else.`,
		Example: `  sudo docker stig authz disable`,
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAuthzDisable(cmd.Context(), dockerCLI, opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Take it back without asking")
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "Show what would be taken back, and change nothing")
	return cmd
}

func runAuthzDisable(ctx context.Context, dockerCLI command.Cli, opts disableOptions) error {
	s, err := newSwitch()
	if err != nil {
		return err
	}
	journal, err := s.Folder.Read()
	if err != nil {
		return withSudo(err)
	}
	if journal == nil {
		return fmt.Errorf("docker stig authz enable has changed nothing here (%s holds nothing): if daemon.json names docker-stig-authz, somebody else put it there; take it out and reload the engine", s.Folder)
	}
	if s.Folder.Busy() {
		return errors.New("another docker stig authz enable or disable is at work: wait until it has ended")
	}
	if _, err := fmt.Fprintf(dockerCLI.Out(), "What was enabled on %s is taken back:\n%s", journal.Begun.Format("2006-01-02 15:04 MST"), journal.BackText()); err != nil {
		return err
	}
	if opts.dryRun {
		return exit(exitNo, "nothing was changed: this was a dry run")
	}
	if os.Geteuid() != 0 {
		return errors.New("daemon.json and the policy are root's: run it with sudo")
	}
	if !opts.yes {
		question := "From then on this engine runs anything. Take it back? [yes/no] "
		if journal.Refused || journal.Said {
			question = "Take it back? [yes/no] "
		}
		if err := ask(ctx, dockerCLI, question, "yes"); err != nil {
			return err
		}
	}
	// Once begun it is gone through with: half of it would help nobody.
	if err := s.Disable(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("disabling: %w", err)
	}
	said := "This engine runs anything again: docker-stig-authz refuses nothing. Approvals of containers were kept."
	switch {
	case journal.Refused: // it was the guard alone that came
		said = "This engine asks docker-stig-authz as it did before that enable."
	case journal.Said:
		said = "This engine goes on asking docker-stig-authz: its files said so before that enable. To end that, take docker-stig-authz out of daemon.json and reload the engine."
	}
	_, err = fmt.Fprintln(dockerCLI.Out(), said)
	return err
}
