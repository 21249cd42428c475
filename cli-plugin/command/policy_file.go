package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker/cli/cli/command"
	"github.com/hexops/gotextdiff"
	"github.com/hexops/gotextdiff/myers"
	"github.com/hexops/gotextdiff/span"
)

// firstPolicy is what a policy begins as where there is none: it lets
// everything through until its owner decides otherwise.
const firstPolicy = `// What this engine may run: docker-stig-policy(5) says what else can stand here.
{
  "content-trust": {
    // Judge and log, and let everything through. Change it to "enforced" when
    // the log holds no refusal that you did not mean.
    "mode": "permissive",
  },
}
`

// A policyFile is the policy that a command adds to.
type policyFile struct {
	path   string
	raw    []byte // as it lies there; empty: there is none
	text   []byte // what is added to: raw, or a beginning
	policy *policy.Policy
}

// openPolicyFile reads a policy that it must be possible to write, too. One
// that is missing is begun at the default path; elsewhere its name may be a
// slip.
func openPolicyFile(path string) (*policyFile, error) {
	loaded, err := policy.Load(path)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	case path != policy.DefaultPath:
		return nil, fmt.Errorf("%s: no such file or directory: to begin a policy there, write {\"content-trust\": {\"mode\": \"permissive\"}} into it", path)
	default:
		f := &policyFile{path: path, text: []byte(firstPolicy)}
		if f.policy, err = policy.Parse(path, []byte(firstPolicy)); err != nil {
			return nil, err
		}
		return f, writable(path)
	}
	raw, err := os.ReadFile(path) // Load has read it, and bounds it
	if err != nil {
		return nil, err
	}
	return &policyFile{path: path, raw: raw, text: raw, policy: loaded}, writable(path)
}

// writable tries to make a file beside the policy, as writing it will. Only
// trying tells: modes say nothing of a read-only disk.
func writable(path string) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path
	}
	dir := filepath.Dir(target)
	for path == policy.DefaultPath && !exists(dir) {
		dir = filepath.Dir(dir) // it will be made
	}
	file, err := os.CreateTemp(dir, ".docker-stig-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written, so nothing was changed (%w): run this as root, or name a policy of your own with --policy", path, cause(err))
	}
	_ = file.Close() // nothing was written
	return os.Remove(file.Name())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// change shows what would become of the policy, asks, and writes it. It is
// false if there is nothing to change.
func (f *policyFile) change(ctx context.Context, dockerCLI command.Cli, after []byte, yes bool, question string) (bool, error) {
	if string(after) == string(f.raw) {
		_, err := fmt.Fprintf(dockerCLI.Out(), "There is nothing to change: %s says so already.\n", f.path)
		return false, err
	}
	if err := f.show(dockerCLI.Out(), after); err != nil {
		return false, err
	}
	if !yes {
		if err := ask(ctx, dockerCLI, question, "yes"); err != nil {
			return false, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil { //nolint:gosec // the policy is no secret
		return false, err
	}
	return true, policy.Save(f.path, f.raw, after)
}

// show writes what changes, with the lines around it: a policy has no secrets.
func (f *policyFile) show(w io.Writer, after []byte) error {
	said := "What changes in the policy:"
	if f.raw == nil {
		said = fmt.Sprintf("There is no policy at %s. This is what it would begin as; its mode refuses nothing:", f.path)
	}
	edits := myers.ComputeEdits(span.URIFromPath(f.path), string(f.raw), string(after))
	_, err := fmt.Fprintf(w, "\n%s\n%v\n", said, gotextdiff.ToUnified(f.path+" (now)", f.path+" (planned)", string(f.raw), edits))
	return err
}

// reload says what the daemon needs to hear of a change, if it is its policy.
func (f *policyFile) reload() string {
	if f.path != policy.DefaultPath {
		return ""
	}
	return "docker-stig-authz goes on with the policy that it has read until: systemctl reload docker-stig-authz\n"
}
