package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

type allowOptions struct {
	policy policyOptions
	lasts  lifetime
	reason string
	author string
	yes    bool
	list   bool
	end    bool
	format format
}

func newAuthzAllowCommand(dockerCLI command.Cli) *cobra.Command {
	opts := allowOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "allow [OPTIONS] [IMAGE@DIGEST]",
		Short: "Let an image run for a while although nobody vouches for it",
		Long: `Break-glass: let one digest run on this machine for a while although nobody vouches
for it. docker-stig-authz notices by itself, logs each use loudly, and records author
and reason. What is allowed ends by itself, or with --end.

It opens less than a signature does. What the policy revokes stays refused, and so
does what self-protection refuses. It is no signature: no row of a checklist becomes
NotAFinding by it. Containers are not approved by it: after its end those that run
go on (docker stig authz sweep names them), and their next start is refused.

A time is such as 90m, 2h or 7d, 30 days at most: what is to run for longer belongs
into the policy, under digests. The allowances lie in STIG_STATE, or where the
packaged daemon has them.

Exit codes: 0; 2 the policy revokes the image, and nothing would open it; 1 everything
else.`,
		Example: `  sudo docker stig authz allow dtr.example.com/prod/app@sha256:3d2e… --for 2h --reason 'outage 4711'
  sudo docker stig authz allow --list
  sudo docker stig authz allow --end dtr.example.com/prod/app@sha256:3d2e…`,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.check(cmd, args); err != nil {
				return usageError(cmd, err)
			}
			if os.Geteuid() != 0 {
				return fmt.Errorf("what is allowed is root's to say and to see (%s): run it with sudo", daemonStateDir())
			}
			now := time.Now().Truncate(time.Second)
			switch {
			case opts.list:
				return runAuthzAllowList(dockerCLI, opts.format, now)
			case opts.end:
				return runAuthzAllowEnd(cmd.Context(), dockerCLI, args[0], now)
			default:
				return runAuthzAllow(cmd.Context(), dockerCLI, opts, args[0], now)
			}
		},
	}
	opts.policy.addFlags(cmd.Flags())
	cmd.Flags().Var(&opts.lasts, "for", "How long it may run")
	cmd.Flags().StringVar(&opts.reason, "reason", "", "Why, in one line: it stands in the log of each use")
	cmd.Flags().StringVar(&opts.author, "author", "", "Who allows it (default: who runs sudo, else the user)")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "Allow it without asking")
	cmd.Flags().BoolVar(&opts.list, "list", false, "Show what is allowed, and until when")
	cmd.Flags().BoolVar(&opts.end, "end", false, "End an allowance before its time")
	cmd.Flags().Var(&opts.format, "format", "Write the list as json or table")
	return cmd
}

// check wants one of three things asked, and all that belongs to it.
func (o *allowOptions) check(cmd *cobra.Command, args []string) error {
	for _, name := range []string{"for", "reason", "author", "yes", "policy"} {
		if (o.list || o.end) && cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s is for what is newly allowed, not for --list and --end", name)
		}
	}
	switch {
	case o.list && o.end:
		return errors.New("--list and --end contradict each other: give one")
	case !o.list && cmd.Flags().Changed("format"):
		return errors.New("--format is for --list")
	case o.list && len(args) > 0:
		return fmt.Errorf("--list has no use for %q", args[0])
	case o.list:
		return nil
	case len(args) == 0:
		return errors.New("which image? Give IMAGE@DIGEST, or --list")
	case o.end:
		return nil
	case o.lasts == 0:
		return errors.New("for how long? Give --for, such as --for 2h: what is allowed has to end")
	case o.reason == "":
		return errors.New("why? Give --reason: it stands in the log of each use")
	}
	return nil
}

// A lifetime is how long something lasts, in days too.
type lifetime time.Duration

// Set reads a lifetime.
func (l *lifetime) Set(text string) error {
	var d policy.Duration
	if err := d.UnmarshalJSON([]byte(strconv.Quote(text))); err != nil {
		return err
	}
	if d == 0 {
		return errors.New("want a time such as 90m, 2h or 7d")
	}
	*l = lifetime(d)
	return nil
}

// String is empty for none, and has no zeros that nobody typed.
func (l *lifetime) String() string {
	if *l == 0 {
		return ""
	}
	text := time.Duration(*l).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// Type names the value in --help.
func (l *lifetime) Type() string { return "time" }

// allowances are those that docker-stig-authz reads.
func allowances() *admission.Allowances {
	return &admission.Allowances{Path: filepath.Join(daemonStateDir(), "allowances.json")}
}

func runAuthzAllow(ctx context.Context, dockerCLI command.Cli, opts allowOptions, image string, now time.Time) error {
	held := engine.NewClient(dockerCLI.DockerEndpoint().Host, time.Now)
	defer held.Close()
	ref, err := wantDigest(ctx, held, image, opts)
	if err != nil {
		return err
	}
	a := admission.Allowance{
		Repository: ref.Name(), Digest: ref.Digest(), Made: now,
		Until: now.Add(time.Duration(opts.lasts)), Reason: opts.reason, Author: opts.author,
	}
	if a.Author == "" {
		a.Author = login()
	}
	if err := a.Check(); err != nil {
		return err
	}
	if err := notRevoked(ctx, dockerCLI, opts, ref); err != nil {
		return err
	}
	if err := writeAllowance(dockerCLI.Out(), a, now); err != nil {
		return err
	}
	if !opts.yes {
		if err := ask(ctx, dockerCLI, "Allow this? [yes/no] ", "yes"); err != nil {
			return err
		}
	}
	if err := allowances().Add(ctx, a, now); err != nil {
		return err
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "It may run now, by this name and no tag: docker run %s\nTo end it before its time: docker stig authz allow --end %s\n",
		runnable(ctx, held, ref), reference.FamiliarString(ref))
	return err
}

// notRevoked refuses what an allowance could not open.
func notRevoked(ctx context.Context, dockerCLI command.Cli, opts allowOptions, ref reference.Canonical) error {
	p, err := policy.Load(opts.policy.path)
	if err != nil {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: whether the policy revokes this image is not known: %v\n", err)
		return nil
	}
	verifier := policy.NewVerifier(p, policy.Options{Now: time.Now, StateDir: daemonStateDir()})
	if err := verifier.Withdrawn(ctx, reference.TrimNamed(ref), ref.Digest()); err != nil {
		return exit(exitNo, "refused: %v, and no allowance opens what is revoked: use another image, or take it out of \"revoked\" in %s", err, opts.policy.path)
	}
	return nil
}

func runAuthzAllowEnd(ctx context.Context, dockerCLI command.Cli, image string, now time.Time) error {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("%q names no image: %w", image, err)
	}
	digested, ok := ref.(reference.Digested)
	if !ok {
		return fmt.Errorf("%s is no digest: docker stig authz allow --list shows those that are allowed", image)
	}
	ended, err := allowances().Remove(ctx, ref.Name(), digested.Digest(), now)
	if errors.Is(err, admission.ErrNoAllowance) {
		return fmt.Errorf("%s is not allowed by break-glass: docker stig authz allow --list shows what is", image)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "Ended what %s had allowed: %s (%s)\nIts containers that run go on, and do not start again: docker stig authz sweep names them.\n", ended.Author, image, ended.Reason)
	return err
}

// login is the name of who is at work: the one behind sudo, else the user.
func login() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}
