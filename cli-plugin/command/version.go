package command

import (
	"fmt"
	"runtime"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func newVersionCommand(dockerCLI command.Cli, build Build) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Show the version of docker stig",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(dockerCLI.Out(), "docker-stig %s, commit %s, %s, %s/%s\n",
				build.Version, build.Commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
