package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// maxVerifications bounds the images that are verified at the same time.
const maxVerifications = 16

func newTrustCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust COMMAND",
		Short: "Tell whether images are signed by the people the policy names",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTrustVerifyCommand(dockerCLI))
	return cmd
}

type verifyOptions struct {
	policy policyOptions
	images []string
	format verdictFormat
}

func newTrustVerifyCommand(dockerCLI command.Cli) *cobra.Command {
	opts := verifyOptions{format: "table"}
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] IMAGE...",
		Short: "Verify that images are vouched for",
		Long: `Tell of each image, by its name or its full ID, whether the signers that the
policy names vouch for it, for which digest, and whether the image that the
engine holds under that name is that content. The policy decides who is
believed; no environment variable does.

Exit codes: 0 all are vouched for; 2 at least one is refused, or the engine
holds other content under its name; 3 none is refused, but a question could not
be answered; 1 everything else.`,
		Example: `  docker stig trust verify registry.example.com/prod/app:1.2
  docker stig trust verify --format json --policy policy.json app:1 web:2`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.images = args
			return runTrustVerify(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	cmd.Flags().Var(&opts.format, "format", "Write the verdicts as json or table")
	return cmd
}

// A verdict is the answer about one image.
type verdict struct {
	name   string
	ref    reference.Named // nil: the image was named by its ID
	signed trust.Signed
	err    error         // why it is not vouched for
	held   trust.Content // what the engine holds under the name; zero: nothing
	asked  error         // why the engine could not tell
}

// refused reports whether the answer is a no: to run the image now would run
// content that nobody vouches for.
func (v verdict) refused() bool {
	return (v.err != nil && !trust.Inconclusive(v.err)) || v.holdsOther()
}

// holdsOther reports whether the engine holds other content under the name.
func (v verdict) holdsOther() bool {
	return v.err == nil && !v.held.IsZero() && v.signed.Digest != "" && !v.held.Is(v.signed.Digest)
}

// unknown reports whether a question is left open.
func (v verdict) unknown() bool {
	return !v.refused() && (v.err != nil || v.asked != nil || v.signed.Digest == "")
}

func runTrustVerify(ctx context.Context, dockerCLI command.Cli, opts verifyOptions) error {
	refs := make([]reference.Named, len(opts.images))
	for i, image := range opts.images {
		if isImageID(image) {
			continue
		}
		ref, err := reference.ParseDockerRef(image) // :latest where nothing is said, as docker pull has it
		if err != nil {
			return fmt.Errorf("%q: %w", image, err) // Docker's own words
		}
		refs[i] = ref
	}
	verifier, err := opts.policy.verifier(dockerCLI.Err())
	if err != nil {
		return err
	}
	if verifier == nil {
		return fmt.Errorf("there is no policy at %s, so nobody's signature counts: write one, or name one with --policy", policy.DefaultPath)
	}
	verdicts := make([]verdict, len(refs))
	var group errgroup.Group
	group.SetLimit(maxVerifications)
	for i, ref := range refs {
		group.Go(func() error {
			verdicts[i] = judge(ctx, dockerCLI.Client(), verifier, opts.images[i], ref)
			return nil
		})
	}
	_ = group.Wait() // no verdict is an error
	if err := verdictWriters[opts.format](dockerCLI.Out(), verdicts); err != nil {
		return err
	}
	return verifyExit(verdicts)
}

// isImageID holds for an image ID in full, which cannot be a name.
func isImageID(image string) bool {
	if len(image) == 64 {
		image = "sha256:" + image
	}
	_, err := digest.Parse(image)
	return err == nil
}

// judge verifies the name, then what the engine holds under it. A digest list
// judges content only, so there the engine's is asked about; and so it is for
// an ID, for which the engine proposes repositories.
func judge(ctx context.Context, engine host.Engine, verifier trust.Verifier, image string, ref reference.Named) verdict {
	v := verdict{name: image, ref: ref}
	asked := image
	if ref != nil {
		asked = ref.String()
	}
	var held host.Held
	held, v.asked = host.Hold(ctx, engine, asked)
	v.held = held.Content
	if ref == nil {
		v.signed, v.err = judgeContent(ctx, verifier, held, v.asked)
		return v
	}
	v.signed, v.err = verifier.Verify(ctx, trust.Question{Ref: ref})
	if v.err == nil && v.signed.Digest == "" && !v.held.IsZero() {
		v.signed, v.err = verifier.Verify(ctx, trust.Question{Ref: ref, Content: v.held})
	}
	return v
}

func judgeContent(ctx context.Context, verifier trust.Verifier, held host.Held, asked error) (trust.Signed, error) {
	if asked != nil {
		return trust.Signed{}, &trust.Error{Reason: trust.Unreachable, Err: asked}
	}
	if held.Content.IsZero() {
		return trust.Signed{}, &trust.Error{Reason: trust.Unreachable, Err: errors.New("the engine holds no image with this ID, so nothing tells its repository"), Next: "name the image by its repository"}
	}
	var questions []trust.Question
	for _, name := range held.Names {
		questions = append(questions, trust.Question{Ref: name, Content: held.Content})
	}
	return trust.VerifyAny(ctx, verifier, questions)
}

func verifyExit(verdicts []verdict) error {
	var refused, unknown int
	for _, v := range verdicts {
		switch {
		case v.refused():
			refused++
		case v.unknown():
			unknown++
		}
	}
	switch {
	case refused > 0:
		return exit(exitNo, "%d of %d images refused", refused, len(verdicts))
	case unknown > 0:
		return exit(exitUnknown, "%d of %d images could not be fully judged", unknown, len(verdicts))
	default:
		return nil
	}
}

// verdictFormat is a way to write verdicts.
type verdictFormat string

var verdictWriters = map[verdictFormat]func(io.Writer, []verdict) error{
	"table": writeVerdictTable,
	"json":  writeVerdictJSON,
}

// Set makes a format of a flag's value.
func (f *verdictFormat) Set(text string) error {
	if _, ok := verdictWriters[verdictFormat(text)]; !ok {
		return errors.New("want json or table")
	}
	*f = verdictFormat(text)
	return nil
}

// String is the flag's value.
func (f *verdictFormat) String() string { return string(*f) }

// Type names the value in --help.
func (f *verdictFormat) Type() string { return "format" }
