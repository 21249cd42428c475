package command

import (
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func newTrustCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust COMMAND",
		Short: "Tell whether images are signed by the people the policy names",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTrustVerifyCommand(dockerCLI))
	cmd.AddCommand(newTrustInspectCommand(dockerCLI))
	cmd.AddCommand(newTrustPinCommand(dockerCLI))
	cmd.AddCommand(newTrustExportCommand(dockerCLI))
	cmd.AddCommand(newTrustImportCommand(dockerCLI))
	cmd.AddCommand(newTrustShowCommand(dockerCLI))
	cmd.AddCommand(newTrustSignCommand(dockerCLI))
	cmd.AddCommand(newTrustPublishCommand(dockerCLI))
	cmd.AddCommand(newTrustRevokeCommand(dockerCLI))
	cmd.AddCommand(newTrustSignerCommand(dockerCLI))
	cmd.AddCommand(newTrustKeyCommand(dockerCLI))
	return cmd
}
