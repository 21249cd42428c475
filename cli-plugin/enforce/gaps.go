package enforce

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A Gap is something that keeps an engine from enforcing, or that somebody
// should know, and what to do about it.
type Gap struct {
	What   string
	Detail string `json:",omitempty"`
	Next   string
}

// A Finding is what a Look amounts to.
type Finding struct {
	Gaps    []Gap // the engine does not enforce
	Unknown []Gap // it may not: this could not be found out
	Notes   []Gap // it does, and this should be known
}

// Enforced reports whether nothing is missing, and nothing left open.
func (f Finding) Enforced() bool { return len(f.Gaps)+len(f.Unknown) == 0 }

func (f *Finding) gap(what, next string)  { f.Gaps = append(f.Gaps, Gap{What: what, Next: next}) }
func (f *Finding) note(what, next string) { f.Notes = append(f.Notes, Gap{What: what, Next: next}) }
func (f *Finding) unknown(err error, next string) {
	f.Unknown = append(f.Unknown, Gap{What: err.Error(), Next: next})
}

const (
	restartPending = "systemctl reload docker"
	switchOn       = "docker stig authz enable"
)

// Find says what is missing.
func (l Look) Find() Finding {
	var f Finding
	l.journal(&f)
	l.policy(&f)
	l.plugin(&f)
	l.inForce(&f)
	l.listeners(&f)
	if l.InfoErr != nil {
		f.unknown(l.InfoErr, "see whether the engine runs, and whether you may use its socket")
		return f
	}
	if l.Rootless {
		f.gap("the engine is rootless: who owns it can take the plugin out", "run the engine as root")
	}
	l.swarm(&f)
	l.bodies(&f)
	return f
}

func (l Look) journal(f *Finding) {
	switch {
	case l.JournalErr != nil:
		f.unknown(l.JournalErr, "run it as root")
	case l.Journal == nil || l.Journal.Phase == InForce:
	case l.Busy:
		f.note("an enable is at work just now", "wait until it has ended, and ask again")
	default:
		f.gap(fmt.Sprintf("an enable of %s was cut off", l.Journal.Begun.Format(time.RFC3339)), "docker stig authz disable takes back what it changed")
	}
}

func (l Look) policy(f *Finding) {
	if errors.Is(l.PolicyErr, fs.ErrPermission) {
		f.unknown(l.PolicyErr, "run it as root")
		return
	}
	if l.PolicyErr != nil {
		f.gap(fmt.Sprintf("no policy: %v", l.PolicyErr), "mend it; without one docker-stig-authz denies whatever it would have to judge")
		return
	}
	if mode := l.Policy.ContentTrust.Mode; mode != policy.Enforced {
		f.gap(fmt.Sprintf("the policy is %s: it refuses nothing", mode), switchOn)
	}
	if Scopes(l.Policy) == 0 {
		f.gap("the policy has no scope: there is nothing that it could accept", "docker stig trust pin REPOSITORY, or docker stig trust import")
	}
}

// Scopes counts what a policy has to accept images by.
func Scopes(p *policy.Policy) int {
	pins := p.ContentTrust.TrustPinning
	return len(pins.RootKeys) + len(pins.CertIDs) + len(p.Digests)
}

// plugin compares what the engine does with what its files say: GET /info
// tells only what was in force when it started.
func (l Look) plugin(f *Finding) {
	if l.RefusesErr != nil && l.InfoErr == nil { // else it is told already
		f.unknown(l.RefusesErr, "see whether the engine runs, and whether you may use its socket")
	}
	if l.DockerdErr != nil {
		f.unknown(l.DockerdErr, "run it as root on the engine's own host")
	}
	l.silent(f)
	if l.Dockerd != nil && l.Dockerd.ConfigErr != nil {
		f.unknown(l.Dockerd.ConfigErr, "write it as plain JSON, in UTF-8 and without a byte order mark")
	}
	for _, err := range []error{l.FolderErr, l.OtherEngine()} {
		if err != nil {
			f.gap(err.Error(), "")
		}
	}
	if l.RefusesErr != nil || l.DockerdErr != nil {
		return
	}
	named, enforces := l.Dockerd.Configured(), l.PolicyErr == nil && l.Policy.ContentTrust.Mode == policy.Enforced
	switch {
	case l.Refuses && !named:
		f.gap(fmt.Sprintf("%s no longer names the plugin: the engine stops asking it when it next reads that", l.Dockerd.ConfigFile), switchOn)
	case !l.Refuses && !named:
		f.gap(fmt.Sprintf("the engine is not told to ask docker-stig-authz: %s does not name it", l.Dockerd.ConfigFile), switchOn)
	case !l.Refuses && enforces && l.PluginErr == nil:
		f.gap(fmt.Sprintf("restart pending: %s names docker-stig-authz, and the engine or docker-stig-authz goes by what it read before", l.Dockerd.ConfigFile), restartPending+"; systemctl reload docker-stig-authz")
	}
}

// silent tells of a plugin that does not do its part.
func (l Look) silent(f *Finding) {
	const denied = "until it answers, an engine that is told of it denies everything"
	if away := new(Silent); errors.As(l.PluginErr, &away) {
		f.Gaps = append(f.Gaps, Gap{What: away.what(), Detail: away.detail(), Next: away.next() + "; " + denied})
		return
	}
	if l.PluginErr != nil {
		f.gap(l.PluginErr.Error(), denied)
	}
}

// listeners are the ways in that the plugin does not see, or not whole.
func (l Look) listeners(f *Finding) {
	for _, path := range l.HTTP2 {
		next := "docker stig authz enable --guard"
		if slices.Contains(l.Unguarded(), path) {
			next = "take it out of -H and hosts: the guard stands before the public socket alone"
		}
		f.gap(fmt.Sprintf("the engine serves gRPC over HTTP/2 on %s, which authorization never sees (29.2 and later)", path), next)
	}
	if l.HTTP2Err != nil {
		f.unknown(fmt.Errorf("whether the engine serves HTTP/2: %w", l.HTTP2Err), "")
	}
	if l.DockerdErr != nil {
		return
	}
	if l.ListenersErr != nil {
		f.unknown(l.ListenersErr, "run it as root on the engine's own host")
	}
	listens := map[string]bool{}
	for _, one := range l.Listeners {
		switch {
		case one.Err != nil:
			f.unknown(one.Err, "ask again once the engine has less to do")
		case one.Network != "tcp":
		default:
			l.overTCP(f, "listens on tcp://"+one.Address, one.Door)
		}
		if _, port, err := net.SplitHostPort(one.Address); err == nil {
			listens[port] = true
		}
	}
	for _, host := range l.Dockerd.Hosts() {
		if !strings.HasPrefix(host, "tcp://") || listens[l.Dockerd.portOf(host)] {
			continue
		}
		door := Open
		if l.Dockerd.VerifiesTLS() {
			door = Certified
		}
		l.overTCP(f, "is told to listen on "+host+" when it starts", door)
	}
}

// overTCP tells what an engine that listens so means.
func (l Look) overTCP(f *Finding, does string, door Door) {
	engine, isVersion := parseVersion(l.Info.ServerVersion)
	switch {
	case door == NoAPI:
	case door != Certified:
		f.gap(fmt.Sprintf("the engine %s, and asks nobody for a certificate", does), "take it out of -H and hosts (and of docker.socket), or set tlsverify; then restart the engine")
	case l.EngineHTTP2 || isVersion && engine.atLeast(29, 2, 0):
		f.gap(fmt.Sprintf("the engine %s, where no guard stands", does), "take it out of -H and hosts; reach the engine over SSH (docker context create --docker host=ssh://…)")
	default:
		f.note(fmt.Sprintf("the engine %s too: whoever has a client certificate for it is judged as well", does), "")
	}
}

// swarm tells what a node means.
func (l Look) swarm(f *Finding) {
	if l.Info.Swarm.LocalNodeState != "active" {
		return
	}
	f.note("this is a node of a swarm: its tasks are started by the engine itself, which asks nobody", "enable this on every manager, where services are judged, and watch docker stig authz sweep here")
	if len(l.Nodes) > 0 {
		f.gap(fmt.Sprintf("managers of this swarm whose engine did not name docker-stig-authz when it started: %s; what they accept runs here", strings.Join(l.Nodes, ", ")), "docker stig authz enable on each of them, and restart its engine")
	}
	if l.NodesErr != nil {
		f.unknown(l.NodesErr, "")
	}
	if !l.Info.Swarm.ControlAvailable {
		f.note("this node is a worker, and does not see whether its managers ask docker-stig-authz", "docker stig authz status on each manager")
	}
}

// bodies names engines that hide some requests' bodies from plugins
// (CVE-2024-41110, and CVE-2026-34040 until 29.3.1). What is hidden is denied.
func (l Look) bodies(f *Finding) {
	if v, ok := parseVersion(l.Info.ServerVersion); !ok || v.atLeast(29, 3, 1) {
		return
	}
	f.note(fmt.Sprintf("engines before 29.3.1 may hide bodies of requests from plugins (CVE-2024-41110, CVE-2026-34040), and this is %s", l.Info.ServerVersion), "docker-stig-authz denies what it cannot see; a newer engine lets large requests pass")
}

// A version is an engine's, without what stands behind the third number.
type version [3]int

func (v version) atLeast(numbers ...int) bool { return slices.Compare(v[:], numbers) >= 0 }

// parseVersion reads "29.3.1" and "20.10.24+dfsg1"; an engine that somebody
// built may call itself anything.
func parseVersion(text string) (version, bool) {
	var v version
	n, err := fmt.Sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2])
	return v, n == len(v) && err == nil
}
