// Package command is the command line of docker stig: one file for each
// subcommand, flags into options, options into a run function. It decides
// nothing; it gives rules a host and a verifier, and the answer to a writer.
//
// Standard output is the answer, standard error is talk about it.
package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// Build says which build of the program runs.
type Build struct {
	Version string
	Commit  string
}

// Exit codes of every subcommand.
const (
	exitNo      = 2 // the answer is no: open findings, an image refused, a plan not empty
	exitUnknown = 3 // no open finding, but something could not be found out
)

// New makes the command docker stig.
func New(dockerCLI command.Cli, build Build) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stig COMMAND",
		Short: "Meet the Docker Enterprise STIG, and run signed images only",
		Long: `Check an engine against DISA's Docker Enterprise 2.x Linux/UNIX STIG, fix what
can be fixed, and tell whether images are signed by the people the policy names.

Exit codes: 0 good; 2 the answer is no; 3 nothing is wrong, but something could
not be found out; 1 everything else, bad usage too.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newCheckCommand(dockerCLI, build),
		newFixCommand(dockerCLI),
		newUndoCommand(dockerCLI),
		newHistoryCommand(dockerCLI),
		newRulesCommand(dockerCLI),
		newSiteCommand(dockerCLI),
		newTrustCommand(dockerCLI),
		newAuthzCommand(dockerCLI),
		newVersionCommand(dockerCLI, build),
	)
	// The library's own handler exits with 125.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	return cmd
}

// usageError is a command line that cannot be carried out: exit code 1.
func usageError(cmd *cobra.Command, err error) error {
	return fmt.Errorf("%w\nSee '%s --help'", err, commandPath(cmd))
}

// commandPath names a command as a person types it.
func commandPath(cmd *cobra.Command) string {
	path := cmd.CommandPath()
	if !strings.HasPrefix(path, "docker ") {
		path = "docker " + path
	}
	return path
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 1 // letters to change
	err := fmt.Errorf("there is no %s %s", commandPath(cmd), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, ", "))
	}
	return usageError(cmd, err)
}

// arguments wants between least and most arguments; most below zero is any
// number.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usageError(cmd, fmt.Errorf("%s wants more arguments: %s", commandPath(cmd), cmd.Use))
		case most >= 0 && len(args) > most:
			return usageError(cmd, fmt.Errorf("%s has no use for %q", commandPath(cmd), args[most]))
		}
		return nil
	}
}

// together is one error of two. The first gives the exit code, and both are
// said: docker's own runner of plugins prints nothing but the status.
func together(first, second error) error {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	status := cli.StatusError{StatusCode: 1}
	_ = errors.As(first, &status)
	return exit(status.StatusCode, "%v\n%v", first, second)
}

// exit ends the program with a code and a last line on standard error.
func exit(code int, format string, args ...any) error {
	return cli.StatusError{StatusCode: code, Status: fmt.Sprintf(format, args...)}
}
