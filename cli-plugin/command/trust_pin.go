package command

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

type pinOptions struct {
	policy policyOptions
	names  []string
	yes    bool
	digest bool
	cert   bool
	scope  string
	id     string
}

func newTrustPinCommand(dockerCLI command.Cli) *cobra.Command {
	var opts pinOptions
	cmd := &cobra.Command{
		Use:   "pin [OPTIONS] REPO | pin --digest [OPTIONS] IMAGE...",
		Short: "Name in the policy whose signatures, or which content, counts",
		Long: `Show the root key that a repository's trust server offers, and how to compare it
with what its publisher says by another way; after a yes write its ID into the
policy. Nobody vouches for what a server offers: the comparison is what makes
the pin worth anything. With --key-id it has been made already: the pin is
written without asking if the server offers that key, and refused if not. Where
the policy has an empty list of servers, nothing can be compared: it asks all
the same, unless --yes is given, and verifies nothing.

With --digest the content that the engine holds under each name is approved: its
digest is added to "digests". That is no signature; no checklist counts it as
one.

Changing a policy below /etc takes root. A policy that is missing is begun at ` + policy.DefaultPath + `, in mode
permissive.

Exit codes: 0 the policy says so now, and what it names is accepted, or no server
is there to ask; 2 --key-id is not the key that is offered, or the repository is
refused all the same; 3 the trust server or the engine could not tell; 1
everything else, nothing was changed.`,
		Example: `  sudo docker stig trust pin registry.example.com/prod/app
  sudo docker stig trust pin --scope 'registry.example.com/prod/*' registry.example.com/prod/app
  sudo docker stig trust pin --key-id 84ca6e44... registry.example.com/prod/app
  sudo docker stig trust pin --digest registry.example.com/vendor/agent:3.5`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := opts.check(); err != nil {
				return usageError(cmd, err)
			}
			if opts.digest {
				return arguments(1, -1)(cmd, args)
			}
			return arguments(1, 1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			if opts.digest {
				return runPinDigests(cmd.Context(), dockerCLI, opts)
			}
			return runPinRoot(cmd.Context(), dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	opts.policy.addFlags(flags)
	flags.BoolVarP(&opts.yes, "yes", "y", false, "Change the policy without asking; without --key-id nobody has compared anything then")
	flags.BoolVar(&opts.digest, "digest", false, "Approve the content that the engine holds, which is no signature")
	flags.BoolVar(&opts.cert, "cert", false, "Pin the root certificate of this one repository rather than the key")
	flags.StringVar(&opts.scope, "scope", "", "Pattern of repositories to pin the key for (default the repository alone)")
	flags.StringVar(&opts.id, "key-id", "", "ID that the publisher told by another way; with --cert, the certificate's")
	return cmd
}

// check refuses what contradicts itself, and brings the ID into its form: one
// that was read aloud may have been written down in groups.
func (o *pinOptions) check() error {
	switch {
	case o.digest && (o.cert || o.scope != "" || o.id != ""):
		return errors.New("--digest pins content, and has no use for --cert, --scope and --key-id")
	case o.cert && o.scope != "":
		return errors.New("a certificate is made for one repository, so --cert has no use for --scope")
	case o.id == "":
		return nil
	}
	o.id = strings.ToLower(strings.Join(strings.Fields(o.id), ""))
	if raw, err := hex.DecodeString(o.id); err != nil || len(raw) != 32 {
		return fmt.Errorf("--key-id %q: want all 64 hexadecimal digits", o.id)
	}
	return nil
}

// runPinRoot exits 2 when the repository is not what the person was told, or
// is refused in spite of the pin.
func runPinRoot(ctx context.Context, dockerCLI command.Cli, opts pinOptions) error {
	ref, err := parseRepository(opts.names[0])
	if err != nil {
		return err
	}
	file, err := openPolicyFile(opts.policy.path)
	if err != nil {
		return err
	}
	if !matches(opts.pattern(ref), ref) {
		return fmt.Errorf("--scope %q does not cover %s, so the pin would not serve it: %q would", opts.scope, ref.Name(), ref.Name())
	}
	offered, err := opts.candidate(ctx, newVerifier(dockerCLI, file.policy), file.policy, ref)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(dockerCLI.Out(), offer(offered, opts)); err != nil {
		return err
	}
	ids, err := opts.choose(offered)
	if err != nil {
		return err
	}
	after, err := opts.edit(file, ref, ids)
	if err != nil {
		return err
	}
	changed, err := file.change(ctx, dockerCLI, after, opts.yes || (opts.id != "" && len(offered.Keys) > 0),
		`Type "yes" if the publisher has told you this very ID by another way: `)
	if err != nil {
		return err
	}
	return opts.prove(ctx, dockerCLI, ref, file, changed)
}

// parseRepository reads a repository's name. A pin holds for all its tags.
func parseRepository(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	if !reference.IsNameOnly(ref) {
		return nil, fmt.Errorf("%q: a key is pinned for a repository with all its tags: docker stig trust pin %s", name, reference.FamiliarName(ref))
	}
	return ref, nil
}

func (o *pinOptions) pattern(ref reference.Named) string {
	if o.scope != "" {
		return o.scope
	}
	return ref.Name()
}

// matches reports whether a pattern of a policy covers a repository.
func matches(pattern string, ref reference.Named) bool {
	var alone policy.Policy
	alone.ContentTrust.TrustPinning.RootKeys = map[string][]string{pattern: {""}}
	return policy.NewVerifier(&alone, policy.Options{Now: time.Now}).Scope(ref) == pattern
}

// candidate asks the server what it offers. Where none is to be asked, the ID
// that the publisher told is all there is.
func (o *pinOptions) candidate(ctx context.Context, v *policy.Verifier, p *policy.Policy, ref reference.Named) (notary.Candidate, error) {
	if len(v.Servers(ref)) == 0 {
		if o.id == "" {
			return notary.Candidate{}, fmt.Errorf("the policy has an empty list of servers for %s, so none can be asked what it offers: give the ID that the publisher told you with --key-id", reference.Domain(ref))
		}
		return notary.Candidate{GUN: ref.Name()}, nil
	}
	offered, err := v.Candidate(ctx, ref)
	if err == nil {
		return offered, nil
	}
	elsewhere := ""
	if _, named := p.Notary.Servers[reference.Domain(ref)]; !named {
		elsewhere = "; if its trust server is another one, name that under notary/servers in the policy"
	}
	return offered, exit(refusalCode(err), "nothing was changed: %s%s", trust.Explain(err), elsewhere)
}

// refusalCode is the exit code of a refusal, or of a question left open.
func refusalCode(err error) int {
	if trust.Inconclusive(err) {
		return exitUnknown
	}
	return exitNo
}

// choose picks the IDs to pin: those offered, or the one that was told.
func (o *pinOptions) choose(offered notary.Candidate) ([]string, error) {
	var keys, certificates []string
	for _, key := range offered.Keys {
		keys, certificates = append(keys, key.ID), append(certificates, key.CertificateID)
	}
	ids, others, other := keys, certificates, "its certificate: give --cert to pin that"
	if o.cert {
		ids, others, other = certificates, keys, "its key: leave --cert out to pin that"
	}
	switch {
	case o.id == "":
		return ids, nil
	case len(offered.Keys) == 0 || slices.Contains(ids, o.id):
		return []string{o.id}, nil
	case slices.Contains(others, o.id):
		return nil, fmt.Errorf("nothing was changed: %s is the ID of %s", o.id, other)
	default:
		return nil, exit(exitNo, "nothing was changed: the server does not offer %s: ask its publisher, by the way you were told that ID, what became of it; if nothing did, the server or the way to it is not to be believed", o.id)
	}
}

// edit adds the IDs to the policy's text, and refuses an addition that would
// not decide the repository.
func (o *pinOptions) edit(file *policyFile, ref reference.Named, ids []string) ([]byte, error) {
	add := policy.AddRootKeys
	if o.cert {
		add = policy.AddCertIDs
	}
	pattern := o.pattern(ref)
	after, err := add(file.text, pattern, ids)
	if err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	edited, err := policy.Parse(file.path, slices.Clone(after))
	if err != nil {
		return nil, err
	}
	if decides := policy.NewVerifier(edited, policy.Options{Now: time.Now}).Scope(ref); decides != pattern {
		return nil, fmt.Errorf("nothing was changed: a pin for %q would not serve %s, which the policy's more specific %q decides: add to that one", pattern, ref.Name(), decides)
	}
	return after, nil
}

// prove verifies the repository by the policy as it lies there now.
func (o *pinOptions) prove(ctx context.Context, dockerCLI command.Cli, ref reference.Named, file *policyFile, changed bool) error {
	verifier, err := o.policy.needed(dockerCLI)
	if err != nil {
		return err
	}
	out := dockerCLI.Out()
	if changed {
		_, _ = fmt.Fprintf(out, "%s is written.\n%s", o.policy.path, file.reload())
	}
	i := inspection{name: o.names[0], ref: ref}
	if len(verifier.Servers(ref)) == 0 {
		_, err := fmt.Fprintln(out, "No server is asked about it: docker stig trust import brings what is signed.")
		return err
	}
	i.inspect(ctx, verifier)
	if i.err != nil {
		return exit(refusalCode(i.err), "%s is pinned, and still not accepted: %s", reference.FamiliarName(ref), trust.Explain(i.err))
	}
	_, _ = fmt.Fprintf(out, "%s is accepted%s.\n", reference.FamiliarName(ref), i.count())
	if from := refusedFrom(i.found, time.Now()); from != "" {
		_, _ = fmt.Fprintln(out, from)
	}
	if len(i.found.Tags) > 0 && len(i.found.Digests()) == 0 {
		return exit(exitNo, "none of its tags is vouched for: docker stig trust inspect %s says why", reference.FamiliarName(ref))
	}
	return nil
}
