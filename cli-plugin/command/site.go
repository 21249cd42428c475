package command

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/docker/cli/cli/command"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

func newSiteCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "site COMMAND",
		Short: "Manage what only your site can tell",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSiteInitCommand(dockerCLI))
	return cmd
}

type siteInitOptions struct {
	host   hostOptions
	output string
	force  bool
}

func newSiteInitCommand(dockerCLI command.Cli) *cobra.Command {
	var opts siteInitOptions
	cmd := &cobra.Command{
		Use:   "init [OPTIONS]",
		Short: "Begin a site.yaml from what the host shows",
		Long: `Write a site.yaml to begin with: every key that a requirement waits for, with the
values that the engine and its host show. All of it is comment. What is there is
not what is approved: take the mark away from the lines that your site's security
plan approves.`,
		Example: `  docker stig site init
  docker stig site init -o - | less`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runSiteInit(cmd.Context(), dockerCLI, opts) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.output, "output", "o", site.DefaultPath, "File to write, - for standard output")
	flags.BoolVar(&opts.force, "force", false, "Write over a file that is there")
	flags.StringVar(&opts.host.root, "host-root", "", "Folder in which the engine's host is mounted")
	return cmd
}

func runSiteInit(ctx context.Context, dockerCLI command.Cli, opts siteInitOptions) error {
	toFile := opts.output != "-"
	if _, err := os.Lstat(opts.output); toFile && err == nil && !opts.force {
		return fmt.Errorf("%s is there already, and nothing was written: give another name with --output, or --force", opts.output)
	}
	h, err := opts.host.bare()
	if err != nil {
		return err
	}
	opts.host.connect(ctx, dockerCLI, h)
	draft := site.Draft(see(ctx, h))
	if !toFile {
		_, err := fmt.Fprint(dockerCLI.Out(), draft)
		return err
	}
	if err := renameio.WriteFile(opts.output, []byte(draft), 0o644); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("writing %s: its folder is not there: make it, or give another name with --output", opts.output)
		}
		return fmt.Errorf("writing %s: %w", opts.output, cause(err))
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "%s is written, and says nothing yet: take the mark (#) away from what your security plan approves.\n", opts.output)
	return err
}
