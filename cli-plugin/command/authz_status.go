package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

type statusOptions struct {
	policy policyOptions
	file   authFileOptions
	format format
	all    bool
}

func newAuthzStatusCommand(dockerCLI command.Cli) *cobra.Command {
	opts := statusOptions{format: tableFormat}
	cmd := &cobra.Command{
		Use:   "status [OPTIONS]",
		Short: "Say whether this engine enforces, what is missing, and until when",
		Long: `Say whether this engine runs only what the policy vouches for, and what is missing
if it does not, each with what to do; which containers run although they would be
refused; and what docker-stig-authz goes by: the policy, the hosts it has logins
for, and of each repository it knows the day from which starts will be refused.

The engine is put a request that docker-stig-authz alone refuses and that no
engine carries out, so what it does counts, not what its files say. Trust servers
are asked where a container's image wants it. Nothing is changed. It looks where
the packaged daemon does: if yours was started with --policy or --state, give
--policy and STIG_STATE the same values.

Exit codes: 0 the engine enforces; 2 it does not; 3 nothing is known to be missing,
but something could not be found out; 1 everything else.`,
		Example: `  sudo docker stig authz status`,
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runAuthzStatus(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	opts.file.addFlags(cmd.Flags())
	cmd.Flags().Var(&opts.format, "format", "Write the status as json or table")
	cmd.Flags().BoolVarP(&opts.all, "all", "a", false, "Name every container that would be refused, and why")
	return cmd
}

// A status is what the engine does, and what the daemon goes by.
type status struct {
	all        bool
	engine     engineStatus
	now        time.Time
	policyPath string
	policy     *policy.Policy
	policyErr  error
	authPath   string
	hosts      []string
	hostsErr   error
	state      string
	known      []policy.Carried
	knownErr   error
}

func runAuthzStatus(ctx context.Context, dockerCLI command.Cli, opts statusOptions) error {
	var err error
	s := status{all: opts.all, now: time.Now(), policyPath: opts.policy.path, authPath: opts.file.path, state: daemonStateDir()}
	s.policy, s.policyErr = policy.Load(opts.policy.path)
	s.hosts, s.hostsErr = access.OpenFile(opts.file.path).Hosts()
	if s.knownErr = readable(s.state); s.knownErr == nil && s.policy != nil {
		verifier := policy.NewVerifier(s.policy, policy.Options{Now: time.Now, StateDir: s.state, Log: slog.New(talker{dockerCLI.Err()})})
		s.known, s.knownErr = verifier.Known(ctx)
	}
	if s.engine, err = lookAtEngine(ctx, dockerCLI, opts, s.hostsErr); err != nil {
		return err
	}
	write := s.writeTable
	if opts.format == jsonFormat {
		write = s.writeJSON
	}
	if err := write(dockerCLI.Out()); err != nil {
		return err
	}
	switch {
	case len(s.engine.found.Gaps) > 0:
		return exit(exitNo, "this engine does not enforce")
	case len(s.engine.found.Unknown) > 0 || s.engine.judgedErr != nil || s.hostsErr != nil || s.knownErr != nil:
		return exit(exitUnknown, "some of it could not be found out")
	}
	return nil
}

// readable reports what keeps the state from being read. Where there is none,
// nothing was verified yet.
func readable(state string) error {
	for _, dir := range []string{state, filepath.Join(state, "trust")} {
		if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// scopes counts the patterns that have keys or certificates to be believed,
// and those that have digests.
func (s status) scopes() (pins, lists int) {
	trusted := s.policy.ContentTrust.TrustPinning
	return len(trusted.RootKeys) + len(trusted.CertIDs), len(s.policy.Digests)
}

// served reports whether a trust server gave what is known of a repository: it
// renews what it has the keys for.
func served(carried policy.Carried) bool { return carried.Source != trust.Bundle }

// until says from when starts are refused, and on what that depends.
func (s status) until(carried policy.Carried) string {
	if carried.Until.IsZero() {
		return "for good: the policy never refuses it for its age"
	}
	role := endedBy(carried.Repository)
	if served(carried) && (role == "timestamp" || role == "snapshot") {
		return dated(carried.Until, s.now) + "; from then on starts are refused, if no trust server answers before"
	}
	return dated(carried.Until, s.now) + "; from then on starts are refused"
}

// warning is what to see to within the next 14 days. What a trust server
// renews by itself is not among it.
func (s status) warning(carried policy.Carried) string {
	if carried.Err != nil || !endsSoon(carried.Repository, s.now) {
		return ""
	}
	if !served(carried) {
		return prolonging(carried.Repository)
	}
	for _, role := range carried.Roles {
		if role.Name == endedBy(carried.Repository) && role.Name != "timestamp" && role.Name != "snapshot" {
			return fmt.Sprintf("%s expires: %s", role.Name, renewal(role))
		}
	}
	return ""
}

// sources name where what is kept came from.
var sources = map[trust.Source]string{
	trust.Cache:  "its trust server",
	trust.Bundle: "a bundle",
}
