package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
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
	keys    []string
	name    string
	repos   []string
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
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.name, opts.repos = args[0], args[1:]
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runTrustSignerAdd(ctx, dockerCLI, opts)
		},
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().StringArrayVar(&opts.keys, "key", nil, "PEM file with the signer's public key or certificate")
	cmd.Flags().StringVar(&opts.signing.rootKey, "root-key", "", "ID of the root key of new repositories (default the only one)")
	return cmd
}

func runTrustSignerAdd(ctx context.Context, dockerCLI command.Cli, opts signerOptions) error {
	guns, err := parseRepositories(opts.repos)
	if err != nil {
		return err
	}
	var keys []data.PublicKey
	for _, path := range opts.keys {
		key, err := readPublicKey(path)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	signer, err := opts.signing.open(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer signer.Close()
	var all error
	for _, gun := range guns {
		rootKey, err := signer.AddSigner(ctx, gun, opts.name, keys...)
		if err != nil {
			all = errors.Join(all, err)
			continue
		}
		_, _ = fmt.Fprintf(dockerCLI.Out(), "%s is a signer of %s\n", opts.name, gun)
		if rootKey != "" {
			_, _ = fmt.Fprint(dockerCLI.Out(), begun(gun, rootKey))
		}
	}
	return all
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

// parseRepositories reads names without a tag, as GUNs.
func parseRepositories(names []string) ([]string, error) {
	var guns []string
	for _, name := range names {
		ref, err := parseRepository(name)
		if err != nil {
			return nil, err
		}
		guns = append(guns, ref.Name())
	}
	return guns, nil
}

func newTrustSignerRemoveCommand(dockerCLI command.Cli) *cobra.Command {
	var opts signerOptions
	cmd := &cobra.Command{
		Use:   "remove [OPTIONS] NAME REPOSITORY...",
		Short: "Take the right to sign repositories from somebody",
		Long: `Take a signer's delegation and its share in targets/releases away. It takes the
repository's own key, and the key of another signer, who signs anew what stands
in targets/releases. The last signer stays: add another one first, or revoke.`,
		Example: `  docker stig trust signer remove qa registry.example.com/prod/app`,
		Args:    arguments(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.name, opts.repos = args[0], args[1:]
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runTrustSignerRemove(ctx, dockerCLI, opts)
		},
	}
	opts.signing.addFlags(cmd.Flags())
	return cmd
}

func runTrustSignerRemove(ctx context.Context, dockerCLI command.Cli, opts signerOptions) error {
	guns, err := parseRepositories(opts.repos)
	if err != nil {
		return err
	}
	signer, err := opts.signing.open(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer signer.Close()
	var all error
	for _, gun := range guns {
		if err := signer.RemoveSigner(ctx, gun, opts.name); err != nil {
			all = errors.Join(all, err)
			continue
		}
		_, _ = fmt.Fprintf(dockerCLI.Out(), "%s is no signer of %s any more\n", opts.name, gun)
	}
	return all
}
