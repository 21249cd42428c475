package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

type removeOptions struct {
	signing signingOptions
	keep    bool
	yes     bool
}

func newTrustSignerRemoveCommand(dockerCLI command.Cli) *cobra.Command {
	var opts removeOptions
	cmd := &cobra.Command{
		Use:   "remove [OPTIONS] NAME REPOSITORY...",
		Short: "Take the right to sign repositories from somebody",
		Long: `Take a signer's delegation and its share in targets/releases away. It takes the
repository's own key, and the key of another signer, who signs targets/releases
anew: without that, no engine would run any tag of the repository any more.

A signature is a promise. So the other signer vouches only for tags that somebody
who stays has signed, with the same digest, in a delegation of his own. The rest
is listed, and after a yes dropped from targets/releases: engines refuse it until
it is signed again. With --keep those who stay, and whose keys are here, sign it
after a yes instead, in their own delegations as well. The last signer stays: add
another one first, or revoke.`,
		Example: `  docker stig trust signer remove qa registry.example.com/prod/app
  docker stig trust signer remove --keep qa registry.example.com/prod/app`,
		Args: arguments(2, -1),
		RunE: withSigner(dockerCLI, &opts.signing, func(ctx context.Context, signer *signing.Signer, args []string) error {
			return runTrustSignerRemove(ctx, dockerCLI, signer, opts, args[0], args[1:])
		}),
	}
	opts.signing.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&opts.keep, "keep", false, "Sign what only NAME has vouched for, and do not drop it")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Drop, or with --keep sign, without asking")
	return cmd
}

func runTrustSignerRemove(ctx context.Context, dockerCLI command.Cli, signer *signing.Signer, opts removeOptions, name string, repositories []string) error {
	var departures []signing.Departure
	all := eachRepository(repositories, func(gun string) error {
		d, err := signer.Departure(ctx, gun, name)
		if err == nil {
			departures = append(departures, d)
		}
		return err
	})
	if err := opts.agree(ctx, dockerCLI, name, departures); err != nil {
		return errors.Join(all, err)
	}
	for _, d := range departures {
		err := signer.RemoveSigner(ctx, d, opts.keep)
		if err == nil {
			_, err = fmt.Fprintf(dockerCLI.Out(), "%s is no signer of %s any more\n", name, d.GUN)
		}
		all = errors.Join(all, err)
	}
	return all
}

// agree lists what only the signer has vouched for, and asks, if there is any.
func (o removeOptions) agree(ctx context.Context, dockerCLI command.Cli, name string, departures []signing.Departure) error {
	alone := 0
	for _, d := range departures {
		alone += len(d.Alone)
		if o.keep && len(d.Alone) > 0 && len(d.Heirs) == 0 {
			return fmt.Errorf("nothing was changed: no signer of %s but %s has a key here, so nobody can keep what only %[2]s has signed", d.GUN, name)
		}
		if err := o.writeDeparture(dockerCLI.Out(), d); err != nil {
			return err
		}
	}
	if alone == 0 || o.yes {
		return nil
	}
	question := fmt.Sprintf(`Type "yes" to remove %s, and to drop these tags (%d) from targets/releases: `, name, alone)
	if o.keep {
		question = fmt.Sprintf(`Type "yes" to remove %s, and to vouch for these digests (%d) under these names: `, name, alone)
	}
	return ask(ctx, dockerCLI, question, "yes")
}

func (o removeOptions) writeDeparture(to io.Writer, d signing.Departure) error {
	if len(d.Alone) == 0 {
		return nil
	}
	what := "dropped"
	if o.keep {
		what = "signed by " + strings.Join(d.Heirs, ", ")
	}
	_, _ = fmt.Fprintf(to, "No signer who stays in %s has signed these; they are %s:\n", d.GUN, what)
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, t := range d.Alone {
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%d\n", t, t.Digest, t.Size)
	}
	return w.Flush()
}
