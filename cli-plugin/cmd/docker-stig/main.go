// docker-stig is the Docker CLI plugin "docker stig".
package main

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"github.com/docker/cli/cli-plugins/metadata"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	stig "github.com/docker-stig/docker-stig/cli-plugin/command"
)

// asPlugin lets the program be run by its own name, too: docker puts the name
// of the plugin before its arguments, and a person does not.
func asPlugin(args []string) []string {
	ours := []string{"stig", metadata.MetadataSubcommandName, metadata.HookSubcommandName}
	if len(args) > 1 && (slices.Contains(ours, args[1]) || strings.HasPrefix(args[1], "-") || strings.HasPrefix(args[1], "__complete")) {
		return args
	}
	return slices.Insert(slices.Clone(args), 1, "stig")
}

// Stamped by the build.
var version, commit string

func main() {
	os.Args = asPlugin(os.Args)
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
