package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/cli-plugin/enforce"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// sweepWithin bounds judging all containers. It is what the daemon gives
// itself.
const sweepWithin = 10 * time.Minute

type sweepOptions struct {
	policy policyOptions
	file   authFileOptions
	stop   bool
	yes    bool
	all    bool
	format format
}

func newAuthzSweepCommand(dockerCLI command.Cli) *cobra.Command {
	opts := sweepOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "sweep [OPTIONS]",
		Short: "Name the containers that run although they would be refused",
		Long: `Judge all containers of this engine as docker-stig-authz would at their start, and
name those that run although they would be refused now: they are older than the
plugin, a restart policy or a swarm started them, or what vouched for them was
withdrawn. Those that could not be judged are named apart. Approvals count if the
policy says "start": "recorded", and so does what is allowed by break-glass. Nothing
is approved by it. It looks where the packaged daemon does: if yours was started with
--policy or --state, give --policy and STIG_STATE the same values.

With --stop the refused ones are stopped, those never that could not be judged.

Exit codes: 0 nothing runs that would be refused; 2 something does, or a swarm starts
again what was stopped; 3 nothing is known to, but something that runs could not be
judged; 1 everything else.`,
		Example: `  sudo docker stig authz sweep
  sudo docker stig authz sweep --stop`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAuthzSweep(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	opts.file.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&opts.stop, "stop", false, "Stop the containers that would be refused")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Stop them without asking")
	cmd.Flags().BoolVarP(&opts.all, "all", "a", false, "Name those, too, that do not run and would be refused at start")
	cmd.Flags().Var(&opts.format, "format", "Write the answer as json or table")
	return cmd
}

func runAuthzSweep(ctx context.Context, dockerCLI command.Cli, opts sweepOptions) error {
	switch {
	case opts.yes && !opts.stop:
		return errors.New("--yes goes with --stop: without it nothing is changed")
	case opts.stop && opts.format == jsonFormat && !opts.yes:
		return errors.New("--stop with --format json wants --yes: what would be asked about is not shown")
	case os.Geteuid() != 0:
		return errors.New("approvals and allowances are root's: run it with sudo")
	}
	if !strings.HasPrefix(dockerCLI.DockerEndpoint().Host, "unix://") {
		return fmt.Errorf("%s: %w", dockerCLI.DockerEndpoint().Host, enforce.ErrRemote)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, judge, err := opts.look(ctx, dockerCLI)
	if err != nil {
		return err
	}
	if opts.format == tableFormat {
		if err := found.writeTable(dockerCLI.Out(), opts.all, time.Now()); err != nil {
			return err
		}
	}
	if opts.stop && len(found.refused) > 0 {
		if !opts.yes {
			question := fmt.Sprintf("Stop %s? [yes/no] ", count(len(found.refused), "container", "containers"))
			if err := ask(ctx, dockerCLI, question, "yes"); err != nil {
				return err
			}
		}
		stopAll(ctx, judge.judge.Engine, found.refused)
	}
	if opts.format == jsonFormat {
		err = found.writeJSON(dockerCLI.Out(), opts.all)
	} else if opts.stop {
		err = found.writeStopped(dockerCLI.Out())
	}
	if err != nil {
		return err
	}
	return found.exitCode()
}

// look judges every container.
func (o sweepOptions) look(ctx context.Context, dockerCLI command.Cli) (*swept, *judge, error) {
	p, err := policy.Load(o.policy.path)
	if err != nil {
		return nil, nil, err
	}
	api := dockerCLI.Client()
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("asking the engine: %w", err)
	}
	look := enforce.Look{Policy: p, Info: info.Info}
	// Where it is not found, paths are judged by this machine's own disk.
	look.Dockerd, look.DockerdErr = enforce.FindDockerd(ctx, dockerCLI.DockerEndpoint().Host, enforce.RunningSystemd())
	if look.DockerdErr != nil {
		look.Dockerd = nil
	}
	if err := look.OtherEngine(); err != nil {
		return nil, nil, err
	}
	if p.ContentTrust.Mode != policy.Enforced {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: the policy is %s: docker-stig-authz refuses nothing; this is what it would refuse\n", p.ContentTrust.Mode)
	}
	judge := newJudge(api, look, o.policy.path, o.file.path, dockerCLI.Err())
	ctx, cancel := context.WithTimeout(ctx, sweepWithin)
	defer cancel()
	all, err := judge.look(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, err := newSwept(ctx, api, all)
	return found, judge, err
}
