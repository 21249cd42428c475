package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/docker/go-units"
	"github.com/google/renameio/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
)

type exportOptions struct {
	policy    policyOptions
	output    string
	images    bool
	platforms []string
	names     []string
}

func newTrustExportCommand(dockerCLI command.Cli) *cobra.Command {
	var opts exportOptions
	cmd := &cobra.Command{
		Use:   "export [OPTIONS] REPO[:TAG]...",
		Short: "Write a bundle that verifies images where no trust server is",
		Long: `Write a bundle: one file with the signatures of repositories and the manifests
vouched for, as their servers give them now. On a machine that reaches no trust
server, 'docker stig trust import' makes images verify by it. The policy decides
what is worth carrying; where the bundle goes, the policy there decides again.

The images themselves go by 'docker save' and 'docker load' where the engine has
a graphdriver. An engine with the containerd image store would give such an
archive another digest than the signed one: --images puts the layers into the
bundle, and 'docker load' reads it on engines of both kinds.

A bundle ages. A trust server renews its word every 14 days or so, and a bundle
is that word on one day: the last line says until when it serves.

Exit codes: 0 the bundle is written; 2 the policy refuses something that was to
go into it; 3 a server could not be asked; 1 everything else. But for 0 nothing
is written to FILE.`,
		Example: `  docker stig trust export dtr.example.com/prod/app:1.2 > app.bundle
  docker stig trust export --images --platform linux/amd64 -o prod.bundle dtr.example.com/prod/app dtr.example.com/prod/web`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			return runTrustExport(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&opts.output, "output", "o", "", "Write the bundle to a file instead of standard output")
	cmd.Flags().BoolVar(&opts.images, "images", false, "Put the images' layers into the bundle, too")
	cmd.Flags().StringSliceVar(&opts.platforms, "platform", nil, "Of images for several platforms take this one, OS/ARCH[/VARIANT]; may be repeated (default all)")
	return cmd
}

// runTrustExport gathers first and writes then, so that what cannot be had
// costs no half bundle. A signal ends it like any other failure.
func runTrustExport(ctx context.Context, dockerCLI command.Cli, opts exportOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	refs, err := exportRefs(opts.names)
	if err != nil {
		return err
	}
	wanted, err := parsePlatforms(opts.platforms)
	if err != nil {
		return err
	}
	if err := checkOutput(dockerCLI, opts.output); err != nil {
		return err
	}
	verifier, err := opts.policy.needed(dockerCLI)
	if err != nil {
		return err
	}
	e := exporting{talk: dockerCLI.Err(), chatty: dockerCLI.Err().IsTerminal()}
	e.progress("asking about %s", count(len(refs), "name", "names"))
	b, err := verifier.Export(ctx, refs, wanted.keep)
	if err != nil {
		return exportError(err)
	}
	if err := e.checkPlatforms(b, wanted); err != nil {
		return err
	}
	seen := verifier.Examine(ctx, b)
	for _, carried := range seen {
		if carried.Err != nil {
			return exportError(fmt.Errorf("%s: the bundle would not be accepted here: %w", carried.GUN, carried.Err))
		}
	}
	var layers bundle.Blobs
	if opts.images {
		e.blobs, layers = verifier.Blobs(), &e
	}
	if err := e.write(ctx, dockerCLI.Out(), opts.output, b, layers); err != nil {
		return err
	}
	e.summarize(b, seen, time.Now())
	return nil
}

// exportRefs reads repositories, with or without a tag.
func exportRefs(names []string) ([]reference.Named, error) {
	var refs []reference.Named
	for _, name := range names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", name, err) // Docker's own words
		}
		if _, digested := ref.(reference.Digested); digested {
			return nil, fmt.Errorf("%q: a bundle carries tags, with the digests they are signed for: name the tag, or the repository alone", name)
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// checkOutput wants a place that a bundle can be written to.
func checkOutput(dockerCLI command.Cli, path string) error {
	if path == "" {
		if dockerCLI.Out().IsTerminal() {
			return errors.New("a bundle is nothing to read on a terminal: name a file with -o FILE, or redirect standard output")
		}
		return nil
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file that a bundle could take the place of: name another, or redirect standard output to it", path)
	}
	return nil
}

// exportError tells a no from a question that stayed open. The error names
// the repository.
func exportError(err error) error {
	refused := new(trust.Error)
	switch {
	case !errors.As(err, &refused):
		return err
	case trust.Inconclusive(err):
		return exit(exitUnknown, "%s", trust.Explain(err))
	default:
		return exit(exitNo, "%s", trust.Explain(err))
	}
}

// exporting talks about one export, and counts it.
type exporting struct {
	talk   io.Writer
	chatty bool         // a person looks on
	blobs  bundle.Blobs // nil: no layers
	layers int
	loaded int64 // bytes of layers
	size   int64 // bytes written
}

func (e *exporting) progress(format string, args ...any) {
	if e.chatty {
		_, _ = fmt.Fprintf(e.talk, format+"\n", args...)
	}
}

// Open gives a layer, and says so.
func (e *exporting) Open(ctx context.Context, name string, d ocispec.Descriptor) (io.ReadCloser, error) {
	e.layers++
	e.loaded += d.Size
	e.progress("%s: %s, %s", name, d.Digest, units.HumanSize(float64(d.Size)))
	return e.blobs.Open(ctx, name, d)
}

// write writes to the file whole, or not at all.
func (e *exporting) write(ctx context.Context, out io.Writer, path string, b bundle.Bundle, blobs bundle.Blobs) error {
	if path == "" {
		return bundle.Write(ctx, e.counting(out), b, blobs)
	}
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("writing the bundle to %s: %w", path, cause(err))
	}
	defer file.Cleanup() //nolint:errcheck // after a replace there is nothing left to clean
	if err := bundle.Write(ctx, e.counting(file), b, blobs); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("writing the bundle to %s: %w", path, cause(err))
	}
	return nil
}

func (e *exporting) counting(w io.Writer) io.Writer { return &counter{w, &e.size} }

// A counter counts the bytes that pass.
type counter struct {
	io.Writer
	n *int64
}

func (c *counter) Write(raw []byte) (int, error) {
	n, err := c.Writer.Write(raw)
	*c.n += int64(n)
	return n, err
}

func (e *exporting) summarize(b bundle.Bundle, seen []policy.Carried, now time.Time) {
	parts := []string{
		count(len(b.Repositories), "repository", "repositories"),
		count(len(b.Images), "tag", "tags"),
		count(len(b.Manifests), "manifest", "manifests"),
	}
	if e.blobs != nil {
		parts = append(parts, fmt.Sprintf("%s of %s", count(e.layers, "blob", "blobs"), units.HumanSize(float64(e.loaded))))
	}
	_, _ = fmt.Fprintf(e.talk, "%s; %s in all\n", strings.Join(parts, ", "), count(int(e.size), "byte", "bytes"))
	if first, ends := firstEnd(seen); ends {
		_, _ = fmt.Fprintf(e.talk, "By the policy here it serves until %s: %s ends first, with its %s\n", dated(first.Until, now), first.GUN, endedBy(first))
	}
}
