package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"
)

type showOptions struct {
	policy policyOptions
	file   string
}

func newTrustShowCommand(dockerCLI command.Cli) *cobra.Command {
	var opts showOptions
	cmd := &cobra.Command{
		Use:   "show [OPTIONS] FILE|-",
		Short: "Show what a bundle holds, and whether the policy accepts it",
		Long: `Show what a bundle holds: repositories, versions of their metadata, tags with
their digests, images. Nothing is kept of it. With a policy each repository is
verified as an import would; without one, or where the policy refuses it, what
is shown is only what the file says of itself.

Exit codes: 0; 2 the policy refuses something; 1 everything else, such as a
damaged file.`,
		Example: `  docker stig trust show prod.bundle`,
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.file = args[0]
			return runTrustShow(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	return cmd
}

func runTrustShow(ctx context.Context, dockerCLI command.Cli, opts showOptions) error {
	verifier, err := opts.policy.verifier(dockerCLI)
	if err != nil {
		return err
	}
	b, err := readBundle(dockerCLI, opts.file)
	if err != nil {
		return err
	}
	verified := map[string]policy.Carried{}
	refused := 0
	if verifier != nil {
		for _, carried := range verifier.Examine(ctx, b) {
			verified[carried.GUN] = carried
			if carried.Err != nil {
				refused++
			}
		}
	}
	var paragraphs []paragraph
	for _, r := range b.Repositories {
		paragraphs = append(paragraphs, showRepository(r, verified, time.Now()))
	}
	if err := writeParagraphs(dockerCLI.Out(), paragraphs); err != nil {
		return err
	}
	if err := showImages(dockerCLI.Out(), b); err != nil {
		return err
	}
	if refused > 0 {
		return exit(exitNo, "%d of %d repositories would be refused", refused, len(b.Repositories))
	}
	return nil
}

// showRepository shows the tags that the policy vouches for, or else, marked,
// those that the file claims.
func showRepository(r bundle.Repository, verified map[string]policy.Carried, now time.Time) paragraph {
	p := paragraph{title: r.GUN}
	claims := readClaims(r)
	carried, judged := verified[r.GUN]
	accepted := judged && carried.Err == nil
	switch {
	case !judged:
		p.add("Policy", "none at %s, so this is unverified: what the file says of itself", policy.DefaultPath)
	case carried.Err != nil:
		p.add("Policy", "refuses it; what follows is unverified")
		p.addRefusal(carried.Err)
	default:
		p.add("Policy", "accepts it")
		p.addUntil(carried.Repository, now)
		if endsSoon(carried.Repository, now) {
			p.add("Next", "%s", prolonging(carried.Repository))
		}
	}
	p.add("Metadata", "%s", claims.versions())
	if !accepted {
		p.add("Tags", "%s", claims.tags())
		return p
	}
	var lines []string
	for _, tag := range carried.Tags {
		line := printable(tag.Name) + "  " + string(tag.Signed.Digest)
		if tag.Err != nil {
			line = printable(tag.Name) + "  refused: " + reasonOf(tag.Err)
		}
		lines = append(lines, line)
	}
	p.add("Tags", "%s", linesOrNone(lines))
	return p
}

func linesOrNone(lines []string) string {
	if len(lines) == 0 {
		return "none"
	}
	return strings.Join(lines, "\n")
}

// showImages lists the content that manifests are there for.
func showImages(w io.Writer, b bundle.Bundle) error {
	if len(b.Images) == 0 {
		return nil
	}
	title := "Images (their manifests; the layers are not in it)"
	if len(b.Blobs) > 0 {
		var size int64
		for _, blob := range b.Blobs {
			size += blob.Size
		}
		title = fmt.Sprintf("Images (with their layers, %s; docker load takes them in)", units.HumanSize(float64(size)))
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\n", title)
	for _, image := range slices.SortedFunc(slices.Values(b.Images), func(a, b bundle.Image) int { return strings.Compare(a.Name, b.Name) }) {
		fmt.Fprintf(&text, "  %s  %s\n", image.Name, image.Digest)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
