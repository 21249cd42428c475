package command

import (
	"context"
	"fmt"

	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/theupdateframework/notary/tuf/data"
)

type publishOptions struct {
	signing signingOptions
	yes     bool
}

func newTrustPublishCommand(dockerCLI command.Cli) *cobra.Command {
	var opts publishOptions
	cmd := &cobra.Command{
		Use:   "publish [OPTIONS] SIGNED",
		Short: "Publish what was signed where no network is",
		Long: `Publish what 'docker stig trust sign --from' wrote on a machine without a network.
It takes a login that may sign, and no key. Each repository is published as a
whole, several at a time, and read back; what a policy covers is verified as an
engine would. Before anything is sent it is verified from the server's root, and
refused if it changes more than the tags that are listed. A repository whose signatures have changed since they were prepared
is left as it is: prepare and sign anew. To publish once more changes nothing.

Exit codes: 0 all is published, and accepted where a policy covers it; 2 the
policy refuses what was published; 3 that could not be told; 1 everything else:
what was published is listed.`,
		Example: `  docker stig trust publish signed.json`,
		Args:    arguments(1, 1),
		RunE: withSigner(dockerCLI, &opts.signing, func(ctx context.Context, signer *signing.Signer, args []string) error {
			return runTrustPublish(ctx, dockerCLI, signer, opts, args[0])
		}),
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Publish without asking")
	return cmd
}

func runTrustPublish(ctx context.Context, dockerCLI command.Cli, signer *signing.Signer, opts publishOptions, path string) error {
	publication, err := signing.ReadPublication(path)
	if err != nil {
		return err
	}
	var targets []signing.Target
	for _, r := range publication.Repositories {
		targets = append(targets, r.Targets...)
	}
	if err := writeTargets(dockerCLI.Out(), targets); err != nil {
		return err
	}
	for _, r := range publication.Repositories {
		if r.RootKey != "" {
			_, _ = fmt.Fprintf(dockerCLI.Out(), "%s begins with the root key %s\n", r.GUN, r.RootKey)
		}
	}
	if err := opts.pinned(ctx, dockerCLI, publication); err != nil {
		return err
	}
	if !opts.yes {
		if err := ask(ctx, dockerCLI, `Type "yes" to publish these signatures: `, "yes"); err != nil {
			return err
		}
	}
	results := signer.PublishSigned(ctx, publication, newPublishing(dockerCLI.Err(), targets).done)
	if err := writeSigned(dockerCLI.Out(), results); err != nil {
		return err
	}
	return together(notPublished(results), opts.signing.prove(context.WithoutCancel(ctx), dockerCLI, results))
}

// pinned refuses to begin repositories with a root that the policy would not
// accept. Of those that have one, the server's stays.
func (o publishOptions) pinned(ctx context.Context, dockerCLI command.Cli, publication signing.Publication) error {
	verifier, err := o.signing.policy.verifier(dockerCLI)
	if err != nil || verifier == nil {
		return err
	}
	defer verifier.Close()
	for _, r := range publication.Repositories {
		if r.RootKey == "" {
			continue
		}
		root := r.Metadata[data.CanonicalRootRole.String()]
		if _, err := pins(ctx, verifier, bundle.Repository{GUN: r.GUN, Roots: [][]byte{root}, Roles: r.Metadata}); err != nil {
			return fmt.Errorf("nothing was published: %w", err)
		}
	}
	return nil
}
