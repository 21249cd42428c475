package enforce

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// An Engine answers over its API.
type Engine interface {
	Info(ctx context.Context, options client.InfoOptions) (client.SystemInfoResult, error)
	ContainerList(ctx context.Context, options client.ContainerListOptions) (client.ContainerListResult, error)
	NodeList(ctx context.Context, options client.NodeListOptions) (client.NodeListResult, error)
}

// A Look is what there is to know about whether an engine enforces. What could
// not be found out is an error beside it.
type Look struct {
	Info       system.Info
	InfoErr    error
	Dockerd    *Dockerd
	DockerdErr error
	PluginErr  error // it does not do what the engine needs
	FolderErr  error // others could put a plugin of theirs in its place
	Refuses    bool  // the engine asks the plugin, which enforces
	RefusesErr error
	HTTP2      []string // sockets on which authorization can be passed by
	HTTP2Err   error

	EngineHTTP2  bool // it speaks it, be it behind the guard
	Listeners    []Listener
	ListenersErr error

	PolicyPath string
	PolicySum  string // SHA-256 of its bytes
	Policy     *policy.Policy
	PolicyErr  error
	InForce    *record.InForce // nil: it could not be asked
	InForceErr error

	Nodes      []string // other managers whose engine did not name the plugin when it started
	NodesErr   error
	Journal    *Journal
	JournalErr error
	Busy       bool // somebody enables or disables just now
	Rootless   bool
}

// LookAt finds out how things are. It changes nothing.
func LookAt(ctx context.Context, engine Engine, address, policyPath string, s Switch) Look {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	var l Look
	l.readPolicy(policyPath)
	l.Journal, l.JournalErr = s.Folder.Read()
	l.Busy = s.Folder.Busy()
	if result, err := engine.Info(ctx, client.InfoOptions{}); err != nil {
		l.InfoErr = fmt.Errorf("asking the engine: %w", err)
	} else {
		l.Info = result.Info
		l.Rootless = slices.ContainsFunc(l.Info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=rootless") })
		l.Nodes, l.NodesErr = managersWithout(ctx, engine, l.Info.Swarm)
	}
	socket, local := strings.CutPrefix(address, "unix://")
	if !local {
		l.DockerdErr, l.RefusesErr, l.HTTP2Err = ErrRemote, ErrRemote, ErrRemote
		return l
	}
	l.Refuses, l.RefusesErr = Refuses(ctx, socket)
	if l.Dockerd, l.DockerdErr = FindDockerd(ctx, address, s.Init); l.DockerdErr == nil {
		l.PluginErr = present(ctx, l.Dockerd.PluginSocket())
		l.FolderErr = errors.Join(safeFolder(l.Dockerd.view("/"), filepath.Dir(pluginSocket)), ownFolder(PrivateSocket))
		l.InForce, l.InForceErr = readInForce(s.Folder.state(), serving(ctx, s.Init, l.Dockerd.PluginSocket()))
		l.Listeners, l.ListenersErr = l.Dockerd.Listeners(ctx)
	}
	l.tryHTTP2(ctx, socket)
	return l
}

// readPolicy reads the policy and notes which bytes these were.
func (l *Look) readPolicy(path string) {
	l.PolicyPath = path
	raw, err := readBounded(path, maxPolicy)
	if err != nil {
		l.PolicyErr = err
		return
	}
	l.PolicySum = sumOf(raw)
	l.Policy, l.PolicyErr = policy.Parse(path, raw)
}

// tryHTTP2 tries every unix socket that anybody but root may be led to: all
// but the private one behind the guard.
func (l *Look) tryHTTP2(ctx context.Context, public string) {
	for _, path := range l.sockets(public) {
		speaks, err := SpeaksHTTP2(ctx, l.Dockerd.reach(path))
		if err != nil {
			l.HTTP2Err = errors.Join(l.HTTP2Err, fmt.Errorf("%s: %w", path, err))
		}
		l.EngineHTTP2 = l.EngineHTTP2 || speaks
		if speaks && !sameFile(path, PrivateSocket) {
			l.HTTP2 = append(l.HTTP2, path)
		}
	}
}

// Unguarded are the sockets that serve HTTP/2 and that the guard would leave
// as they are: the engine is told to make them itself.
func (l Look) Unguarded() []string {
	if l.Dockerd == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(l.HTTP2), func(path string) bool {
		return sameFile(path, l.Dockerd.Socket) || !slices.Contains(l.Dockerd.Hosts(), "unix://"+path)
	})
}

// OtherEngine is an error if the policy has the plugin ask another engine than
// this.
func (l Look) OtherEngine() error {
	if l.Policy == nil || l.Dockerd == nil {
		return nil
	}
	path, local := strings.CutPrefix(l.Policy.Engine, "unix://")
	if local && (path == PrivateSocket || sameFile(path, l.Dockerd.Socket)) {
		return nil
	}
	return fmt.Errorf("the policy has docker-stig-authz ask the engine at %s, and this is the one at unix://%s: set \"engine\" in the policy", l.Policy.Engine, l.Dockerd.Socket)
}

// sockets are the unix sockets of the engine's API, once each.
func (l Look) sockets(public string) []string {
	var all []string
	for _, one := range l.Listeners {
		if one.Network == "unix" && one.Door == Open {
			all = append(all, one.Address)
		}
	}
	if l.Dockerd != nil && l.ListenersErr != nil { // what it was told is the next best
		for _, host := range l.Dockerd.Hosts() {
			if path, ok := strings.CutPrefix(host, "unix://"); ok {
				all = append(all, path)
			}
		}
	}
	paths := []string{public}
	for _, path := range all {
		if !slices.ContainsFunc(paths, func(known string) bool { return sameFile(known, path) }) {
			paths = append(paths, path)
		}
	}
	return paths
}

func sameFile(a, b string) bool {
	one, oneErr := os.Stat(a)
	other, otherErr := os.Stat(b)
	return a == b || oneErr == nil && otherErr == nil && os.SameFile(one, other)
}

// safeFolder wants a folder in which root alone can put things, and so every
// folder above it. root is where the engine's disk begins.
func safeFolder(root, folder string) error {
	for dir := folder; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		open := info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0
		if !ok || stat.Uid != 0 || open {
			return fmt.Errorf("others than root may write in %s and put a plugin of theirs in the place of docker-stig-authz: chown root %s; chmod go-w %[1]s", dir, dir)
		}
	}
	return nil
}

// ownFolder wants a folder that root alone may enter around a socket, if there
// is one.
func ownFolder(socket string) error {
	if _, err := os.Lstat(socket); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	folder := filepath.Dir(socket)
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others than root may come to %s, past the guard: chown root %s; chmod 700 %[2]s", socket, folder)
	}
	return nil
}

// managersWithout names the other managers of the swarm whose engine does not
// name the plugin: nodes report the plugins that they had when they started.
func managersWithout(ctx context.Context, engine Engine, info swarm.Info) ([]string, error) {
	if !info.ControlAvailable {
		return nil, nil
	}
	result, err := engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("asking for the swarm's nodes: %w", err)
	}
	var names []string
	for _, node := range result.Items {
		asks := slices.ContainsFunc(node.Description.Engine.Plugins, func(p swarm.PluginDescription) bool {
			return p.Type == "Authorization" && p.Name == PluginName
		})
		if node.ManagerStatus != nil && node.ID != info.NodeID && !asks {
			names = append(names, node.Description.Hostname)
		}
	}
	return names, nil
}

// A scoper tells which scope of the policy decides a repository.
type scoper interface {
	Scope(ref reference.Named) string
}

// SystemImages lists the images of UCP or MKE on this node that no scope of
// the policy covers. Without them the node leaves its cluster.
func SystemImages(ctx context.Context, engine Engine, scopes scoper) ([]string, error) {
	result, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("asking the engine for its containers: %w", err)
	}
	var images []string
	for _, c := range result.Items {
		if !ofUCP(c.Names, c.Labels) || slices.Contains(images, c.Image) {
			continue
		}
		named, err := reference.ParseNormalizedNamed(c.Image)
		if err != nil || scopes == nil || scopes.Scope(named) == "" {
			images = append(images, c.Image)
		}
	}
	slices.Sort(images)
	return images, nil
}

// ofUCP knows the containers of UCP, and of MKE since: their names begin with
// "ucp-", and their labels with one prefix.
func ofUCP(names []string, labels map[string]string) bool {
	for label := range labels {
		if strings.HasPrefix(label, "com.docker.ucp.") {
			return true
		}
	}
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "/ucp-") })
}
