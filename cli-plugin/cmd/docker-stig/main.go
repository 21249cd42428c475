// docker-stig is the Docker CLI plugin "docker stig".
package main

import (
	"cmp"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	stig "github.com/docker-stig/docker-stig/cli-plugin/command"
)

// Stamped by the build.
var version, commit string

func main() {
	build := stig.Build{Version: cmp.Or(version, "dev"), Commit: cmp.Or(commit, "unknown")}
	plugin.Run(
		func(dockerCLI command.Cli) *cobra.Command { return stig.New(dockerCLI, build) },
		metadata.Metadata{
			SchemaVersion:    "0.1.0",
			Vendor:           "docker-stig",
			Version:          build.Version,
			ShortDescription: "Meet the Docker Enterprise STIG, and run signed images only",
			URL:              "https://github.com/docker-stig/docker-stig",
		},
	)
}
