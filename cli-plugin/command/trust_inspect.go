package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

type inspectOptions struct {
	policy policyOptions
	names  []string
	format format
	pretty bool
	all    bool
}

func newTrustInspectCommand(dockerCLI command.Cli) *cobra.Command {
	opts := inspectOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] REPO[:TAG]...",
		Short: "Show who signs repositories, and until when that holds",
		Long: `Show what the signed metadata of repositories says, once it has been verified
from the pinned root on: roles with versions, thresholds, keys and expiries,
the delegations of signers, the tags with their digests, what the policy makes
of each, and the day from which starts will be refused.

A repository without a pin is not shown: nobody has verified it.

--format json has the fields of docker trust inspect (Name, SignedTags, Signers,
AdministrativeKeys) and beside them Verdict (accepted, refused or unknown),
Reason, Error, Next, Scope, Source (server, cache or bundle), Servers,
RefusedFrom, Roles, Tags and Warnings. SchemaVersion grows when a field goes
away or changes its meaning. Times are RFC 3339 in UTC.

Exit codes: 0 the repositories, or the tags that were named, are vouched for; 2
at least one is not; 3 none is refused, but one could not be found out; 1
everything else.`,
		Example: `  docker stig trust inspect registry.example.com/prod/app
  docker stig trust inspect --format json registry.example.com/prod/app:1.2`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			if opts.pretty {
				opts.format = tableFormat
			}
			return runTrustInspect(cmd.Context(), dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	opts.policy.addFlags(flags)
	flags.Var(&opts.format, "format", "Write what was found as json or table")
	flags.BoolVar(&opts.pretty, "pretty", false, "The same as --format table, for users of docker trust inspect")
	flags.BoolVar(&opts.all, "all", false, "Show every row of the table, be they thousands")
	return cmd
}

// An inspection is what was found out about one repository.
type inspection struct {
	name    string          // as it was asked for
	ref     reference.Named // with the tag, if one was asked for
	scope   string          // pattern of the policy; empty: none
	servers []string        // that are asked, in order
	found   notary.Repository
	err     error // why nothing was verified, or is not good any more, or why the tag is not vouched for
}

func runTrustInspect(ctx context.Context, dockerCLI command.Cli, opts inspectOptions) error {
	inspections := make([]inspection, len(opts.names))
	for i, name := range opts.names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		if _, digested := ref.(reference.Digested); digested {
			return fmt.Errorf("%q: name a repository or a tag of it; docker stig trust verify judges a digest", name)
		}
		inspections[i] = inspection{name: name, ref: ref}
	}
	verifier, err := opts.policy.needed(dockerCLI)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(maxVerifications)
	for i := range inspections {
		group.Go(func() error {
			inspections[i].inspect(ctx, verifier)
			return nil
		})
	}
	_ = group.Wait() // each keeps its own error
	if err := writeInspections(dockerCLI, opts, inspections); err != nil {
		return err
	}
	return inspectExit(inspections)
}

func writeInspections(dockerCLI command.Cli, opts inspectOptions, inspections []inspection) error {
	now := time.Now()
	if opts.format == jsonFormat {
		return writeInspectionJSON(dockerCLI.Out(), inspections, now)
	}
	return writeInspectionTable(dockerCLI.Out(), inspections, now, opts.all)
}

func (i *inspection) inspect(ctx context.Context, verifier *policy.Verifier) {
	i.scope, i.servers = verifier.Scope(i.ref), verifier.Servers(i.ref)
	i.found, i.err = verifier.Inspect(ctx, reference.TrimNamed(i.ref))
	if i.err != nil {
		i.err = i.unpinned(i.err)
		return
	}
	i.err = i.found.Err
	if _, ok := i.tag(); ok {
		i.pick()
	}
}

// unpinned says how a repository that nobody pinned can be pinned.
func (i *inspection) unpinned(err error) error {
	refused := new(trust.Error)
	if !errors.As(err, &refused) || refused.Reason != trust.NoScope {
		return err
	}
	answer := *refused
	answer.Err = errors.New("no root key of it is pinned in the policy, so nothing that its server says can be verified")
	if i.scope != "" {
		answer.Err = fmt.Errorf("%w; the digests listed for %s are approved, not signed", answer.Err, i.scope)
	}
	answer.Next = "docker stig trust pin " + reference.FamiliarName(i.ref)
	return &answer
}

// tag is the one that was asked for, if one was.
func (i *inspection) tag() (string, bool) {
	tagged, ok := i.ref.(reference.Tagged)
	if !ok {
		return "", false
	}
	return tagged.Tag(), true
}

// pick leaves the tag that was asked for, whose verdict is then the answer.
func (i *inspection) pick() {
	name, _ := i.tag()
	signed := len(i.found.Tags)
	i.found.Tags = slices.DeleteFunc(i.found.Tags, func(t notary.Tag) bool { return t.Name != name })
	switch {
	case i.err != nil:
	case len(i.found.Tags) == 0:
		i.err = &trust.Error{Reason: trust.Unsigned, Ref: i.ref, Err: fmt.Errorf("nobody signed tag %s; %d other tags are signed", name, signed)}
	default:
		i.err = i.found.Tags[0].Err
	}
}

// verdict is what the policy says of the repository, or of the tag.
func (i *inspection) verdict() string {
	switch {
	case i.err == nil:
		return "accepted"
	case trust.Inconclusive(i.err):
		return "unknown"
	default:
		return "refused"
	}
}

func inspectExit(inspections []inspection) error {
	var refused, unknown int
	for _, i := range inspections {
		switch {
		case i.err == nil:
		case trust.Inconclusive(i.err):
			unknown++
		default:
			refused++
		}
	}
	switch {
	case refused > 0:
		return exit(exitNo, "%d of %d refused", refused, len(inspections))
	case unknown > 0:
		return exit(exitUnknown, "%d of %d could not be found out", unknown, len(inspections))
	default:
		return nil
	}
}
