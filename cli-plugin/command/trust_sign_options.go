package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// serverVariable is where docker looks for the trust server.
const serverVariable = "DOCKER_CONTENT_TRUST_SERVER"

// signingOptions say with whose keys, and on which server, is signed.
type signingOptions struct {
	policy  policyOptions
	server  string
	rootKey string
}

func (o *signingOptions) addFlags(flags *pflag.FlagSet) {
	o.policy.addFlags(flags)
	flags.StringVar(&o.server, "server", "", "Trust server, https://HOST[:PORT] (env "+serverVariable+"; default the policy's, or else the registry's host)")
}

// open makes a signer of docker's keys, with docker's logins.
func (o *signingOptions) open(ctx context.Context, dockerCLI command.Cli) (*signing.Signer, error) {
	return o.openAs(ctx, dockerCLI, access.DockerConfig(dockerCLI.ConfigFile()))
}

func (o *signingOptions) openAs(ctx context.Context, dockerCLI command.Cli, logins access.Credentials) (*signing.Signer, error) {
	loaded, err := o.policy.load()
	if err != nil {
		return nil, err
	}
	return signing.New(signing.Options{
		Dir:         trustDir(),
		Server:      func(ref reference.Named) (signing.Server, error) { return o.serverOf(loaded, ref), nil },
		Logins:      logins,
		CertDirs:    certDirs(),
		Passphrases: passphrases(ctx, dockerCLI),
		RootKey:     o.rootKey,
	})
}

// certDirs are where docker has the authorities of registries and of their
// trust servers: in DTR they are one host.
func certDirs() []string { return []string{filepath.Join(config.Dir(), "tls"), certsDir} }

// withSigner is a command on trust servers. A signal ends what is under way.
func withSigner(dockerCLI command.Cli, o *signingOptions, run func(context.Context, *signing.Signer, []string) error) func(*cobra.Command, []string) error {
	open := func(ctx context.Context) (*signing.Signer, error) { return o.open(ctx, dockerCLI) }
	return interruptible(open, run)
}

// withKeys is a command on docker's keys alone. A signal ends its questions.
func withKeys(dockerCLI command.Cli, run func(context.Context, *signing.Signer, []string) error) func(*cobra.Command, []string) error {
	open := func(ctx context.Context) (*signing.Signer, error) { return openKeys(ctx, dockerCLI) }
	return interruptible(open, run)
}

func interruptible(open func(context.Context) (*signing.Signer, error), run func(context.Context, *signing.Signer, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, stop := whileWanted(cmd.Context())
		defer stop()
		signer, err := open(ctx)
		if err != nil {
			return err
		}
		defer signer.Close()
		return run(ctx, signer, args)
	}
}

// eachRepository does something with one repository after the other. One that
// fails keeps none of the others back.
func eachRepository(names []string, do func(gun string) error) error {
	guns, err := parseRepositories(names)
	if err != nil {
		return err
	}
	var all error
	for _, gun := range guns {
		all = errors.Join(all, do(gun))
	}
	return all
}

// parseRepositories reads names without a tag, as GUNs.
func parseRepositories(names []string) ([]string, error) {
	var guns []string
	for _, name := range names {
		ref, err := parseRepository(name)
		if err != nil {
			return nil, err
		}
		guns = append(guns, ref.Name())
	}
	return guns, nil
}

// trustDir is where docker has its keys.
func trustDir() string { return filepath.Join(config.Dir(), "trust") }

// openKeys makes a signer for those who need no server.
func openKeys(ctx context.Context, dockerCLI command.Cli) (*signing.Signer, error) {
	return signing.New(signing.Options{Dir: trustDir(), Passphrases: passphrases(ctx, dockerCLI)})
}

// serverOf is the server of a repository, and who vouches for it: what was
// said, or else what the policy says, or else what docker assumes.
func (o *signingOptions) serverOf(p *policy.Policy, ref reference.Named) signing.Server {
	var named []string
	ca := ""
	if p != nil {
		named, ca = p.Notary.Servers[reference.Domain(ref)], p.Notary.CA[reference.Domain(ref)]
	}
	said := strings.TrimSuffix(cmp.Or(o.server, os.Getenv(serverVariable)), "/")
	switch {
	case said != "" && slices.Contains(named, said):
		return signing.Server{URL: said, CA: ca}
	case said != "":
		return signing.Server{URL: said}
	case len(named) > 0:
		return signing.Server{URL: named[0], CA: ca}
	default:
		return signing.DefaultServer(ref)
	}
}

// prove verifies what was published, where the policy covers it, as an engine
// would.
func (o *signingOptions) prove(ctx context.Context, dockerCLI command.Cli, results []signing.Result) error {
	verifier, err := o.policy.verifier(dockerCLI)
	if err != nil || verifier == nil {
		return err
	}
	defer verifier.Close()
	var refused, unknown int
	for _, r := range results {
		ref, err := reference.ParseNormalizedNamed(r.GUN)
		if err != nil || r.Err != nil || verifier.Scope(ref) == "" {
			continue
		}
		for _, t := range slices.Concat(r.Published, r.Unchanged) {
			err := accepts(ctx, verifier, ref, t)
			switch {
			case err == nil:
				continue
			case trust.Inconclusive(err):
				unknown++
			default:
				refused++
			}
			_, _ = fmt.Fprintf(dockerCLI.Out(), "%s is published, and not accepted: %s\n", t, trust.Explain(err))
		}
	}
	switch {
	case refused > 0:
		return exit(exitNo, "the policy in %s refuses %d of the tags that were published", o.policy.path, refused)
	case unknown > 0:
		return exit(exitUnknown, "%d of the tags that were published could not be verified", unknown)
	default:
		return nil
	}
}

// accepts verifies that a tag names the digest that was signed.
func accepts(ctx context.Context, verifier trust.Verifier, ref reference.Named, t signing.Target) error {
	tagged, err := reference.WithTag(ref, t.Tag)
	if err != nil {
		return err
	}
	signed, err := verifier.Verify(ctx, trust.Question{Ref: tagged})
	if err == nil && signed.Digest != "" && signed.Digest != t.Digest {
		err = &trust.Error{Reason: trust.DigestMismatch, Ref: tagged, Err: fmt.Errorf("it names %s", signed.Digest)}
	}
	return err
}

// passphrases finds those of keys: in docker's variables, or on the terminal.
func passphrases(ctx context.Context, dockerCLI command.Cli) *signing.Passphrases {
	p := &signing.Passphrases{Env: os.Getenv}
	if dockerCLI.In().IsTerminal() {
		p.Ask = func(question string) (string, error) { return askSecret(ctx, dockerCLI, question) }
	}
	return p
}

// askSecret reads a line that the terminal does not show. However it ends, the
// terminal shows what is typed again.
func askSecret(ctx context.Context, dockerCLI command.Cli, question string) (string, error) {
	fd := int(dockerCLI.In().FD())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", fmt.Errorf("asking on the terminal: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return "", fmt.Errorf("asking on the terminal: %w", err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, before)
		_, _ = fmt.Fprintln(dockerCLI.Err())
	}()
	_, _ = fmt.Fprint(dockerCLI.Err(), question)
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := bufio.NewReader(dockerCLI.In()).ReadString('\n')
		answers <- answer{strings.TrimRight(text, "\r\n"), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-answers:
		return got.text, got.err
	}
}
