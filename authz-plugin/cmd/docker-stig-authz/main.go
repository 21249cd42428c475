// Command docker-stig-authz is an authorization plugin for the Docker engine:
// it refuses to run an image whose content is not vouched for by the signers
// the site's policy names.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Stamped with -ldflags "-X main.version=…".
var (
	version = "dev"
	commit  = "unknown"
	date    = "unknown"
)

func main() {
	if err := newCommand().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "docker-stig-authz:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "docker-stig-authz COMMAND",
		Short:         "Authorization plugin that lets an engine run only images that are vouched for",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(newServeCommand(), newVersionCommand())
	return cmd
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "docker-stig-authz %s, commit %s, built %s\n", version, commit, date)
			return err
		},
	}
}
