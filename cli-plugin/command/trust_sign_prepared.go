package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/theupdateframework/notary/tuf/data"
)

// runTrustPrepare writes down what signing takes, for where no network is.
func runTrustPrepare(ctx context.Context, dockerCLI command.Cli, opts signOptions) error {
	if opts.from != "" || opts.out != "" || opts.signer != "" || opts.signing.rootKey != "" {
		return errors.New("--prepare signs nothing: --from, --out, --signer and --root-key are for the machine with the keys")
	}
	if err := signing.CheckNew(opts.prepare); err != nil {
		return err
	}
	signer, targets, err := opts.resolve(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer signer.Close()
	prepared, err := signer.Prepare(ctx, targets, nil)
	if err != nil {
		return fmt.Errorf("nothing was prepared: %w", err)
	}
	if err := writeTargets(dockerCLI.Out(), targets); err != nil {
		return err
	}
	if err := prepared.Write(opts.prepare); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(dockerCLI.Err(), "Nothing is signed yet. Where the keys are: docker stig trust sign --from %s --out SIGNED\n", opts.prepare)
	return nil
}

// runTrustSignPrepared signs what was prepared, and asks nobody but the person
// there. All of it is signed, or nothing is written.
func runTrustSignPrepared(ctx context.Context, dockerCLI command.Cli, opts signOptions) error {
	if opts.from == "" || opts.out == "" {
		return errors.New("--from and --out go together: what --prepare wrote, and a new file for what was signed")
	}
	if err := opts.checkSigner(); err != nil {
		return err
	}
	if err := signing.CheckNew(opts.out); err != nil {
		return err
	}
	prepared, err := signing.ReadPrepared(opts.from)
	if err != nil {
		return err
	}
	signer, err := opts.signing.open(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer signer.Close()
	unknown, err := opts.review(ctx, dockerCLI, signer, prepared)
	if err != nil {
		return err
	}
	if err := opts.acceptRoots(ctx, dockerCLI, unknown); err != nil {
		return err
	}
	if err := opts.confirm(ctx, dockerCLI); err != nil {
		return err
	}
	signed, results := signer.SignPrepared(ctx, prepared, signing.Order{Signer: opts.signer})
	if err := allSigned(results); err != nil {
		return err
	}
	if err := signed.Write(opts.out); err != nil {
		return err
	}
	if err := writeSigned(dockerCLI.Out(), results); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(dockerCLI.Err(), "Nothing is published yet. Where the network is: docker stig trust publish %s\n", opts.out)
	return nil
}

// allSigned joins the errors of repositories.
func allSigned(results []signing.Result) error {
	var all error
	for _, r := range results {
		all = errors.Join(all, r.Err)
	}
	if all != nil {
		return fmt.Errorf("nothing was written: %w", all)
	}
	return nil
}

// review verifies what was prepared, and lists it with whose root it is. It
// gives the repositories whose root is not known.
func (o signOptions) review(ctx context.Context, dockerCLI command.Cli, signer *signing.Signer, prepared signing.Prepared) ([]signing.Reviewed, error) {
	reviewed, err := signer.Review(prepared)
	if err != nil {
		return nil, err
	}
	verifier, err := o.signing.policy.verifier(dockerCLI)
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		defer verifier.Close()
	}
	var targets []signing.Target
	pinned := map[string]bool{}
	for _, r := range prepared.Repositories {
		targets = append(targets, r.Targets...)
		if len(r.Roots) == 0 || verifier == nil {
			continue
		}
		if pinned[r.GUN], err = pins(ctx, verifier, bundle.Repository{GUN: r.GUN, Roots: r.Roots, Roles: r.Roles}); err != nil {
			return nil, fmt.Errorf("nothing was signed of what was prepared: %w", err)
		}
	}
	if err := writeTargets(dockerCLI.Out(), targets); err != nil {
		return nil, err
	}
	if err := writeRoots(dockerCLI.Out(), reviewed, pinned); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(reviewed, func(r signing.Reviewed) bool {
		return r.Begins || pinned[r.GUN] || r.Standing != signing.Stranger
	}), nil
}

// acceptRoots has a person say of each root that nobody here has seen that it
// is the owner's. --yes is no answer: it is about a list of tags.
func (o signOptions) acceptRoots(ctx context.Context, dockerCLI command.Cli, unknown []signing.Reviewed) error {
	for _, r := range unknown {
		said := !slices.ContainsFunc(r.RootKeys, func(id string) bool { return !slices.Contains(o.roots, id) })
		switch {
		case said:
			continue
		case len(o.roots) > 0:
			return fmt.Errorf("nothing was signed: the root of %s is not known here, and has another key than --accept-root names", r.GUN)
		case !dockerCLI.In().IsTerminal():
			return fmt.Errorf("nothing was signed: the root of %s is not known here, and --yes does not vouch for it: give --accept-root ID, with the ID that the owner of the repository says", r.GUN)
		}
		question := fmt.Sprintf("Type \"yes\" if the owner of %s says that its root key is %s: ", r.GUN, strings.Join(r.RootKeys, ", "))
		if err := ask(ctx, dockerCLI, question, "yes"); err != nil {
			return err
		}
	}
	return nil
}

// pins reports whether the policy accepts the root of a repository. It is an
// error that the policy has a pin, and not this one.
func pins(ctx context.Context, verifier *policy.Verifier, r bundle.Repository) (bool, error) {
	ref, err := reference.ParseNormalizedNamed(r.GUN)
	if err != nil {
		return false, err
	}
	if verifier.Scope(ref) == "" {
		return false, nil
	}
	for _, one := range verifier.Examine(ctx, bundle.Bundle{Repositories: []bundle.Repository{r}}) {
		if refused := new(trust.Error); errors.As(one.Err, &refused) && refused.Role == data.CanonicalRootRole.String() {
			return false, fmt.Errorf("the policy does not accept the root of %s: %s", r.GUN, trust.Explain(one.Err))
		}
		if one.Err != nil { // a scope without a pin, or a role that signing mends
			return false, nil //nolint:nilerr // the policy says nothing of the root
		}
	}
	return true, nil
}

// writeRoots says of each repository why its root may be believed.
func writeRoots(to io.Writer, reviewed []signing.Reviewed, pinned map[string]bool) error {
	var text strings.Builder
	for _, r := range reviewed {
		if r.Begins {
			fmt.Fprintf(&text, "%s has no signatures, and begins\n", r.GUN)
			continue
		}
		why := "NOT KNOWN HERE: compare it with what the owner of the repository says"
		switch {
		case pinned[r.GUN]:
			why = "which the policy pins"
		case r.Standing == signing.Own:
			why = "which is in the folder of keys"
		case r.Standing == signing.Seen:
			why = "as it was seen here before"
		}
		fmt.Fprintf(&text, "%s has the root key %s, %s\n", r.GUN, strings.Join(r.RootKeys, ", "), why)
	}
	_, err := io.WriteString(to, text.String())
	return err
}
