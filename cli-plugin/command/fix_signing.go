package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/streams"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy"
	"github.com/docker-stig/docker-stig/cli-plugin/signing"
	"github.com/docker-stig/docker-stig/shared/trust/access"
)

// maxLooks bounds the tags that the registry is asked for at the same time.
const maxLooks = 16

// A fixSigner signs the tags of a plan, as docker stig trust sign would.
type fixSigner struct {
	signingOptions
	signer string

	cli     command.Cli
	logins  access.Credentials
	to      io.Writer // what was signed
	results []signing.Result
}

func (s *fixSigner) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&s.signer, "signer", "", "Signer who vouches for the tags that are signed")
	flags.StringVar(&s.rootKey, "root-key", "", "ID of the root key of repositories without signatures (default the only one)")
	flags.StringVar(&s.server, "server", "", "Trust server to sign on, https://HOST[:PORT] (env "+serverVariable+"; default the policy's, or else the registry's host)")
}

// open makes the signer ready. Where JSON is the answer, all else is talk.
func (s *fixSigner) open(dockerCLI command.Cli, o fixOptions, h *host.Host) error {
	if s.signer != "" {
		if err := signing.CheckName(s.signer); err != nil {
			return err
		}
	}
	s.cli, s.policy = dockerCLI, o.host.policy
	if o.format == jsonFormat {
		s.cli = talking{dockerCLI}
	}
	s.to, s.logins = s.cli.Out(), access.DockerConfig(dockerCLI.ConfigFile())
	if h.DTR == nil || o.host.dtr.PasswordFile == "-" { // it can be read but once
		return nil
	}
	account, err := serverOptions(dockerCLI, "DTR", o.host.dtr, h.Site.DTR.Server)
	if err != nil {
		return err
	}
	s.logins = dtrLogins{s.logins, h.DTR.Domain(), func() access.Login {
		return access.Login{Username: account.Username, Password: account.Password}
	}}
	return nil
}

// A talking command line has nothing to answer.
type talking struct{ command.Cli }

func (t talking) Out() *streams.Out { return t.Err() }

// dtrLogins are docker's, and DTR's own account where docker has none for it.
type dtrLogins struct {
	access.Credentials
	domain string
	own    func() access.Login // a login in a field would be printed with it
}

// Login gives DTR's account to DTR's host alone.
func (d dtrLogins) Login(host string) (access.Login, error) {
	found, err := d.Credentials.Login(host)
	if err != nil || found != (access.Login{}) || host != d.domain {
		return found, err
	}
	return d.own(), nil
}

// Signer is who was named.
func (s *fixSigner) Signer() string { return s.signer }

// Stand asks the registry what each tag is by now.
func (s *fixSigner) Stand(ctx context.Context, tags []change.Publish) []error {
	_, errs := s.look(ctx, tags)
	return errs
}

// look reads the manifests of tags: what is signed is their digest, whatever
// anybody says of it.
func (s *fixSigner) look(ctx context.Context, tags []change.Publish) ([]signing.Target, []error) {
	clients := access.New(access.Options{Credentials: s.logins, CertDirs: certDirs()})
	defer clients.Close()
	targets, errs := make([]signing.Target, len(tags)), make([]error, len(tags))
	var group errgroup.Group
	group.SetLimit(maxLooks)
	for i, tag := range tags {
		group.Go(func() error {
			targets[i], errs[i] = lookUp(ctx, clients, tag)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return targets, errs
}

func lookUp(ctx context.Context, clients *access.Clients, tag change.Publish) (signing.Target, error) {
	refs, err := parseTags([]string{tag.Repository + ":" + tag.Tag})
	if err != nil {
		return signing.Target{}, err
	}
	found, err := signing.Resolve(ctx, clients, refs)
	if err != nil {
		return signing.Target{}, err
	}
	if got := found[0].Digest.String(); got != tag.Digest {
		return signing.Target{}, fmt.Errorf("the registry has %s under it by now, and not %s: run the fix again, and if it says the same, push the tag again", got, tag.Digest)
	}
	return found[0], nil
}

// Publish looks at the tags once more, and signs those that have not moved,
// repository by repository. Its error names what is not signed.
func (s *fixSigner) Publish(ctx context.Context, tags []change.Publish) error {
	signer, err := s.openAs(ctx, s.cli, s.logins)
	if err != nil {
		return fmt.Errorf("nothing was signed: %w", err)
	}
	defer signer.Close()
	targets, moved := s.look(ctx, tags)
	var standing []signing.Target
	var gone []string
	for i, tag := range tags {
		if moved[i] == nil {
			standing = append(standing, targets[i])
			continue
		}
		title := tag.Repository + ":" + tag.Tag
		gone = append(gone, title)
		_, _ = fmt.Fprintf(s.to, "not signed: %s %s\n  because %v\n", title, tag.Digest, moved[i])
	}
	progress := newPublishing(s.cli.Err(), standing)
	s.results = signer.Publish(ctx, standing, signing.Order{Signer: s.signer, Done: progress.done})
	return errors.Join(writeSigned(s.to, s.results), s.failed(gone))
}

// failed names what was not signed: tags that have moved, and repositories.
func (s *fixSigner) failed(moved []string) error {
	var parts, repositories []string
	signed := 0
	for _, r := range s.results {
		if r.Err != nil {
			repositories = append(repositories, r.GUN)
		}
		signed += len(r.Published) + len(r.Unchanged)
	}
	if len(moved) > 0 {
		parts = append(parts, "tags that are not what they were in the plan were not signed: "+firstOf(moved))
	}
	if len(repositories) > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d repositories were not published: %s", len(repositories), len(s.results), firstOf(repositories)))
	}
	switch {
	case len(parts) == 0:
		return nil
	case signed == 0:
		return fmt.Errorf("nothing was signed: %s", strings.Join(parts, "; "))
	}
	return fmt.Errorf("%s; what was published stands, and the next docker stig fix goes on from there", strings.Join(parts, "; "))
}

// firstOf names the first of many.
func firstOf(items []string) string {
	const most = 5
	if len(items) <= most {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
}

// verified verifies what was published as an engine would, with a verifier
// that remembers nothing of before.
func (s *fixSigner) verified(ctx context.Context) error {
	if len(s.results) == 0 {
		return nil
	}
	return s.prove(context.WithoutCancel(ctx), s.cli, s.results)
}

// agree has a person say yes to the list as a whole.
func (s *fixSigner) agree(ctx context.Context, dockerCLI command.Cli, plan remedy.Plan) error {
	tags := plan.Signatures()
	if len(tags) == 0 {
		return nil
	}
	question := fmt.Sprintf("Type \"yes\" to sign the whole list as %s, which cannot be taken back (tags: %d): ", s.signer, len(tags))
	return ask(ctx, dockerCLI, question, "yes")
}

// worse is the error that decides the exit code: a no outranks what could not
// be found out.
func worse(proof, rows error) error {
	status := cli.StatusError{}
	if proof == nil || errors.As(rows, &status) && status.StatusCode == exitNo {
		return rows
	}
	return proof
}
