package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/theupdateframework/notary/tuf/data"
)

func newTrustSignerCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signer COMMAND",
		Short: "Say who may sign the tags of a repository",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTrustSignerAddCommand(dockerCLI), newTrustSignerRemoveCommand(dockerCLI))
	return cmd
}

type signerOptions struct {
	signing signingOptions
	keys    []string // files
}

func newTrustSignerAddCommand(dockerCLI command.Cli) *cobra.Command {
	var opts signerOptions
	cmd := &cobra.Command{
		Use:   "add [OPTIONS] NAME REPOSITORY...",
		Short: "Make somebody a signer of repositories",
		Long: `Make somebody a signer of repositories: with a delegation of the signer's own,
targets/NAME, and a share in targets/releases, as 'docker trust signer add' does.
It takes the repository's own key. A repository without signatures begins.

--key names the signer's public key, NAME.pub of 'key generate', or a certificate
such as cert.pem of a UCP client bundle; without it the signer's key in docker's
folder is taken.`,
		Example: `  docker stig trust signer add --key qa.pub qa registry.example.com/prod/app`,
		Args:    arguments(2, -1),
		RunE: withSigner(dockerCLI, &opts.signing, func(ctx context.Context, signer *signing.Signer, args []string) error {
			return runTrustSignerAdd(ctx, dockerCLI, signer, opts.keys, args[0], args[1:])
		}),
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&opts.keys, "key", nil, "PEM file with the signer's public key or certificate")
	cmd.Flags().StringVar(&opts.signing.rootKey, "root-key", "", "ID of the root key of new repositories (default the only one)")
	return cmd
}

func runTrustSignerAdd(ctx context.Context, dockerCLI command.Cli, signer *signing.Signer, files []string, name string, repositories []string) error {
	var keys []data.PublicKey
	for _, path := range files {
		key, err := readPublicKey(path)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	return eachRepository(repositories, func(gun string) error {
		rootKey, err := signer.AddSigner(ctx, gun, name, keys...)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%s is a signer of %s\n", name, gun)
		if rootKey != "" {
			text += begun(gun, rootKey)
		}
		_, err = io.WriteString(dockerCLI.Out(), text)
		return err
	})
}

// maxPublicKey bounds a file with a public key or a chain of certificates.
const maxPublicKey = 1 << 20 // bytes

func readPublicKey(path string) (data.PublicKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the signer's key: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxPublicKey))
	if err != nil {
		return nil, fmt.Errorf("reading the signer's key: %w", err)
	}
	key, err := signing.ParsePublicKey(raw, time.Now())
	if err != nil {
		return nil, fmt.Errorf("reading the signer's key in %s: %w", path, err)
	}
	return key, nil
}
