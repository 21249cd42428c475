package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"github.com/docker-stig/docker-stig/cli-plugin/report"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker/cli/cli/command"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
)

type checkOptions struct {
	host        hostOptions
	names       []string
	selection   selection
	guide       string
	all         bool
	format      report.Format
	output      string
	failOn      string
	packageFile packages.FileOptions
	archives    []string
}

func newCheckCommand(dockerCLI command.Cli, build Build) *cobra.Command {
	opts := checkOptions{format: report.Table}
	cmd := &cobra.Command{
		Use:   "check [OPTIONS] [RULE...]",
		Short: "Check an engine against the Docker Enterprise STIG",
		Long: `Check an engine, its host, UCP and DTR against DISA's Docker Enterprise 2.x
Linux/UNIX STIG. A RULE is a Vuln ID (V-235788), a STIG ID (DKER-EE-001770) or a
Rule ID of any release; without one all 101 are checked. The table lists what a
person has to act on, --all the rest, too; ckl and cklb are files for STIG
Viewer 2 and 3 and for whatever reads them.

What only the site knows comes from site.yaml: see docker stig site init. A
remote engine is asked what its API tells; its host's files cannot be seen, and
what needs them is Not_Reviewed. --host-root checks the files of a host that is
mounted here.

Nothing is changed. What could not be found out is Not_Reviewed, with what to
give. Exit code 2 means open findings at or above --fail-on, 3 that nothing is
open but something is Not_Reviewed.`,
		Example: `  docker stig check
  docker stig check --severity I --component engine,host
  docker stig check --format ckl -o host.ckl --benchmark U_Docker_Enterprise_2-x_Linux-Unix_STIG_V2R2_Manual-xccdf.xml
  docker stig check V-235847 --ucp-url https://ucp.example.com --ucp-username admin --ucp-password-file pw
  docker stig check --format json -o checklist.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			return runCheck(cmd.Context(), dockerCLI, build, opts)
		},
	}
	flags := cmd.Flags()
	opts.host.addFlags(flags)
	flags.Var(&opts.format, "format", "Write the checklist as "+report.Formats())
	flags.BoolVar(&opts.all, "all", false, "List requirements that pass or do not apply in the table, too")
	flags.StringVar(&opts.guide, "benchmark", "", "DISA's own XCCDF of the guide, whose texts go into ckl and cklb")
	opts.selection.addFlags(flags)
	flags.StringVarP(&opts.output, "output", "o", "", "Write the checklist to a file instead of standard output")
	flags.StringVar(&opts.failOn, "fail-on", "III", "Exit 2 for open findings of this category (I, II, III) or above")
	flags.StringVar(&opts.packageFile.Path, "package", "", "Judge this engine package, .deb or .rpm, brought by hand (V-235788)")
	flags.StringVar(&opts.packageFile.Packages, "packages", "", "Packages file of the repository that --package comes from (.deb)")
	flags.StringVar(&opts.packageFile.InRelease, "inrelease", "", "InRelease file of the repository that --package comes from (.deb)")
	flags.StringSliceVar(&opts.packageFile.Keyrings, "keyring", nil, "Key file to believe beside the host's own when judging --package")
	flags.StringSliceVar(&opts.archives, "images", nil, "Judge the UCP and DTR images in this archive of docker save (V-235788)")
	return cmd
}

// runCheck exits 2 when the host was found wanting and 3 when nothing was but
// something could not be found out, so that a pipeline can tell them apart.
func runCheck(ctx context.Context, dockerCLI command.Cli, build Build, opts checkOptions) error {
	failOn, err := stig.ParseSeverity(opts.failOn)
	if err != nil {
		return fmt.Errorf("--fail-on: %w", err)
	}
	guide, named, err := selectRequirements(opts.names)
	if err != nil {
		return err
	}
	requirements, err := opts.selection.requirements(named)
	if err != nil {
		return err
	}
	texts, err := readManual(opts.guide)
	if err != nil {
		return err
	}
	if err := opts.checkFiles(requirements); err != nil {
		return err
	}
	h, err := opts.host.open(dockerCLI)
	if err != nil {
		return err
	}
	if err := knownAnswers(guide, h.Site); err != nil {
		return err
	}
	if err := opts.addFiles(h); err != nil {
		return err
	}
	if err := opts.selection.apply(h); err != nil {
		return err
	}
	opts.host.connect(ctx, dockerCLI, h)
	narrowed, err := opts.selection.narrowed(ctx, h)
	if err != nil {
		return err
	}
	checklist := scan.Run(ctx, h, scan.Options{
		Benchmark:    guide,
		Requirements: requirements,
		Now:          time.Now,
		Progress:     progress(dockerCLI),
	})
	checklist.Guide, checklist.Narrowed = texts, narrowed
	if err := writeChecklist(dockerCLI.Out(), opts, checklist, build); err != nil {
		return err
	}
	if err := reportUnfinished(dockerCLI); err != nil {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: whether a fix was cut off is unknown: %v\n", err)
	}
	for _, ending := range scan.Ending(h.Site, time.Now()) {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: %s: renew it in site.yaml\n", ending)
	}
	if more := asRoot(os.Geteuid(), h, checklist); more != "" {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: %s\n", more)
	}
	return checkExit(checklist, failOn)
}

// checkFiles wants every file that was named to be there, and to be of use.
func (o checkOptions) checkFiles(requirements []benchmark.Requirement) error {
	named := slices.Concat([]string{o.packageFile.Path, o.packageFile.Packages, o.packageFile.InRelease}, o.packageFile.Keyrings, o.archives)
	named = slices.DeleteFunc(named, func(path string) bool { return path == "" })
	asked := slices.ContainsFunc(requirements, func(r benchmark.Requirement) bool { return r.StigID == stig.VendorSigned })
	if len(named) > 0 && !asked {
		return fmt.Errorf("%s is for %s, which is not among the rules to check: add it", named[0], stig.VendorSigned)
	}
	for _, path := range named {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		_ = file.Close() // only opened
	}
	return nil
}

// addFiles hands the files that were brought by hand to the host.
func (o checkOptions) addFiles(h *host.Host) error {
	h.Archives = o.archives
	if o.packageFile.Path == "" {
		if o.packageFile.Packages != "" || o.packageFile.InRelease != "" || len(o.packageFile.Keyrings) > 0 {
			return fmt.Errorf("--packages, --inrelease and --keyring belong to --package: name the package file too")
		}
		return nil
	}
	file := o.packageFile
	file.Approved, file.Now = h.Site.ApprovedKeys, time.Now()
	h.Package = host.PackageFile(file)
	return nil
}

func checkExit(checklist scan.Checklist, failOn stig.Severity) error {
	if n := checklist.Open(failOn); n > 0 {
		return exit(exitNo, "%d open", n)
	}
	if n := checklist.Count(stig.NotReviewed); n > 0 {
		return exit(exitUnknown, "%d could not be found out", n)
	}
	return nil
}

// writeChecklist writes to the output file whole, or not at all.
func writeChecklist(w io.Writer, opts checkOptions, checklist scan.Checklist, build Build) error {
	options := report.Options{
		Tool: report.Tool{Name: "docker-stig", Version: build.Version, Commit: build.Commit},
		All:  opts.all || len(opts.names) > 0, // who asks for a rule wants its answer
		Next: next(opts, checklist),
	}
	if opts.output == "" {
		return report.Write(w, opts.format, checklist, options)
	}
	file, err := renameio.NewPendingFile(opts.output, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("writing the checklist to %s: %w", opts.output, cause(err))
	}
	defer file.Cleanup() //nolint:errcheck // after a replace there is nothing left to clean
	if err := report.Write(file, opts.format, checklist, options); err != nil {
		return fmt.Errorf("writing the checklist: %w", err)
	}
	return file.CloseAtomicallyReplace()
}

// next is the one command that brings a person on.
func next(opts checkOptions, c scan.Checklist) string {
	_, err := os.Stat(opts.host.site)
	switch {
	case len(opts.names) > 0:
		return ""
	case os.IsNotExist(err) && c.Count(stig.NotReviewed) > 0:
		return "docker stig site init, which begins a site.yaml for what only your site knows"
	case c.Count(stig.Open) > 0:
		return "docker stig rules RULE, which tells what to do about one of them"
	default:
		return "docker stig check --format ckl -o checklist.ckl, which writes the evidence"
	}
}

// knownAnswers wants answers and waivers to be about requirements of the guide.
func knownAnswers(guide benchmark.Benchmark, s site.Site) error {
	ids := slices.Sorted(maps.Keys(s.Answers))
	for _, w := range s.Waivers {
		ids = append(ids, w.Rule)
	}
	for _, id := range ids {
		if _, ok := guide.Find(string(id)); !ok {
			return fmt.Errorf("site.yaml answers or waives %s: %w", id, unknownRule(guide, string(id)))
		}
	}
	return nil
}

// cause leaves out the name of the temporary file.
func cause(err error) error {
	if path := new(os.PathError); errors.As(err, &path) {
		return path.Err
	}
	return err
}

// progress talks on standard error while rules run, if a person is there.
func progress(dockerCLI command.Cli) func(done, of int, r scan.Result) {
	if !dockerCLI.Err().IsTerminal() {
		return nil
	}
	return func(done, of int, r scan.Result) {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "[%d/%d] %s %s\n", done, of, r.VulnID, r.Status)
	}
}

// selectRequirements finds the requirements that names mean, all for none.
func selectRequirements(names []string) (benchmark.Benchmark, []benchmark.Requirement, error) {
	guide, err := benchmark.DockerEnterprise()
	if err != nil || len(names) == 0 {
		return guide, guide.Requirements, err
	}
	var requirements []benchmark.Requirement
	for _, name := range names {
		r, ok := guide.Find(name)
		if !ok {
			return guide, nil, unknownRule(guide, name)
		}
		requirements = append(requirements, r)
	}
	return guide, requirements, nil
}
