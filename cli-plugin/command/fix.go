package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/cli-plugin/report"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker/cli/cli/command"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

type fixOptions struct {
	host   hostOptions
	names  []string
	yes    bool
	dryRun bool
}

func newFixCommand(dockerCLI command.Cli) *cobra.Command {
	var opts fixOptions
	cmd := &cobra.Command{
		Use:   "fix [OPTIONS] RULE...",
		Short: "Bring an engine into line with requirements of the STIG",
		Long: `Show what would make the named requirements pass, ask, change it, and check
again. So far V-235847 is fixed (content trust enforced in UCP); for the others
the command says what a person has to do.

Exit codes: 0 the requirements hold now; 2 --dry-run has something to change, or
a requirement is still open; 3 it could not be found out whether it holds; 1
nothing was done, or a change failed.`,
		Example: `  docker stig fix V-235847 --dry-run --ucp-url https://ucp.example.com --ucp-username admin --ucp-password-file pw`,
		Args:    arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			return runFix(cmd.Context(), dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	opts.host.addFlags(flags)
	flags.BoolVarP(&opts.yes, "yes", "y", false, "Change without asking")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "Show the plan and change nothing; exit 2 if it is not empty")
	return cmd
}

func runFix(ctx context.Context, dockerCLI command.Cli, opts fixOptions) error {
	guide, requirements, err := selectRequirements(opts.names)
	if err != nil {
		return err
	}
	h, err := opts.host.open(dockerCLI)
	if err != nil {
		return err
	}
	opts.host.connect(ctx, dockerCLI, h)
	plan, err := remedy.Make(ctx, h, requirements)
	if err != nil {
		return err
	}
	if err := plan.Show(dockerCLI.Out()); err != nil {
		return err
	}
	switch {
	case opts.dryRun && !plan.Empty():
		return exit(exitNo, "there is something to change; nothing was done")
	case !plan.Empty():
		if err := confirm(ctx, dockerCLI, opts); err != nil {
			return err
		}
		if err := keepOriginals(dockerCLI.Err(), plan); err != nil {
			return err
		}
		if err := plan.Apply(ctx); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(dockerCLI.Out(), "Changed, read back and compared.")
	}
	return checkAgain(ctx, dockerCLI, h, guide, requirements)
}

// keepOriginals writes down every document as it was, for its owner alone: it
// may hold secrets.
func keepOriginals(talk io.Writer, plan remedy.Plan) error {
	dir := filepath.Join(stateDir(), "originals")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keeping the originals, without which nothing is changed: %w", err)
	}
	for i, change := range plan.Changes {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d", time.Now().UTC().Format("20060102T150405.000"), i+1))
		if err := renameio.WriteFile(path, change.Before, 0o600); err != nil {
			return fmt.Errorf("keeping the originals, without which nothing is changed: %w", err)
		}
		_, _ = fmt.Fprintf(talk, "%s as it was is kept in %s\n", change.Subject, path)
	}
	return nil
}

// confirm asks a person, who cannot answer on a standard input that held the
// password.
func confirm(ctx context.Context, dockerCLI command.Cli, opts fixOptions) error {
	if opts.yes {
		return nil
	}
	if dockerCLI.In().IsTerminal() && (opts.host.ucp.PasswordFile == "-" || opts.host.dtr.PasswordFile == "-") {
		return errors.New("standard input held the password, so nobody can be asked, and nothing was changed: put the password into a file, or give --yes")
	}
	return ask(ctx, dockerCLI, "Change it? [y/N] ", "y", "yes")
}

// checkAgain is the proof: the requirements as they stand now.
func checkAgain(ctx context.Context, dockerCLI command.Cli, h *host.Host, guide benchmark.Benchmark, requirements []benchmark.Requirement) error {
	checklist := scan.Run(ctx, h, scan.Options{Benchmark: guide, Requirements: requirements, Now: time.Now, Progress: progress(dockerCLI)})
	_, _ = fmt.Fprintln(dockerCLI.Out())
	if err := report.Write(dockerCLI.Out(), report.Table, checklist, report.Options{All: true}); err != nil {
		return err
	}
	return checkExit(checklist, stig.CATIII)
}
