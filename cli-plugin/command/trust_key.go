package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func newTrustKeyCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key COMMAND",
		Short: "Make, load, rotate and back up the keys that sign",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newTrustKeyGenerateCommand(dockerCLI),
		newTrustKeyLoadCommand(dockerCLI),
		newTrustKeyRotateCommand(dockerCLI),
		newTrustKeyBackupCommand(dockerCLI),
		newTrustKeyRestoreCommand(dockerCLI),
	)
	return cmd
}

func newTrustKeyGenerateCommand(dockerCLI command.Cli) *cobra.Command {
	dir := "."
	cmd := &cobra.Command{
		Use:   "generate [OPTIONS] NAME",
		Short: "Make a signer's key",
		Long: `Make a key for a signer. The private half is kept in docker's folder under a
passphrase; the public half is written to NAME.pub, for 'trust signer add'.`,
		Example: `  docker stig trust key generate qa --dir ~/keys`,
		Args:    arguments(1, 1),
		RunE: withKeys(dockerCLI, func(_ context.Context, signer *signing.Signer, args []string) error {
			key, path, err := signer.GenerateKey(args[0], dir)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(dockerCLI.Out(), "%s has the key %s; its public half is in %s\n", key.Role, key.ID, path)
			return err
		}),
	}
	cmd.Flags().StringVar(&dir, "dir", dir, "Folder for the public key")
	return cmd
}

func newTrustKeyLoadCommand(dockerCLI command.Cli) *cobra.Command {
	name := "signer"
	cmd := &cobra.Command{
		Use:   "load [OPTIONS] KEYFILE",
		Short: "Take a signer's private key from a file",
		Long: `Take a signer's private key from a PEM file, such as key.pem of a UCP client
bundle, and keep it in docker's folder under a passphrase. Others must not be able
to read the file. With cert.pem of the same bundle 'trust signer add --key' makes
its owner a signer.`,
		Example: `  docker stig trust key load --name qa key.pem`,
		Args:    arguments(1, 1),
		RunE: withKeys(dockerCLI, func(_ context.Context, signer *signing.Signer, args []string) error {
			key, err := signer.LoadKey(name, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(dockerCLI.Out(), "%s has the key %s\n", key.Role, key.ID)
			return err
		}),
	}
	cmd.Flags().StringVar(&name, "name", name, "Name of the signer")
	return cmd
}

type rotateOptions struct {
	signing signingOptions
	yes     bool
}

func newTrustKeyRotateCommand(dockerCLI command.Cli) *cobra.Command {
	var opts rotateOptions
	cmd := &cobra.Command{
		Use:   "rotate [OPTIONS] root|targets|snapshot|timestamp REPOSITORY...",
		Short: "Give repositories another key",
		Long: `Give a role of repositories another key, and publish that. It takes the
repository's root key. The new root or targets key is kept in docker's folder; the
keys of snapshot and timestamp are the server's, which is asked to make new ones.
A new root is signed by the old key as well, and policies that pin the old one
accept it. The old key stays in the folder.`,
		Example: `  docker stig trust key rotate targets registry.example.com/prod/app`,
		Args:    arguments(2, -1),
		RunE: withSigner(dockerCLI, &opts.signing, func(ctx context.Context, signer *signing.Signer, args []string) error {
			return runTrustKeyRotate(ctx, dockerCLI, signer, args[0], args[1:], opts.yes)
		}),
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Rotate without asking")
	return cmd
}

func runTrustKeyRotate(ctx context.Context, dockerCLI command.Cli, signer *signing.Signer, role string, repositories []string, yes bool) error {
	if _, err := parseRepositories(repositories); err != nil {
		return err
	}
	if !yes {
		if err := ask(ctx, dockerCLI, fmt.Sprintf(`Type "yes" to replace the %s key of %d repositories: `, role, len(repositories)), "yes"); err != nil {
			return err
		}
	}
	return eachRepository(repositories, func(gun string) error {
		id, err := signer.Rotate(ctx, gun, role)
		if err == nil {
			_, err = fmt.Fprintf(dockerCLI.Out(), "%s has the %s key %s\n", gun, role, id)
		}
		return err
	})
}

// passphraseOptions say where the passphrase of a backup is.
type passphraseOptions struct{ file string }

func (o *passphraseOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "passphrase-file", "", "File with the passphrase of the backup, - for standard input (default ask)")
}

// get reads or asks for the passphrase of a backup.
func (o *passphraseOptions) get(ctx context.Context, dockerCLI command.Cli, isNew bool) (string, error) {
	if o.file != "" {
		text, err := readPassword(dockerCLI, o.file)
		if err != nil {
			return "", fmt.Errorf("the passphrase: %w", err)
		}
		return text, nil
	}
	if !dockerCLI.In().IsTerminal() {
		return "", errors.New("no terminal to ask for the passphrase on: give --passphrase-file")
	}
	on := func(question string) (string, error) { return askSecret(ctx, dockerCLI, question) }
	if isNew {
		return signing.NewPassphrase(on, "the backup")
	}
	return on("Passphrase of the backup: ")
}

func newTrustKeyBackupCommand(dockerCLI command.Cli) *cobra.Command {
	var opts passphraseOptions
	cmd := &cobra.Command{
		Use:   "backup [OPTIONS] FILE",
		Short: "Write all private keys to a file under a passphrase",
		Long: `Write the private keys in docker's folder to a new file, under a passphrase of its
own (scrypt, XSalsa20-Poly1305). In it, each key has its own passphrase still. The
folder of the file must be closed to all but its owner and group. Without the root key no
repository can be given new keys: keep the backup where nothing else is.`,
		Example: `  docker stig trust key backup /media/safe/docker-keys.pem`,
		Args:    arguments(1, 1),
		RunE: withKeys(dockerCLI, func(ctx context.Context, signer *signing.Signer, args []string) error {
			if err := signing.CheckPlace(args[0]); err != nil {
				return err
			}
			passphrase, err := opts.get(ctx, dockerCLI, true)
			if err != nil {
				return err
			}
			keys, err := signer.Backup(args[0], passphrase)
			if err != nil {
				return err
			}
			return writeKeys(dockerCLI, fmt.Sprintf("%d keys are in %s:", len(keys), filepath.Clean(args[0])), keys)
		}),
	}
	opts.addFlags(cmd)
	return cmd
}

func newTrustKeyRestoreCommand(dockerCLI command.Cli) *cobra.Command {
	var opts passphraseOptions
	cmd := &cobra.Command{
		Use:   "restore [OPTIONS] FILE",
		Short: "Put the private keys of a backup back",
		Long: `Put the private keys of a backup into docker's folder. A key that is there with
other content is not overwritten: then none is restored.`,
		Example: `  docker stig trust key restore /media/safe/docker-keys.pem`,
		Args:    arguments(1, 1),
		RunE: withKeys(dockerCLI, func(ctx context.Context, signer *signing.Signer, args []string) error {
			passphrase, err := opts.get(ctx, dockerCLI, false)
			if err != nil {
				return err
			}
			keys, err := signer.Restore(args[0], passphrase)
			if err != nil {
				return err
			}
			return writeKeys(dockerCLI, fmt.Sprintf("%d keys were not here, and are now:", len(keys)), keys)
		}),
	}
	opts.addFlags(cmd)
	return cmd
}

// writeKeys lists keys under a title.
func writeKeys(dockerCLI command.Cli, title string, keys []signing.Key) error {
	_, err := fmt.Fprintln(dockerCLI.Out(), title)
	for _, key := range keys {
		what := key.Role
		if key.GUN != "" {
			what += " of " + key.GUN
		}
		_, _ = fmt.Fprintf(dockerCLI.Out(), "  %s  %s\n", key.ID, what)
	}
	return err
}
