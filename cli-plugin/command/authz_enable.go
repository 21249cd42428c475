package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/cli-plugin/enforce"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// judgeWithin bounds judging all containers, most of which ask nobody.
const judgeWithin = 2 * time.Minute

type enableOptions struct {
	policy         policyOptions
	file           authFileOptions
	guard          bool
	withoutGuard   bool
	acceptBreakage bool
	yes            bool
	dryRun         bool
	confirmWithin  time.Duration
}

func newAuthzEnableCommand(dockerCLI command.Cli) *cobra.Command {
	var opts enableOptions
	cmd := &cobra.Command{
		Use:   "enable [OPTIONS]",
		Short: "Have this engine run only what the policy vouches for",
		Long: `Switch this engine over to docker-stig-authz: the policy becomes "enforced", and
daemon.json names the plugin. Nobody is locked out:

- docker-stig-authz has to answer, and all containers are judged by image and
  configuration, before anything is changed. What would be refused is named,
  with the lines of the policy that would let it run.
- What is to change is shown, and asked for.
- A process of its own takes everything back (bytes, owners, modes, units)
  unless the engine answers through the plugin, and, on a terminal, unless you
  confirm within --confirm-within that you can still work; also if this command
  is killed or its terminal goes away.

Engines from 29.2 on serve gRPC on their socket past every authorization plugin:
they want --guard, which puts docker-stig-authz guard before the socket. That
restarts the engine once.

Exit codes: 0 the engine enforces; 2 it was refused, or --dry-run found something
to change; 1 everything else. But for 0 everything is as it was, or the last line
says what is not.`,
		Example: `  sudo docker stig authz enable --dry-run
  sudo docker stig authz enable
  sudo docker stig authz enable --guard --yes --confirm-within 0`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAuthzEnable(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	opts.file.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&opts.guard, "guard", false, "Put the guard before the engine's socket, which restarts the engine once")
	cmd.Flags().BoolVar(&opts.withoutGuard, "without-guard", false, "Enable although the engine serves HTTP/2 past authorization, and no guard is there")
	cmd.Flags().BoolVar(&opts.acceptBreakage, "accept-breakage", false, "Enable although containers would be refused, or the policy has no scope")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Change without asking")
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "Show what would change, and change nothing")
	cmd.Flags().DurationVar(&opts.confirmWithin, "confirm-within", time.Minute, "Take everything back unless confirmed within this time on a terminal; 0 asks for no confirmation")
	return cmd
}

// newSwitch is what turns this machine's engine over.
func newSwitch() (enforce.Switch, error) {
	state, err := filepath.Abs(daemonStateDir()) // the keeper works elsewhere
	return enforce.Switch{Init: enforce.RunningSystemd(), Folder: enforce.FolderIn(state)}, err
}

func runAuthzEnable(ctx context.Context, dockerCLI command.Cli, opts enableOptions) error {
	if opts.guard && opts.withoutGuard {
		return errors.New("--guard and --without-guard contradict each other: give one")
	}
	if opts.confirmWithin < 0 {
		return errors.New("--confirm-within is a time from now: want one such as 60s, or 0")
	}
	if os.Geteuid() != 0 {
		return errors.New("daemon.json and the policy are root's: run it with sudo")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s, err := newSwitch()
	if err != nil {
		return err
	}
	if opts.policy.path, err = filepath.Abs(opts.policy.path); err != nil {
		return err
	}
	look := enforce.LookAt(ctx, dockerCLI.Client(), dockerCLI.DockerEndpoint().Host, opts.policy.path, s)
	if err := mayEnable(ctx, look); err != nil {
		return err
	}
	guard, err := opts.wantsGuard(look, s)
	if err != nil {
		return err
	}
	plan, err := enforce.Make(look.Dockerd, opts.policy.path, look.Refuses, guard, time.Now())
	if err != nil {
		return err
	}
	judge := newJudge(dockerCLI.Client(), look, opts.policy.path, opts.file.path, dockerCLI.Err())
	if err := opts.survey(ctx, dockerCLI, look, judge); err != nil {
		return err
	}
	if plan.Empty() {
		_, err := fmt.Fprintln(dockerCLI.Out(), "There is nothing to change: this engine asks docker-stig-authz, which enforces.")
		return err
	}
	if _, err := fmt.Fprintf(dockerCLI.Out(), "What changes:\n%s", plan.Text()); err != nil {
		return err
	}
	if opts.dryRun {
		return exit(exitNo, "nothing was changed: this was a dry run")
	}
	if !opts.yes {
		if err := ask(ctx, dockerCLI, "Change this? [yes/no] ", "yes"); err != nil {
			return err
		}
	}
	return opts.carryOut(ctx, dockerCLI, s, plan, judge)
}

// mayEnable wants to know all that a change of the engine rests on.
func mayEnable(ctx context.Context, look enforce.Look) error {
	for _, err := range []error{look.JournalErr, look.PolicyErr, look.InfoErr, look.DockerdErr, look.RefusesErr, look.HTTP2Err} {
		if err != nil {
			return err
		}
	}
	if look.Rootless {
		return exit(exitNo, "refused: this engine is rootless, and whoever owns it can take the plugin out again: run the engine as root")
	}
	if look.Journal != nil && (look.Journal.Phase != enforce.InForce || !look.Refuses) {
		return enforce.Unfinished(look.Journal)
	}
	proof := enforce.Prove(ctx, look.Dockerd.PluginSocket())
	for _, err := range []error{proof, look.FolderErr, look.OtherEngine()} {
		if err != nil {
			return exit(exitNo, "refused: %v", err)
		}
	}
	return nil
}

// wantsGuard says whether the guard is to be put in place.
func (o enableOptions) wantsGuard(look enforce.Look, s enforce.Switch) (bool, error) {
	if len(look.HTTP2) == 0 {
		return false, nil // an older engine, or the guard is there
	}
	sockets := strings.Join(look.HTTP2, ", ")
	switch {
	case o.guard && len(look.Unguarded()) > 0:
		return false, exit(exitNo, "refused: the guard stands before the public socket alone, and the engine is told to serve on %s as well: take that out of -H and hosts, and restart the engine", strings.Join(look.Unguarded(), ", "))
	case o.guard:
		if err := enforce.GuardFits(look.Dockerd, s.Init); err != nil {
			return false, exit(exitNo, "refused: %v", err)
		}
		return true, nil
	case o.withoutGuard:
		return false, nil
	default:
		return false, exit(exitNo, "refused: this engine serves gRPC over HTTP/2 on %s (29.2 and later do), which no authorization plugin ever sees: give --guard, or --without-guard to leave that way open", sockets)
	}
}

// survey refuses what would break, and names it.
func (o enableOptions) survey(ctx context.Context, dockerCLI command.Cli, look enforce.Look, judge *judge) error {
	ctx, cancel := context.WithTimeout(ctx, judgeWithin)
	defer cancel()
	system, err := enforce.SystemImages(ctx, dockerCLI.Client(), judge.verifier)
	if err != nil {
		return err
	}
	if len(system) > 0 {
		return exit(exitNo, "refused: this is a node of UCP or MKE, and its own images have no scope in the policy: %s; list their digests first (docker stig trust pin --digest IMAGE)", strings.Join(system, ", "))
	}
	if enforce.Scopes(look.Policy) == 0 && !o.acceptBreakage {
		return exit(exitNo, "refused: the policy has no scope, so that nothing could run: name whose signatures count (docker stig trust pin REPOSITORY), or give --accept-breakage")
	}
	all, err := judge.All(ctx)
	if err != nil {
		return err
	}
	broken := refused(all)
	if len(broken) == 0 {
		return nil
	}
	if err := writeRefused(dockerCLI, broken); err != nil {
		return err
	}
	if !o.acceptBreakage {
		return exit(exitNo, "refused: %d of %s would not start any more: see to them, or give --accept-breakage", len(broken), count(len(all), "container", "containers"))
	}
	return nil
}

// writeRefused names the containers that would be refused, and what would let
// each run.
func writeRefused(dockerCLI command.Cli, broken []enforce.Judged) error {
	var b strings.Builder
	b.WriteString("These containers would be refused:\n")
	for _, j := range broken {
		writeOneRefused(&b, j)
	}
	b.WriteByte('\n')
	_, err := fmt.Fprint(dockerCLI.Out(), b.String())
	return err
}

func writeOneRefused(b *strings.Builder, j enforce.Judged) {
	state := "stopped"
	if j.Running {
		state = "running"
	}
	fmt.Fprintf(b, "  %s (%.12s, %s, image %s)\n    %s\n", j.Name, j.ID, state, j.Image, reasonOf(j.Err))
	if next := trust.Advice(j.Err); next != "" && isTrustError(j.Err) {
		fmt.Fprintf(b, "    Next: %s\n", next)
	}
	if j.Lines != "" {
		fmt.Fprintf(b, "    Or in the policy: %s\n", j.Lines)
	}
}

func isTrustError(err error) bool { return errors.As(err, new(*trust.Error)) }

// carryOut changes the engine under the eyes of the keeper.
func (o enableOptions) carryOut(ctx context.Context, dockerCLI command.Cli, s enforce.Switch, plan enforce.Plan, judge *judge) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	options := enforce.Options{Keeper: []string{program, "stig", "authz", keeperCommand, string(s.Folder)}, Within: o.confirmWithin}
	if judge.recording() {
		options.Approve = judge.Approve
	}
	if dockerCLI.In().IsTerminal() && o.confirmWithin > 0 {
		options.Confirm = func(ctx context.Context) error {
			question := fmt.Sprintf("The engine enforces now. Try in another terminal that you can still work.\nKeep it? Everything is taken back in %v unless you say yes: ", o.confirmWithin)
			if ask(ctx, dockerCLI, question, "yes") != nil {
				return fmt.Errorf("nobody confirmed within %v", o.confirmWithin)
			}
			return nil
		}
	}
	if err := s.Enable(ctx, plan, options); err != nil {
		return fmt.Errorf("enabling: %w", err)
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "This engine runs only what %s vouches for. To take it back: docker stig authz disable\n", o.policy.path)
	return err
}

// keeperCommand is not for people.
const keeperCommand = "keep"

func newAuthzKeeperCommand() *cobra.Command {
	return &cobra.Command{
		Use:    keeperCommand + " FOLDER",
		Short:  "Take back an enable that is not confirmed",
		Hidden: true,
		Args:   arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := enforce.Switch{Init: enforce.RunningSystemd(), Folder: enforce.Folder(args[0])}
			return s.Keep(cmd.Context(), os.Stdin, os.NewFile(enforce.KeeperAnswers, "answers"))
		},
	}
}
