package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/streams"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

type loginOptions struct {
	policy        policyOptions
	file          authFileOptions
	username      string
	passwordStdin bool
	host          string
}

func newAuthzLoginCommand(dockerCLI command.Cli) *cobra.Command {
	var opts loginOptions
	cmd := &cobra.Command{
		Use:   "login [OPTIONS] HOST",
		Short: "Give the daemon a login for a host's trust servers and registry",
		Long: `Give docker-stig-authz a login of its own for a host, as it stands in the names
of images; Docker Hub is docker.io. The daemon runs as root and has nobody's
'docker login'. An account that may only read is enough, and best.

The login is tried before it is kept: on the trust servers that the policy names
for the host, or else on its registry. It is kept in a file that root alone may
read. The daemon notices at its next question.

Exit codes: 0 the login is kept; 1 everything else, and nothing is kept.`,
		Example: `  sudo docker stig authz login dtr.example.com
  sudo docker stig authz login --username reader --password-stdin dtr.example.com < password`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.host = args[0]
			return runAuthzLogin(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	opts.file.addFlags(cmd.Flags())
	cmd.Flags().StringVarP(&opts.username, "username", "u", "", "Name to log in with")
	cmd.Flags().BoolVar(&opts.passwordStdin, "password-stdin", false, "Take the password from standard input")
	return cmd
}

// runAuthzLogin asks for a password only when all else is known to be good.
func runAuthzLogin(ctx context.Context, dockerCLI command.Cli, opts loginOptions) error {
	host, err := loginHost(opts.host)
	if err != nil {
		return err
	}
	loaded, err := opts.policy.load()
	if err != nil {
		return err
	}
	file := access.OpenFile(opts.file.path)
	if err := mayKeep(file, opts.file.path); err != nil {
		return err
	}
	login, err := opts.login(ctx, dockerCLI, host)
	if err != nil {
		return err
	}
	tried, err := tryLogin(ctx, login, host, loaded)
	if err != nil {
		return fmt.Errorf("%w; nothing was kept", err)
	}
	if err := file.Set(host, login); err != nil {
		return withSudo(err)
	}
	_, err = fmt.Fprintf(dockerCLI.Out(), "Kept the login for %s in %s: %s\n", host, opts.file.path, tried)
	return err
}

// mayKeep finds out early what would keep the file from being written.
func mayKeep(file *access.File, path string) error {
	if _, err := file.Hosts(); err != nil {
		return withSudo(err)
	}
	folder := filepath.Dir(path)
	for {
		err := unix.Access(folder, unix.W_OK|unix.X_OK)
		if errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder) {
			folder = filepath.Dir(folder) // made on the way
			continue
		}
		if err != nil {
			return withSudo(fmt.Errorf("keeping a login in %s: %w", path, err))
		}
		return nil
	}
}

// login asks for name and password, as far as they were not given. A signal
// ends the question, and the terminal shows what is typed again.
func (o loginOptions) login(ctx context.Context, dockerCLI command.Cli, host string) (access.Login, error) {
	if o.passwordStdin {
		if o.username == "" {
			return access.Login{}, errors.New("--password-stdin needs --username: give both")
		}
		password, err := readPassword(dockerCLI, "-")
		if err != nil {
			return access.Login{}, fmt.Errorf("the password: %w", err)
		}
		if password == "" {
			return access.Login{}, errors.New("the password on standard input is empty")
		}
		return access.Login{Username: o.username, Password: password}, nil
	}
	if !dockerCLI.In().IsTerminal() {
		return access.Login{}, errors.New("no terminal to ask for the password on: give --username and --password-stdin")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	given, err := command.PromptUserForCredentials(ctx, asking{dockerCLI}, o.username, "", "", host)
	if err != nil {
		return access.Login{}, err
	}
	return access.Login{Username: given.Username, Password: given.Password}, nil
}

// asking is a terminal on which questions go to standard error: standard
// output is for the answer.
type asking struct{ command.Streams }

// Out is standard error.
func (a asking) Out() *streams.Out { return a.Err() }
