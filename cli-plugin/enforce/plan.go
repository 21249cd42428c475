package enforce

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hexops/gotextdiff"
	"github.com/hexops/gotextdiff/myers"
	"github.com/hexops/gotextdiff/span"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// unitDir is where an administrator's own units lie.
const unitDir = "/etc/systemd/system"

// dropInName sorts behind what systemctl edit writes (override.conf): systemd
// reads drop-ins by name, and the last to reset ListenStream is heeded.
const dropInName = "zz-docker-stig-guard.conf"

// dropIn moves docker.socket behind the guard, as the package's
// docker.socket-guard.conf does. Its folder is root's alone.
const dropIn = `# Written by docker stig authz enable --guard, and taken away by docker stig
# authz disable. The guard listens on the public socket and passes on to this.
[Socket]
ListenStream=
ListenStream=` + PrivateSocket + `
DirectoryMode=0700
SocketUser=root
SocketGroup=root
SocketMode=0600
`

// A Plan is what enabling would change.
type Plan struct {
	Journal Journal
	Dockerd *Dockerd
}

// Make plans how an engine comes to enforce, from what is so now. It changes
// nothing.
func Make(d *Dockerd, policyPath string, refuses, guard bool, now time.Time) (Plan, error) {
	p := Plan{Dockerd: d, Journal: Journal{
		Version: journalVersion, Begun: now.UTC(), Phase: Applying,
		Engine: d.Socket, Managed: d.Managed, Refused: refuses, Guard: guard,
	}}
	editors := []struct {
		kind  Kind
		path  string
		wants bool
		edit  func([]byte) ([]byte, error)
	}{
		{PolicyFile, policyPath, true, func(raw []byte) ([]byte, error) { return policyAfter(raw, d, guard) }},
		{DaemonFile, d.ConfigFile, !d.Configured(), addPlugin},
		{UnitFile, filepath.Join(unitDir, engineSocket+".d", dropInName), guard, func([]byte) ([]byte, error) { return []byte(dropIn), nil }},
	}
	if d.ConfigErr != nil {
		return p, d.ConfigErr
	}
	if !d.Configured() && len(d.FlagPlugins()) > 0 {
		return p, fmt.Errorf("the engine was started with --authorization-plugin %s, and takes no further plugins from daemon.json then: move them there (%q) and restart it", strings.Join(d.FlagPlugins(), ", "), pluginsKey)
	}
	for _, e := range editors {
		if !e.wants {
			continue
		}
		file, err := newFile(e.kind, e.path)
		if err != nil {
			return p, err
		}
		if file.After, err = e.edit(file.Before); err != nil {
			return p, err
		}
		if file.changes() {
			p.Journal.Files = append(p.Journal.Files, file)
		}
	}
	p.Journal.Said = d.Configured() && enforces(policyPath)
	return p, nil
}

// enforces reports whether a policy does already.
func enforces(path string) bool {
	p, err := policy.Load(path)
	return err == nil && p.ContentTrust.Mode == policy.Enforced
}

// policyAfter is the policy that enforces, and behind a guard asks the engine
// itself: the plugin must not depend on the guard.
func policyAfter(raw []byte, d *Dockerd, guard bool) ([]byte, error) {
	p, err := policy.Parse("policy", bytes.Clone(raw))
	if err != nil {
		return nil, err
	}
	after := raw
	if p.ContentTrust.Mode != policy.Enforced {
		if after, err = setMode(raw, string(policy.Enforced)); err != nil {
			return nil, err
		}
	}
	public := []string{defaultEngine, "unix:///var/run/docker.sock", "unix://" + d.Socket}
	if guard && slices.Contains(public, p.Engine) {
		if after, err = setEngine(after, "unix://"+PrivateSocket); err != nil {
			return nil, err
		}
	}
	if _, err = policy.Parse("policy", bytes.Clone(after)); err != nil {
		return nil, fmt.Errorf("the policy would not be one any more: %w", err)
	}
	return after, nil
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Journal.Files) == 0 && p.Journal.Refused && !p.Journal.Guard }

// Text shows the plan to a person.
func (p Plan) Text() string {
	var b strings.Builder
	for _, f := range p.Journal.Files {
		b.WriteString(Diff(f, f.Before, f.After))
	}
	if p.Journal.Guard {
		b.WriteString("The engine and its socket are restarted once: containers stop, unless live-restore is on.\n")
		return b.String()
	}
	b.WriteString("docker-stig-authz and the engine are told to read them again. No container is touched.\n")
	return b.String()
}

// BackText shows what taking a journal back changes.
func (j *Journal) BackText() string {
	var b strings.Builder
	if len(j.Files) == 0 {
		b.WriteString("It changed no file: they named docker-stig-authz before, and the engine was told to read them.\n")
	}
	for _, f := range j.Files {
		now, err := newFile(f.Kind, f.Path)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", f.Path, err)
			continue
		}
		after := f.Before
		if !bytes.Equal(now.Before, f.After) {
			fmt.Fprintf(&b, "%s was changed since; what was enabled is taken out of it, and the rest stays.\n", f.Path)
			continue
		}
		b.WriteString(Diff(f, now.Before, after))
	}
	if j.Guard {
		b.WriteString("The guard is taken out of the way; the engine and its socket are restarted once: containers stop, unless live-restore is on.\n")
	}
	return b.String()
}

// Diff shows the lines of a file that change, and no others: those around may
// hold a secret.
func Diff(f File, before, after []byte) string {
	edits := myers.ComputeEdits(span.URIFromPath(f.Path), string(before), string(after))
	unified := gotextdiff.ToUnified(f.Path+" (now)", f.Path+" (planned)", string(before), edits)
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", unified.From, unified.To)
	marks := map[gotextdiff.OpKind]string{gotextdiff.Delete: "-", gotextdiff.Insert: "+"}
	for _, hunk := range unified.Hunks {
		for _, line := range hunk.Lines {
			if mark, changed := marks[line.Kind]; changed {
				b.WriteString(mark + strings.TrimRight(line.Content, "\r\n") + "\n")
			}
		}
	}
	return b.String()
}

// ErrNoSystemd says why there can be no guard.
var ErrNoSystemd = errors.New("the guard is put in place through docker.socket of systemd, and this engine is not started by that: start docker-stig-authz guard on its public socket and the engine on a private one by hand")

// GuardFits wants an engine whose socket systemd can move.
func GuardFits(d *Dockerd, init *Systemd) error {
	if init == nil || !d.Managed || !slices.ContainsFunc(d.Hosts(), func(host string) bool { return strings.HasPrefix(host, "fd://") }) {
		return ErrNoSystemd
	}
	return nil
}
