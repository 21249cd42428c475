package command

import (
	"context"
	"errors"
	"fmt"

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
	prepare string   // file to write what signing elsewhere takes
	from    string   // file that --prepare wrote
	out     string   // file to write what was signed
	roots   []string // IDs of root keys, as their owners say them
	images  []string
}

func newTrustSignCommand(dockerCLI command.Cli) *cobra.Command {
	var opts signOptions
	cmd := &cobra.Command{
		Use:   "sign [OPTIONS] [IMAGE:TAG...]",
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

Where the keys are on a machine without a network, sign in three steps. Here,
--prepare FILE writes down what registry and trust server say, which is no secret;
there, --from FILE --out SIGNED verifies that from its root, shows the list with
whose root it is, asks, and signs. A root that nobody there has seen, and that no
policy pins, is asked about apart, whatever --yes says: --accept-root names the
key that its owner says. Then 'docker stig trust publish SIGNED' publishes
it here, unless somebody else has published in between.

Exit codes: 0 all is published, and accepted where a policy covers it; 2 the
policy refuses what was published; 3 that could not be told; 1 everything else:
what was published is listed.`,
		Example: `  docker stig trust sign --signer qa registry.example.com/prod/app:1.2
  docker stig trust sign --yes registry.example.com/prod/app:1.2@sha256:3d2e...
  docker stig trust sign --prepare work.json registry.example.com/prod/app:1.2
  docker stig trust sign --from work.json --out signed.json --signer qa`,
		Args: func(cmd *cobra.Command, args []string) error {
			if opts.from != "" {
				return arguments(0, 0)(cmd, args)
			}
			return arguments(1, -1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.images = args
			ctx, stop := whileWanted(cmd.Context())
			defer stop()
			switch {
			case len(opts.roots) > 0 && opts.from == "":
				return errors.New("--accept-root goes with --from")
			case opts.prepare != "":
				return runTrustPrepare(ctx, dockerCLI, opts)
			case opts.from != "" || opts.out != "":
				return runTrustSignPrepared(ctx, dockerCLI, opts)
			default:
				return runTrustSign(ctx, dockerCLI, opts)
			}
		},
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&opts.signing.rootKey, "root-key", "", "ID of the root key of new repositories (default the only one)")
	cmd.Flags().StringVar(&opts.signer, "signer", "", "Signer to sign as (default every one whose key is here)")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Sign without asking")
	cmd.Flags().StringVar(&opts.prepare, "prepare", "", "Sign nothing, and write what signing elsewhere takes to a new file")
	cmd.Flags().StringVar(&opts.from, "from", "", "Sign what --prepare wrote to a file, without a network")
	cmd.Flags().StringVar(&opts.out, "out", "", "With --from: new file for what was signed, for 'trust publish'")
	cmd.Flags().StringArrayVar(&opts.roots, "accept-root", nil, "With --from: ID of a root key that is not known here, as its owner says it")
	return cmd
}

func runTrustSign(ctx context.Context, dockerCLI command.Cli, opts signOptions) error {
	if err := opts.checkSigner(); err != nil {
		return err
	}
	signer, targets, err := opts.resolve(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer signer.Close()
	if err := writeTargets(dockerCLI.Out(), targets); err != nil {
		return err
	}
	if err := opts.confirm(ctx, dockerCLI); err != nil {
		return err
	}
	progress := newPublishing(dockerCLI.Err(), targets)
	results := signer.Publish(ctx, targets, signing.Order{Signer: opts.signer, Done: progress.done})
	if err := writeSigned(dockerCLI.Out(), results); err != nil {
		return err
	}
	return together(notPublished(results), opts.signing.prove(context.WithoutCancel(ctx), dockerCLI, results))
}

func (o signOptions) checkSigner() error {
	if o.signer == "" {
		return nil
	}
	return signing.CheckName(o.signer)
}

// resolve opens the signer, and finds out what the tags name.
func (o signOptions) resolve(ctx context.Context, dockerCLI command.Cli) (*signing.Signer, []signing.Target, error) {
	refs, err := parseTags(o.images)
	if err != nil {
		return nil, nil, err
	}
	signer, err := o.signing.open(ctx, dockerCLI)
	if err != nil {
		return nil, nil, err
	}
	clients := access.New(access.Options{Credentials: access.DockerConfig(dockerCLI.ConfigFile()), CertDirs: certDirs()})
	defer clients.Close()
	targets, err := signing.Resolve(ctx, clients, refs)
	if err != nil {
		signer.Close()
		return nil, nil, fmt.Errorf("nothing was signed: %w", err)
	}
	return signer, targets, nil
}

func (o signOptions) confirm(ctx context.Context, dockerCLI command.Cli) error {
	if o.yes {
		return nil
	}
	return ask(ctx, dockerCLI, `Type "yes" to vouch for these digests under these names: `, "yes")
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
	return fmt.Errorf("%d of %d repositories were not published; what was stands, and the same once more goes on from there", failed, len(results))
}
