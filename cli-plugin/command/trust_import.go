package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
)

type importOptions struct {
	policy policyOptions
	file   string
}

func newTrustImportCommand(dockerCLI command.Cli) *cobra.Command {
	var opts importOptions
	cmd := &cobra.Command{
		Use:   "import [OPTIONS] FILE|-",
		Short: "Take in a bundle, as far as the policy accepts it",
		Long: `Verify a bundle as if trust servers had given it, and keep what the policy
accepts: from then on 'docker stig trust verify' and docker-stig-authz know the
images in it without asking a server. Nothing in the bundle says what to trust:
a repository without a pin in this policy is refused, and so is one that is
older than what is known here.

Run it with sudo for the engine: docker-stig-authz reads /var/lib/docker-stig,
which is root's. Images that are in the bundle are loaded by 'docker load'.

Exit codes: 0 all of it is accepted; 2 at least one repository is refused, and
the others are kept; 1 the file is damaged or nothing could be kept.`,
		Example: `  sudo docker stig trust import prod.bundle
  sudo docker stig trust import - < prod.bundle`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.file = args[0]
			return runTrustImport(cmd.Context(), dockerCLI, opts)
		},
	}
	opts.policy.addFlags(cmd.Flags())
	return cmd
}

func runTrustImport(ctx context.Context, dockerCLI command.Cli, opts importOptions) error {
	verifier, err := opts.policy.needed(dockerCLI)
	if err != nil {
		return err
	}
	b, err := readBundle(dockerCLI, opts.file)
	if err != nil {
		return err
	}
	before := lookAt(stateDir(), b)
	list, err := verifier.Import(ctx, b)
	after := lookAt(stateDir(), b)
	if err := writeParagraphs(dockerCLI.Out(), importParagraphs(list, before, after, time.Now())); err != nil {
		return err
	}
	if stateDir() != daemonState && os.Getenv("STIG_STATE") == "" {
		_, _ = fmt.Fprintf(dockerCLI.Err(), "docker stig: kept for you alone, in %s: docker-stig-authz reads %s; for the engine run it with sudo\n", stateDir(), daemonState)
	}
	if err != nil {
		return err
	}
	if before.same(after) && !anyRefused(list) {
		_, _ = fmt.Fprintln(dockerCLI.Err(), "docker stig: all of it was here already, and nothing was changed")
	}
	return importExit(list)
}

// A sight is what the state folder holds of a bundle: so it can be told what
// an import has changed.
type sight struct {
	trust     map[string][]byte // by GUN; nil: nothing
	manifests int               // of those in the bundle
}

// lookAt reads what is kept in trust/<sha256 of GUN>.json, and counts
// manifests/sha256/<hex>. What cannot be read is not there.
func lookAt(state string, b bundle.Bundle) sight {
	s := sight{trust: map[string][]byte{}}
	for _, r := range b.Repositories {
		raw, err := os.ReadFile(filepath.Join(state, "trust", digest.FromString(r.GUN).Encoded()+".json"))
		if err == nil {
			s.trust[r.GUN] = raw
		}
	}
	for _, raw := range b.Manifests {
		if _, err := os.Stat(filepath.Join(state, "manifests", "sha256", digest.FromBytes(raw).Encoded())); err == nil {
			s.manifests++
		}
	}
	return s
}

// knew reports whether nothing was written about a repository between two looks.
func (s sight) knew(gun string, after sight) bool {
	return s.trust[gun] != nil && bytes.Equal(s.trust[gun], after.trust[gun])
}

func (s sight) same(after sight) bool {
	for gun := range after.trust {
		if !s.knew(gun, after) {
			return false
		}
	}
	return s.manifests == after.manifests
}

func importParagraphs(list []policy.Carried, before, after sight, now time.Time) []paragraph {
	var paragraphs []paragraph
	for _, carried := range list {
		p := paragraph{title: carried.GUN}
		if carried.Err != nil {
			p.add("Import", "%s", importWord(carried.Err))
			p.addRefusal(carried.Err)
			paragraphs = append(paragraphs, p)
			continue
		}
		word := "accepted"
		if before.knew(carried.GUN, after) {
			word = "accepted; its signatures were here already"
		}
		p.add("Import", "%s", word)
		yes, no := vouchedFor(carried.Repository)
		p.add("Tags", "%s", someTags(yes))
		if len(no) > 0 {
			p.add("Refused", "%s: the signers that the policy names do not vouch for them", someTags(no))
		}
		p.addUntil(carried.Repository, now)
		if endsSoon(carried.Repository, now) {
			p.add("Next", "%s", prolonging(carried.Repository))
		}
		paragraphs = append(paragraphs, p)
	}
	return paragraphs
}

// importWord tells a bundle that was refused from one that could not be kept.
func importWord(err error) string {
	if errors.As(err, new(*trust.Error)) {
		return "refused"
	}
	return "not kept"
}

func anyRefused(list []policy.Carried) bool {
	for _, carried := range list {
		if carried.Err != nil {
			return true
		}
	}
	return false
}

func importExit(list []policy.Carried) error {
	var refused, failed []string
	for _, carried := range list {
		switch {
		case carried.Err == nil:
		case errors.As(carried.Err, new(*trust.Error)):
			refused = append(refused, carried.GUN)
		default:
			failed = append(failed, carried.GUN)
		}
	}
	switch accepted := len(list) - len(refused) - len(failed); {
	case len(failed) > 0:
		return fmt.Errorf("%s could not be kept in %s: is there room, and may you write there? Import again then", strings.Join(failed, ", "), stateDir())
	case len(refused) > 0 && accepted > 0:
		return exit(exitNo, "%d of %d repositories refused; what was accepted of the others is kept", len(refused), len(list))
	case len(refused) > 0:
		return exit(exitNo, "%s refused; nothing was written", count(len(refused), "repository", "repositories"))
	default:
		return nil
	}
}
