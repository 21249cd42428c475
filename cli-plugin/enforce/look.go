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
	Policy     *policy.Policy
	PolicyErr  error
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
	l.Policy, l.PolicyErr = policy.Load(policyPath)
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
	}
	for _, path := range l.sockets(socket) {
		speaks, err := SpeaksHTTP2(ctx, path)
		if speaks {
			l.HTTP2 = append(l.HTTP2, path)
		}
		l.HTTP2Err = errors.Join(l.HTTP2Err, err)
	}
	return l
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

// sockets are those that anybody but root may be led to: all but the private
// one behind the guard.
func (l Look) sockets(public string) []string {
	paths := []string{public}
	if l.Dockerd == nil {
		return paths
	}
	for _, host := range l.Dockerd.Hosts() {
		path, ok := strings.CutPrefix(host, "unix://")
		if ok && path != PrivateSocket && !slices.ContainsFunc(paths, func(known string) bool { return sameFile(known, path) }) {
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
