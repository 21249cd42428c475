package command

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config/credentials"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newAuthzCommand(dockerCLI command.Cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "authz COMMAND",
		Short: "Look after docker-stig-authz, the engine's authorization plugin",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newAuthzAllowCommand(dockerCLI),
		newAuthzEnableCommand(dockerCLI),
		newAuthzDisableCommand(dockerCLI),
		newAuthzKeeperCommand(),
		newAuthzLogCommand(dockerCLI),
		newAuthzLoginCommand(dockerCLI),
		newAuthzLogoutCommand(dockerCLI),
		newAuthzStatusCommand(dockerCLI),
		newAuthzSweepCommand(dockerCLI),
	)
	return cmd
}

// daemonStateDir is where docker-stig-authz keeps what it knows, whoever asks.
func daemonStateDir() string { return cmp.Or(os.Getenv("STIG_STATE"), daemonState) }

// authFileOptions name the file with the daemon's logins.
type authFileOptions struct{ path string }

func (o *authFileOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.path, "auth-file", access.DaemonFile(), "File with the daemon's logins")
}

type logoutOptions struct {
	file authFileOptions
	host string
}

func newAuthzLogoutCommand(dockerCLI command.Cli) *cobra.Command {
	var opts logoutOptions
	cmd := &cobra.Command{
		Use:   "logout [OPTIONS] HOST",
		Short: "Forget the daemon's login for a host",
		Long: `Forget the login of docker-stig-authz for a host. The daemon notices at its next
question. What 'docker login' keeps for people is left alone.

Exit codes: 0 there is no such login now; 1 everything else.`,
		Example: `  sudo docker stig authz logout dtr.example.com`,
		Args:    arguments(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			opts.host = args[0]
			return runAuthzLogout(dockerCLI, opts)
		},
	}
	opts.file.addFlags(cmd.Flags())
	return cmd
}

func runAuthzLogout(dockerCLI command.Cli, opts logoutOptions) error {
	host, err := loginHost(opts.host)
	if err != nil {
		return err
	}
	file := access.OpenFile(opts.file.path)
	hosts, err := file.Hosts()
	if err != nil {
		return withSudo(err)
	}
	if !slices.Contains(hosts, host) {
		_, err := fmt.Fprintf(dockerCLI.Out(), "There is no login for %s in %s\n", host, opts.file.path)
		return err
	}
	if err := file.Remove(host); err != nil {
		return withSudo(err)
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "Removed the login for %s from %s\n", host, opts.file.path)
	return err
}

// loginHost is a host as it stands in the names of images. Docker Hub has
// several names.
func loginHost(text string) (string, error) {
	host := credentials.ConvertToHostname(text)
	if slices.Contains([]string{"index.docker.io", "registry-1.docker.io", "hub.docker.com"}, host) {
		host = "docker.io"
	}
	if _, err := loginProbe(host); err != nil {
		return "", fmt.Errorf("%q is no host of images: name it as it stands in their names, such as dtr.example.com:4443, or docker.io", text)
	}
	return host, nil
}

// loginProbe is a repository on a host. Nobody needs to have it: a login is
// tried on the server, not on what it holds.
func loginProbe(host string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(host + "/docker-stig/login")
	if err != nil {
		return nil, err
	}
	if reference.Domain(ref) != host {
		return nil, errors.New("the host is part of the path")
	}
	return ref, nil
}

// withSudo adds what to do where root alone may.
func withSudo(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w: run it with sudo", err)
	}
	return err
}
