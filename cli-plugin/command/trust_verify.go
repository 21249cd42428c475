package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker/cli/cli/command"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// maxVerifications bounds the images that are verified at the same time.
const maxVerifications = 16

type verifyOptions struct {
	policy policyOptions
	build  buildOptions
	images []string
	format format
}

func newTrustVerifyCommand(dockerCLI command.Cli) *cobra.Command {
	opts := verifyOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "verify [OPTIONS] [IMAGE...]",
		Short: "Verify that images are vouched for",
		Long: `Tell of each image, by its name or its full ID, whether the signers that the
policy names vouch for it, for which digest, and whether the image that the
engine holds under that name is that content. The policy decides who is
believed; no environment variable does.

With --dockerfile the images are those that a build starts from: FROM, COPY
--from, RUN --mount=from and the syntax line. What a base image brings along as
ONBUILD, and what --build-context puts in another's place, is not in the file.

Exit codes: 0 all are vouched for; 2 at least one is refused, or the engine
holds other content under its name; 3 none is refused, but a question could not
be answered; 1 everything else.`,
		Example: `  docker stig trust verify registry.example.com/prod/app:1.2
  docker stig trust verify --format json --policy policy.json app:1 web:2
  docker stig trust verify --dockerfile Dockerfile --build-arg BASE=debian:12`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := opts.build.check(); err != nil {
				return usageError(cmd, err)
			}
			if opts.build.path != "" {
				return nil
			}
			return arguments(1, -1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.images = args
			return runTrustVerify(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	opts.build.addFlags(cmd.Flags())
	cmd.Flags().Var(&opts.format, "format", "Write the verdicts as json or table")
	return cmd
}

// A verdict is the answer about one image.
type verdict struct {
	name   string
	ref    reference.Named // nil: the image was named by its ID, or base does not tell
	base   *basis          // where a build names it; nil: it was an argument
	signed trust.Signed
	err    error         // why it is not vouched for
	held   trust.Content // what the engine holds under the name; zero: nothing
	other  error         // why that is not the content that is vouched for
	asked  error         // why the engine could not tell
}

// refused reports whether the answer is a no: to run the image now would run
// content that nobody vouches for.
func (v verdict) refused() bool {
	return (v.err != nil && !trust.Inconclusive(v.err)) || v.holdsOther()
}

// holdsOther reports whether the engine holds other content under the name.
func (v verdict) holdsOther() bool {
	return v.err == nil && v.other != nil
}

// unknown reports whether a question is left open.
func (v verdict) unknown() bool {
	return !v.refused() && (v.err != nil || v.asked != nil || v.signed.Digest == "")
}

// untold reports whether the Dockerfile leaves open which image is meant.
func (v verdict) untold() bool { return v.base != nil && v.base.Err != nil }

func runTrustVerify(ctx context.Context, dockerCLI command.Cli, opts verifyOptions) error {
	verdicts, err := opts.questions(dockerCLI)
	if err != nil {
		return err
	}
	if len(verdicts) == 0 && opts.format == tableFormat {
		_, err := fmt.Fprintf(dockerCLI.Out(), "The build in %s starts from no image, so nobody has to vouch for one.\n", opts.build.name())
		return err
	}
	if len(verdicts) > 0 {
		verifier, err := opts.policy.needed(dockerCLI)
		if err != nil {
			return err
		}
		judgeAll(ctx, dockerCLI.Client(), verifier, verdicts)
	}
	if err := writeVerdicts(dockerCLI.Out(), opts.format, verdicts); err != nil {
		return err
	}
	return verifyExit(verdicts)
}

// questions are the images that were asked about, not judged yet.
func (o verifyOptions) questions(dockerCLI command.Cli) ([]verdict, error) {
	var verdicts []verdict
	for _, image := range o.images {
		if isImageID(image) {
			verdicts = append(verdicts, verdict{name: image})
			continue
		}
		ref, err := reference.ParseDockerRef(image) // :latest where nothing is said, as docker pull has it
		if err != nil {
			return nil, fmt.Errorf("%q: %w", image, err) // Docker's own words
		}
		verdicts = append(verdicts, verdict{name: image, ref: ref})
	}
	if o.build.path == "" {
		return verdicts, nil
	}
	bases, err := o.build.bases(dockerCLI)
	return append(verdicts, bases...), err
}

// judgeAll completes the verdicts, several at a time.
func judgeAll(ctx context.Context, engine host.Engine, verifier trust.Verifier, verdicts []verdict) {
	var group errgroup.Group
	group.SetLimit(maxVerifications)
	for i := range verdicts {
		group.Go(func() error {
			if verdicts[i].err == nil { // the file tells which image it is
				verdicts[i].judge(ctx, engine, verifier)
			}
			return nil
		})
	}
	_ = group.Wait() // no verdict is an error
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
func (v *verdict) judge(ctx context.Context, engine host.Engine, verifier trust.Verifier) {
	asked := v.name
	if v.ref != nil {
		asked = v.ref.String()
	}
	var held host.Held
	held, v.asked = host.Hold(ctx, engine, asked)
	v.held = held.Content
	if v.ref == nil {
		v.signed, v.err = judgeContent(ctx, verifier, held, v.asked)
		return
	}
	v.signed, v.err = verifier.Verify(ctx, trust.Question{Ref: v.ref})
	if v.err != nil || v.held.IsZero() {
		return
	}
	signed, err := verifier.Verify(ctx, trust.Question{Ref: v.ref, Content: v.held})
	if v.signed.Digest == "" || err == nil {
		v.signed, v.err = signed, err
		return
	}
	v.other = err
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
	answer, err := trust.VerifyAny(ctx, verifier, questions)
	return answer.Signed, err
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
