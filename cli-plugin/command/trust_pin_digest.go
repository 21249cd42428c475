package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/opencontainers/go-digest"
)

// An approval is content that is to run without a signature.
type approval struct {
	name    string          // as it was asked for
	ref     reference.Named // under which it runs; without a tag if it was named by its ID
	content trust.Content
	digests []digest.Digest // by which it is known
}

// runPinDigests exits 3 when it cannot be told what an image is.
func runPinDigests(ctx context.Context, dockerCLI command.Cli, opts pinOptions) error {
	file, err := openPolicyFile(opts.policy.path)
	if err != nil {
		return err
	}
	after := file.text
	var approvals []approval
	for _, name := range opts.names {
		found, err := findApproval(ctx, dockerCLI.Client(), name)
		if err != nil {
			return err
		}
		if after, err = policy.AddDigests(after, found.ref.Name(), found.digests); err != nil {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		approvals = append(approvals, found)
	}
	before := newVerifier(dockerCLI, file.policy)
	for _, a := range approvals {
		if _, err := fmt.Fprint(dockerCLI.Out(), a.describe(ctx, before)); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprint(dockerCLI.Out(), "\nThis approves content; it signs nothing. It may run, and no checklist counts it as\nsigned. See that it is the content that was tested.\n")
	changed, err := file.change(ctx, dockerCLI, after, opts.yes, `Type "yes" to approve it: `)
	if err != nil {
		return err
	}
	if changed {
		_, _ = fmt.Fprintf(dockerCLI.Out(), "%s is written.\n%s", opts.policy.path, file.reload())
	}
	return opts.proveApprovals(ctx, dockerCLI, approvals)
}

// findApproval asks the engine what it holds, and by which digests that is
// known.
func findApproval(ctx context.Context, engine host.Engine, name string) (approval, error) {
	a := approval{name: name}
	asked := name
	if !isImageID(name) {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return a, fmt.Errorf("%q: %w", name, err)
		}
		a.ref, asked = ref, ref.String()
	}
	held, err := host.Hold(ctx, engine, asked)
	if err != nil {
		return a, exit(exitUnknown, "nothing was changed: %v: see whether the engine runs, and name it with --context or DOCKER_HOST", err)
	}
	if held.Content.IsZero() {
		return a, exit(exitUnknown, "nothing was changed: the engine holds no image %s: docker pull it first, and test it", name)
	}
	if a.ref == nil {
		if len(held.Names) != 1 {
			return a, fmt.Errorf("nothing was changed: the engine has %d repositories for image %s, and an approval is for one: name the image by its repository", len(held.Names), name)
		}
		a.ref = held.Names[0]
	}
	a.content = held.Content
	a.digests = held.Content.Own()
	slices.Sort(a.digests)
	a.digests = slices.Compact(a.digests)
	if len(a.digests) == 0 {
		return a, exit(exitUnknown, "nothing was changed: nothing ties image %s to a digest: %s", name, untied(held.Content))
	}
	return a, nil
}

// untied says why content has no digest, and what to do about it.
func untied(c trust.Content) string {
	if c.Store == trust.UnknownStore {
		return "the engine does not say how it keeps images, so what it says of digests proves nothing: ask it on a current API version"
	}
	return "it was built here or came by docker load, and the engine learns a digest only from a registry: push it to one, or pull it from there"
}

func (a *approval) describe(ctx context.Context, before *policy.Verifier) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  Engine   holds image %s\n", reference.FamiliarString(a.ref), a.content.ID)
	for _, dgst := range a.digests {
		fmt.Fprintf(&b, "  Digest   %s\n", dgst)
	}
	if signed, err := before.Verify(ctx, trust.Question{Ref: a.ref, Content: a.content}); err == nil && signed.Method.Signs() {
		fmt.Fprintf(&b, "  Note     it is signed by %s, so no approval is needed\n", strings.Join(signed.Signers, ", "))
	}
	return b.String()
}

// proveApprovals verifies the images by the policy as it lies there now.
func (o *pinOptions) proveApprovals(ctx context.Context, dockerCLI command.Cli, approvals []approval) error {
	verifier, err := o.policy.needed(dockerCLI)
	if err != nil {
		return err
	}
	for _, a := range approvals {
		signed, err := verifier.Verify(ctx, trust.Question{Ref: a.ref, Content: a.content})
		if err != nil {
			return exit(refusalCode(err), "%s is in the policy, and still not accepted: %s", a.name, trust.Explain(err))
		}
		word := "approved, not signed"
		if signed.Method.Signs() {
			word = "signed"
		}
		_, _ = fmt.Fprintf(dockerCLI.Out(), "%s is accepted now: %s (%s).\n", a.name, word, signed.Digest)
	}
	return nil
}
