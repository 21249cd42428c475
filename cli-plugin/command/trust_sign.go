package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

type signOptions struct {
	signing signingOptions
	signer  string
	yes     bool
	images  []string
}

func newTrustSignCommand(dockerCLI command.Cli) *cobra.Command {
	var opts signOptions
	cmd := &cobra.Command{
		Use:   "sign [OPTIONS] IMAGE:TAG...",
		Short: "Sign tags as they are in the registry, without pulling them",
		Long: `Ask the registry which digest each tag names, show the list, and after a yes sign
it with Docker Content Trust and publish it on the trust server. No engine takes
part. A signature is a promise about content: IMAGE:TAG@DIGEST signs that digest
whatever the tag names by now.

Keys are those of 'docker trust', in its folder; so are the variables with their
passphrases, DOCKER_CONTENT_TRUST_ROOT_PASSPHRASE and
DOCKER_CONTENT_TRUST_REPOSITORY_PASSPHRASE. Without them a terminal is asked. With
--signer the tag goes to that signer's delegation and to targets/releases, and
else to every delegation whose key is here, as 'docker trust sign' does it. A
repository without signatures begins with the signer's delegation.

Each repository is published as a whole, several at a time. What a policy covers
is verified afterwards as an engine would.

Exit codes: 0 all is published, and accepted where a policy covers it; 2 the
policy refuses what was published; 3 that could not be told; 1 everything else:
what was published is listed.`,
		Example: `  docker stig trust sign --signer qa registry.example.com/prod/app:1.2
  docker stig trust sign --yes registry.example.com/prod/app:1.2@sha256:3d2e...`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.images = args
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return runTrustSign(ctx, dockerCLI, opts)
		},
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&opts.signing.rootKey, "root-key", "", "ID of the root key of new repositories (default the only one)")
	cmd.Flags().StringVar(&opts.signer, "signer", "", "Signer to sign as (default every one whose key is here)")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Sign without asking")
	return cmd
}

func runTrustSign(ctx context.Context, dockerCLI command.Cli, opts signOptions) error {
	refs, err := parseTags(opts.images)
	if err != nil {
		return err
	}
	if opts.signer != "" {
		if err := signing.CheckName(opts.signer); err != nil {
			return err
		}
	}
	signer, err := opts.signing.open(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer signer.Close()
	clients := access.New(access.Options{Credentials: access.DockerConfig(dockerCLI.ConfigFile()), CertDirs: []string{certsDir}})
	defer clients.Close()
	targets, err := signing.Resolve(ctx, clients, refs)
	if err != nil {
		return fmt.Errorf("nothing was signed: %w", err)
	}
	if err := writeTargets(dockerCLI.Out(), targets); err != nil {
		return err
	}
	if !opts.yes {
		if err := ask(ctx, dockerCLI, `Type "yes" to vouch for these digests under these names: `, "yes"); err != nil {
			return err
		}
	}
	progress := newPublishing(dockerCLI.Err(), targets)
	results := signer.Publish(ctx, targets, signing.Order{Signer: opts.signer, Done: progress.done})
	if err := writeSigned(dockerCLI.Out(), results); err != nil {
		return err
	}
	return errors.Join(notPublished(results), opts.signing.prove(context.WithoutCancel(ctx), dockerCLI, results))
}

// parseTags reads names with a tag; a digest may stand behind it.
func parseTags(images []string) ([]reference.NamedTagged, error) {
	var refs []reference.NamedTagged
	for _, image := range images {
		ref, err := reference.ParseNormalizedNamed(image)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", image, err)
		}
		tagged, ok := ref.(reference.NamedTagged)
		if !ok {
			return nil, fmt.Errorf("%q: what is signed is a tag: name one, as in %s:1.0", image, reference.FamiliarName(ref))
		}
		refs = append(refs, tagged)
	}
	return refs, nil
}

// notPublished is an error if a repository was not.
func notPublished(results []signing.Result) error {
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d repositories were not published; what was stands, and signing once more goes on from there", failed, len(results))
}
