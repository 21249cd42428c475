package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/cli-plugin/report"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// exitRolledBack says that a fix was made and taken back.
const exitRolledBack = 4

type fixOptions struct {
	host        hostOptions
	transaction transactionOptions
	signing     *fixSigner
	vendor      vendorOptions
	names       []string
	yes         bool
	irrevocable bool
	dryRun      bool
	format      format
	out         string
	plan        string
}

func newFixCommand(dockerCLI command.Cli) *cobra.Command {
	opts := fixOptions{format: tableFormat, signing: new(fixSigner)}
	cmd := &cobra.Command{
		Use:   "fix [OPTIONS] [RULE...]",
		Short: "Bring an engine into line with the STIG",
		Long: `Show what would make open requirements pass, ask, change it as one transaction,
and check again. Without a RULE only what is safe everywhere is proposed; limits
and restart policies of containers want their rule's name. What a person has to
do is said, and what is not changed, and why.

Originals and a journal are on the disk before the first change. The engine
itself judges a new daemon.json where it can (23.0 and later), is restarted only
with --allow-restart and then once, and whatever goes wrong has all of it rolled
back: files, owners, modes and the engine. A fix that was cut off is rolled back
by the next docker stig fix or undo. docker stig undo takes a fix back later.

V-235846, named, signs tags of DTR as the --signer: what the registry's manifests
hash to, under a list that a person says yes to. Keys, passphrases and new
repositories are as with docker stig trust sign. With --yes nobody is asked: that
takes --accept-irrevocable.

V-235788 with --vendor-key writes the vendor's key, once its fingerprint is known
or among the site's approved-keys, and the repository's entry that names it; the
package itself is for a person to install.

--out writes the plan and changes nothing; --plan carries it out, and refuses if
what it was made from has changed.

Exit codes: 0 the requirements hold now; 2 --dry-run or --out has something to
change, a requirement is still open, or the plan of --plan no longer holds; 3
nothing is open, but something could not be found out; 4 the fix was rolled back;
1 everything else: what was done all the same is said.`,
		Example: `  docker stig fix --dry-run
  sudo docker stig fix --allow-restart
  docker stig fix V-235847 --ucp-url https://ucp.example.com --ucp-username admin --ucp-password-file pw
  docker stig fix V-235846 --signer qa --dtr-url https://dtr.example.com --dtr-username admin --dtr-password-file pw
  sudo docker stig fix --out plan.json; sudo docker stig fix --plan plan.json --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.names = args
			return runFix(cmd.Context(), dockerCLI, opts)
		},
	}
	flags := cmd.Flags()
	opts.host.addFlags(flags)
	opts.transaction.addFlags(flags)
	opts.signing.addFlags(flags)
	opts.vendor.addFlags(flags)
	flags.BoolVarP(&opts.yes, "yes", "y", false, "Change without asking")
	flags.BoolVar(&opts.irrevocable, "accept-irrevocable", false, "Plan what cannot be taken back, too: it is done last")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "Show the plan and change nothing; exit 2 if it is not empty")
	flags.Var(&opts.format, "format", "Write the plan as table or json")
	flags.StringVar(&opts.out, "out", "", "Write the plan to a file as JSON, and change nothing")
	flags.StringVar(&opts.plan, "plan", "", "Carry out the plan of a file, if it still holds")
	return cmd
}

func runFix(ctx context.Context, dockerCLI command.Cli, opts fixOptions) error {
	written, err := opts.readPlan()
	if err != nil {
		return err
	}
	guide, requirements, err := selectRequirements(opts.names)
	if err != nil {
		return err
	}
	h, err := opts.host.open(dockerCLI)
	if err != nil {
		return err
	}
	opts.vendor.into(&h.Site)
	if err := opts.signing.open(dockerCLI, opts, h); err != nil {
		return err
	}
	ctx, stop := whileWanted(ctx)
	defer stop()
	opts.host.connect(ctx, dockerCLI, h)
	t := opts.transaction.open(dockerCLI, h)
	look := opts.dryRun || opts.out != ""
	if !look {
		unlock, err := t.lock(ctx, "docker stig fix")
		if err != nil {
			return err
		}
		defer unlock()
	} else if err := reportUnfinished(dockerCLI); err != nil {
		return err
	}
	planOptions := opts.planOptions(dockerCLI, t, guide, requirements, written)
	plan, err := remedy.Make(ctx, h, planOptions)
	if err != nil {
		return err
	}
	if err := opts.show(dockerCLI, plan); err != nil {
		return err
	}
	if written != nil {
		if err := plan.Same(*written); err != nil {
			return exit(exitNo, "%v; nothing was changed", err)
		}
	}
	if look {
		return opts.keep(dockerCLI, plan)
	}
	if planOptions.Named && len(plan.Contradictions) > 0 {
		return errors.New("what was asked for contradicts itself, and nothing was changed: name one of the rules")
	}
	if plan.Empty() {
		return opts.finish(dockerCLI, plan.Checklist())
	}
	return opts.apply(ctx, dockerCLI, t, h, plan, planOptions)
}

// readPlan reads the plan that was written down; nil: none is meant.
func (o *fixOptions) readPlan() (*remedy.Plan, error) {
	if o.plan == "" {
		return nil, nil //nolint:nilnil // no plan is an answer here
	}
	if len(o.names) > 0 || o.out != "" {
		return nil, errors.New("--plan says which rules are meant, and is a plan already: give neither a RULE nor --out with it")
	}
	written, err := remedy.ReadPlan(o.plan)
	if err != nil {
		return nil, err
	}
	for _, c := range written.Changes {
		switch {
		case c.Disruption == change.Restart && !o.transaction.allowRestart:
			return nil, errors.New("the plan restarts the engine, and nothing was changed: give --allow-restart")
		case c.Publish != nil && !o.yes: // asked for as a list
		case c.Irrevocable != "" && !o.irrevocable:
			return nil, errors.New("the plan does what cannot be taken back, and nothing was changed: give --accept-irrevocable")
		}
	}
	if tags := written.Signatures(); o.signing.signer == "" && len(tags) > 0 {
		o.signing.signer = strings.Join(tags[0].Signers, ",")
	}
	for _, id := range written.Requirements {
		o.names = append(o.names, string(id))
	}
	return &written, nil
}

func (o fixOptions) planOptions(dockerCLI command.Cli, t *transactions, guide benchmark.Benchmark, requirements []benchmark.Requirement, written *remedy.Plan) remedy.Options {
	named := len(o.names) > 0
	if written != nil {
		named = written.Named
	}
	return remedy.Options{
		Guide: guide, Requirements: requirements, Named: named, AllowRestart: o.transaction.allowRestart,
		RestartWith: o.transaction.restartWith(), Irrevocable: o.irrevocable,
		Publisher: o.signing, Asks: !o.yes, Open: t.places.Open, Now: time.Now, Progress: progress(dockerCLI),
	}
}

// show writes the plan: as JSON it is all of the answer.
func (o fixOptions) show(dockerCLI command.Cli, plan remedy.Plan) error {
	if o.format != jsonFormat {
		return plan.Show(dockerCLI.Out())
	}
	raw, err := plan.Encode()
	if err != nil {
		return err
	}
	_, err = dockerCLI.Out().Write(raw)
	return err
}

// keep writes the plan down, if that was asked for.
func (o fixOptions) keep(dockerCLI command.Cli, plan remedy.Plan) error {
	if o.out != "" {
		raw, err := plan.Encode()
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(o.out, raw, 0o600); err != nil {
			return fmt.Errorf("writing the plan to %s: %w", o.out, cause(err))
		}
		_, _ = fmt.Fprintf(dockerCLI.Err(), "The plan is in %s: docker stig fix --plan %[1]s carries it out.\n", o.out)
	}
	if !plan.Empty() {
		return exit(exitNo, "there is something to change; nothing was done")
	}
	return checkExit(plan.Checklist(), stig.CATIII)
}

// apply asks and changes, and shows how the requirements stand then.
func (o fixOptions) apply(ctx context.Context, dockerCLI command.Cli, t *transactions, h *host.Host, plan remedy.Plan, planOptions remedy.Options) error {
	if plan.NeedsRoot() && os.Geteuid() != 0 {
		return errors.New("these files are root's, and nothing was changed: run it with sudo")
	}
	if err := o.confirm(ctx, dockerCLI, plan); err != nil {
		return err
	}
	again := planOptions
	again.Progress = nil
	j, after, err := plan.Apply(ctx, t.runner, func(ctx context.Context) (remedy.Plan, error) { return remedy.Make(ctx, anew(h), again) }, planOptions)
	proof := o.signing.verified(ctx)
	if err != nil {
		return together(failed(err), proof)
	}
	_, _ = fmt.Fprintln(dockerCLI.Err(), told(plan, j))
	checklist := after.Checklist()
	if len(j.Done) > 0 {
		fresh, err := o.afresh(dockerCLI, h)
		if err != nil {
			return err
		}
		checklist = scan.Run(ctx, fresh, scan.Options{Benchmark: planOptions.Guide, Requirements: planOptions.Requirements, Now: time.Now})
	}
	return worse(proof, o.finish(dockerCLI, checklist))
}

// told says what was done, and whether there is a way back.
func told(plan remedy.Plan, j *transaction.Journal) string {
	switch {
	case slices.ContainsFunc(plan.Changes, func(c remedy.Planned) bool { return c.Irrevocable == "" }):
		return fmt.Sprintf("Changed, read back and compared. docker stig undo %s takes it back.", j.ID)
	case len(plan.Signatures()) > 0:
		return "Signed and published, and read back from the trust server. docker stig trust revoke takes a tag off it."
	}
	return "Changed, and it cannot be taken back."
}

// afresh is anew, with a verifier that asks the trust servers once more.
func (o fixOptions) afresh(dockerCLI command.Cli, h *host.Host) (*host.Host, error) {
	fresh := anew(h)
	verifier, err := o.host.policy.verifier(dockerCLI)
	if err == nil && verifier != nil {
		fresh.Trust = verifier.SignaturesOnly()
	}
	return fresh, err
}

// confirm asks a person, who cannot answer on a standard input that held the
// password; and once more about what cannot be taken back.
func (o fixOptions) confirm(ctx context.Context, dockerCLI command.Cli, plan remedy.Plan) error {
	if o.yes {
		return nil
	}
	if dockerCLI.In().IsTerminal() && (o.host.ucp.PasswordFile == "-" || o.host.dtr.PasswordFile == "-") {
		return errors.New("standard input held the password, so nobody can be asked, and nothing was changed: put the password into a file, or give --yes")
	}
	signed := len(plan.Signatures())
	if signed > 0 && !dockerCLI.In().IsTerminal() {
		return errors.New("nobody is there to ask, and nothing was changed: --yes with --accept-irrevocable signs without asking")
	}
	if signed < len(plan.Changes) {
		if err := ask(ctx, dockerCLI, "Change it? [y/N] ", "y", "yes"); err != nil {
			return err
		}
	}
	for _, c := range plan.Changes {
		if c.Irrevocable == "" || c.Publish != nil {
			continue
		}
		question := fmt.Sprintf("%s: %s. This cannot be taken back (%s). Do it? [yes/no] ", c.Subject(), c.Wish(), c.Irrevocable)
		if err := ask(ctx, dockerCLI, question, "yes"); err != nil {
			return err
		}
	}
	return o.signing.agree(ctx, dockerCLI, plan)
}

// finish is the proof: the requirements as they stand now.
func (o fixOptions) finish(dockerCLI command.Cli, checklist scan.Checklist) error {
	if o.format != jsonFormat {
		_, _ = fmt.Fprintln(dockerCLI.Out())
		if err := report.Write(dockerCLI.Out(), report.Table, checklist, report.Options{All: len(o.names) > 0}); err != nil {
			return err
		}
	}
	return checkExit(checklist, stig.CATIII)
}

// anew is a host without what was found out about it.
func anew(h *host.Host) *host.Host {
	return &host.Host{
		Engine: h.Engine, Address: h.Address, Site: h.Site, UCP: h.UCP, DTR: h.DTR, Files: h.Files, Programs: h.Programs,
		Now: h.Now, Narrow: h.Narrow, Trust: h.Trust, Archives: h.Archives, Package: h.Package,
	}
}
