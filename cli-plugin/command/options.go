package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/dtr"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/pflag"
)

// maxPassword bounds what is read as a password.
const maxPassword = 4 << 10 // bytes

// hostOptions say what a command may ask. A flag wins over the environment,
// which wins over site.yaml.
type hostOptions struct {
	policy policyOptions
	site   string
	root   string // of a mounted host; empty: this one's, if the engine is here
	ucp    site.Server
	dtr    site.Server
	// parallel is how many questions to UCP, and to DTR, are under way at once.
	parallel parallel
}

func (o *hostOptions) addFlags(flags *pflag.FlagSet) {
	o.policy.addFlags(flags)
	flags.StringVar(&o.site, "site", cmp.Or(os.Getenv("STIG_SITE"), site.DefaultPath), "The site's values (env STIG_SITE)")
	flags.StringVar(&o.root, "host-root", "", "Folder in which the engine's host is mounted")
	addServerFlags(flags, &o.ucp, "ucp", "UCP or MKE")
	addServerFlags(flags, &o.dtr, "dtr", "DTR or MSR")
	flags.Var(&o.parallel, "parallel", fmt.Sprintf("Questions to UCP, and to DTR, under way at once, 1 to %d (default %d)", mgmt.MaxParallel, mgmt.DefaultParallel))
}

// parallel is the value of --parallel; 0: not given.
type parallel int

// Set reads a number that package mgmt takes.
func (p *parallel) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > mgmt.MaxParallel {
		return fmt.Errorf("want a number from 1 to %d", mgmt.MaxParallel)
	}
	*p = parallel(n)
	return nil
}

// String is empty if nothing was given.
func (p *parallel) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.Itoa(int(*p))
}

// Type stands in help texts.
func (*parallel) Type() string { return "int" }

// or is the flag's number, else the one of site.yaml.
func (p *parallel) or(file *int) int {
	if *p == 0 && file != nil {
		return *file
	}
	return int(*p)
}

func addServerFlags(flags *pflag.FlagSet, s *site.Server, name, title string) {
	env := "STIG_" + strings.ToUpper(name)
	flags.StringVar(&s.URL, name+"-url", "", fmt.Sprintf("Address of %s, https://HOST[:PORT] (env %s_URL)", title, env))
	flags.StringVar(&s.CA, name+"-ca", "", fmt.Sprintf("PEM file of the authority behind its certificate (env %s_CA)", env))
	flags.StringVar(&s.Username, name+"-username", "", fmt.Sprintf("Administrator to sign in as (env %s_USERNAME)", env))
	flags.StringVar(&s.PasswordFile, name+"-password-file", "", fmt.Sprintf("File with the password, - for standard input (env %s_PASSWORD_FILE, or the password itself in %[1]s_PASSWORD)", env))
}

// certsDir is where an engine has the certificates of registries.
const certsDir = "/etc/docker/certs.d"

// policyOptions say which policy judges images.
type policyOptions struct{ path string }

func (o *policyOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.path, "policy", cmp.Or(os.Getenv("STIG_POLICY"), policy.DefaultPath), "Policy that names whose signatures count (env STIG_POLICY)")
}

// load reads the policy. It is nil, with no error, if there is none at the
// place where nobody has to put one.
func (o *policyOptions) load() (*policy.Policy, error) {
	loaded, err := policy.Load(o.path)
	if errors.Is(err, os.ErrNotExist) && o.path == policy.DefaultPath {
		return nil, nil //nolint:nilnil // no policy is an answer here
	}
	return loaded, err
}

// verifier loads the policy and makes a verifier of it: nil if there is none.
func (o *policyOptions) verifier(dockerCLI command.Cli) (*policy.Verifier, error) {
	loaded, err := o.load()
	if err != nil || loaded == nil {
		return nil, err
	}
	return newVerifier(dockerCLI, loaded), nil
}

// needed is the verifier where nothing can be told without a policy.
func (o *policyOptions) needed(dockerCLI command.Cli) (*policy.Verifier, error) {
	verifier, err := o.verifier(dockerCLI)
	if err == nil && verifier == nil {
		return nil, fmt.Errorf("there is no policy at %s, so nobody's signature counts: begin one with docker stig trust pin, or name one with --policy", policy.DefaultPath)
	}
	return verifier, err
}

// newVerifier makes a verifier that signs in as docker login left it.
func newVerifier(dockerCLI command.Cli, p *policy.Policy) *policy.Verifier {
	return policy.NewVerifier(p, policy.Options{
		Now:      time.Now,
		StateDir: stateDir(),
		Logins:   access.DockerConfig(dockerCLI.ConfigFile()),
		CertDirs: certDirs(),
		Log:      slog.New(talker{dockerCLI.Err()}),
	})
}

// A talker writes log records as sentences for a person.
type talker struct{ w io.Writer }

// Enabled leaves out what only a developer wants to know.
func (talker) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle writes one line.
func (t talker) Handle(_ context.Context, r slog.Record) error {
	line := "docker stig: " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += ": " + a.Value.String()
		return true
	})
	_, err := fmt.Fprintln(t.w, line)
	return err
}

// WithAttrs is not needed here: nobody makes loggers of this one.
func (t talker) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup is not needed, either.
func (t talker) WithGroup(string) slog.Handler { return t }

// stateDir is where things are kept: STIG_STATE, else the daemon's folder for
// root, and one's own for everybody else.
func stateDir() string {
	if state := os.Getenv("STIG_STATE"); state != "" {
		return state
	}
	if os.Geteuid() == 0 {
		return "/var/lib/docker-stig"
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir() // no home
	}
	return filepath.Join(dir, "docker-stig")
}

// bare makes a host of which the site says nothing.
func (o *hostOptions) bare() (*host.Host, error) {
	if info, err := os.Stat(o.root); o.root != "" && (err != nil || !info.IsDir()) {
		return nil, fmt.Errorf("--host-root: %s is no folder", o.root)
	}
	return &host.Host{}, nil
}

// open makes the host that rules ask, but for its engine: see connect.
func (o *hostOptions) open(dockerCLI command.Cli) (*host.Host, error) {
	h, err := o.bare()
	if err != nil {
		return nil, err
	}
	values, err := site.Load(o.site)
	if err != nil {
		return nil, err
	}
	verifier, err := o.policy.verifier(dockerCLI)
	if err != nil {
		return nil, err
	}
	h.Site = values
	if verifier != nil {
		h.Trust = verifier.SignaturesOnly()
	}
	ucpOptions, err := serverOptions(dockerCLI, "UCP", o.ucp, values.UCP.Server)
	if err != nil {
		return nil, err
	}
	dtrOptions, err := serverOptions(dockerCLI, "DTR", o.dtr, values.DTR.Server)
	if err != nil {
		return nil, err
	}
	if o.ucp.PasswordFile == "-" && o.dtr.PasswordFile == "-" {
		return nil, errors.New("--ucp-password-file and --dtr-password-file cannot both be standard input: put one into a file")
	}
	ucpOptions.Parallel, dtrOptions.Parallel = o.parallel.or(values.UCP.Parallel), o.parallel.or(values.DTR.Parallel)
	if ucpOptions.URL != "" {
		if h.UCP, err = ucp.New(ucpOptions); err != nil {
			return nil, err
		}
	}
	if dtrOptions.URL != "" {
		if h.DTR, err = dtr.New(dtr.Options{Options: dtrOptions}); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// connect gives the host its engine, and its files and programs where they can
// be seen. Docker's client asks the engine for its version at once, so this
// comes when all input is known to be good.
func (o *hostOptions) connect(ctx context.Context, dockerCLI command.Cli, h *host.Host) {
	h.Engine = dockerCLI.Client()
	h.Address = dockerCLI.DockerEndpoint().Host
	h.Now = time.Now
	h.See(ctx, o.root)
	if h.Package == nil {
		h.Package = h.EnginePackage(o.root)
	}
}

// serverOptions gathers how a server is reached, each value from the flag, the
// environment or site.yaml, in this order. The URL is empty if nobody gave one.
func serverOptions(dockerCLI command.Cli, name string, flag, file site.Server) (mgmt.Options, error) {
	env := func(key string) string { return os.Getenv("STIG_" + name + "_" + key) }
	options := mgmt.Options{
		URL:      cmp.Or(flag.URL, env("URL"), file.URL),
		CAFile:   cmp.Or(flag.CA, env("CA"), file.CA),
		Username: cmp.Or(flag.Username, env("USERNAME"), file.Username),
	}
	if options.URL == "" {
		return options, nil
	}
	if flag.PasswordFile == "" && env("PASSWORD_FILE") == "" && env("PASSWORD") != "" {
		options.Password = env("PASSWORD")
		return options, nil
	}
	password, err := readPassword(dockerCLI, cmp.Or(flag.PasswordFile, env("PASSWORD_FILE"), file.PasswordFile))
	if err != nil {
		return options, fmt.Errorf("password for %s: %w", name, err)
	}
	options.Password = password
	return options, nil
}

// readPassword reads a password without the line end that editors add.
func readPassword(dockerCLI command.Cli, path string) (string, error) {
	var source io.Reader = dockerCLI.In()
	switch path {
	case "":
		return "", nil // the client says which flag to give
	case "-":
	default:
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		source = file
	}
	raw, err := io.ReadAll(io.LimitReader(source, maxPassword+1))
	if err != nil {
		return "", err
	}
	if len(raw) > maxPassword {
		return "", fmt.Errorf("longer than %d bytes: is this the right file?", maxPassword)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}
