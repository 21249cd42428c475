package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

type revokeOptions struct {
	signing signingOptions
	yes     bool
}

func newTrustRevokeCommand(dockerCLI command.Cli) *cobra.Command {
	var opts revokeOptions
	cmd := &cobra.Command{
		Use:   "revoke [OPTIONS] IMAGE[:TAG]...",
		Short: "Take the signatures of tags back",
		Long: `Take the signatures of a tag back, or those of all tags of a repository, from
every role that has them, and publish that. A role that has expired is signed anew
without the tag, or else the next one to sign would bring it back; one that does
not verify is emptied when all tags are revoked. Engines refuse the tag from their
next look at the trust server on. A copy of older signatures that somebody kept
is good until it expires: what must not run at all belongs under "revoked" in the
policy.

Exit codes: 0 the signatures are gone; 1 everything else: what is gone is listed.`,
		Example: `  docker stig trust revoke registry.example.com/prod/app:1.2
  docker stig trust revoke --yes registry.example.com/prod/old`,
		Args: arguments(1, -1),
		RunE: withSigner(dockerCLI, &opts.signing, func(ctx context.Context, signer *signing.Signer, args []string) error {
			return runTrustRevoke(ctx, dockerCLI, signer, args, opts.yes)
		}),
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Revoke without asking")
	return cmd
}

// A revocation is what is taken back of one repository.
type revocation struct {
	gun  string
	tags []string // none: all
}

// String names it for a person.
func (r revocation) String() string {
	if len(r.tags) == 0 {
		return r.gun + ", all tags"
	}
	return r.gun + ":" + strings.Join(r.tags, ", "+r.gun+":")
}

// parseRevocations sorts names by repository. One without a tag means all.
func parseRevocations(images []string) ([]revocation, error) {
	var all []revocation
	for _, image := range images {
		ref, err := reference.ParseNormalizedNamed(image)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", image, err)
		}
		if _, pinned := ref.(reference.Digested); pinned {
			return nil, fmt.Errorf("%q: signatures are those of tags; to keep a digest from running, name it under \"revoked\" in the policy", image)
		}
		one := revocation{gun: ref.Name()}
		if tagged, ok := ref.(reference.NamedTagged); ok {
			one.tags = []string{tagged.Tag()}
		}
		i := slices.IndexFunc(all, func(r revocation) bool { return r.gun == one.gun })
		switch {
		case i < 0:
			all = append(all, one)
		case len(one.tags) == 0:
			all[i].tags = nil
		case len(all[i].tags) > 0:
			all[i].tags = append(all[i].tags, one.tags...)
		}
	}
	return all, nil
}

func runTrustRevoke(ctx context.Context, dockerCLI command.Cli, signer *signing.Signer, images []string, yes bool) error {
	revocations, err := parseRevocations(images)
	if err != nil {
		return err
	}
	for _, r := range revocations {
		_, _ = fmt.Fprintf(dockerCLI.Out(), "to revoke: %s\n", r)
	}
	if !yes {
		if err := ask(ctx, dockerCLI, `Type "yes" to take these signatures back: `, "yes"); err != nil {
			return err
		}
	}
	var all error
	for _, r := range revocations {
		gone, err := signer.Revoke(ctx, r.gun, r.tags...)
		for _, tag := range gone {
			_, _ = fmt.Fprintf(dockerCLI.Out(), "revoked: %s\n", signing.Target{GUN: r.gun, Tag: tag})
		}
		all = errors.Join(all, err)
	}
	return all
}
