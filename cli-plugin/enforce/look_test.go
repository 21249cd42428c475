package enforce

import (
	"context"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// answers are those of an engine that is a manager of a swarm and a node of UCP.
type answers struct {
	Engine

	containers []container.Summary
	nodes      []swarm.Node
}

func (a answers) ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error) {
	return client.ContainerListResult{Items: a.containers}, nil
}

func (a answers) NodeList(context.Context, client.NodeListOptions) (client.NodeListResult, error) {
	return client.NodeListResult{Items: a.nodes}, nil
}

// scopes covers repositories by how they begin.
type scopes string

func (s scopes) Scope(ref reference.Named) string {
	if strings.HasPrefix(ref.Name(), string(s)) {
		return string(s)
	}
	return ""
}

func TestSystemImages(t *testing.T) {
	t.Parallel()
	engine := answers{containers: []container.Summary{
		{Names: []string{"/web"}, Image: "example.com/web:1"},
		{Names: []string{"/ucp-proxy"}, Image: "mirantis/ucp-agent:3.7"},
		{Names: []string{"/ucp-controller"}, Image: "mirantis/ucp-agent:3.7"},
		{Names: []string{"/x"}, Labels: map[string]string{"com.docker.ucp.version": "3.7"}, Image: "docker/ucp-etcd:3.3"},
	}}
	for scope, want := range map[scopes][]string{
		"docker.io/mirantis/": {"docker/ucp-etcd:3.3"},
		"docker.io/":          nil,
		"example.com/":        {"docker/ucp-etcd:3.3", "mirantis/ucp-agent:3.7"},
	} {
		got, err := SystemImages(t.Context(), engine, scope)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", scope, diff)
		}
	}
}

func TestManagersWithoutThePlugin(t *testing.T) {
	t.Parallel()
	node := func(id, name string, manager bool, plugins ...swarm.PluginDescription) swarm.Node {
		n := swarm.Node{ID: id, Description: swarm.NodeDescription{Hostname: name, Engine: swarm.EngineDescription{Plugins: plugins}}}
		if manager {
			n.ManagerStatus = &swarm.ManagerStatus{}
		}
		return n
	}
	ours := swarm.PluginDescription{Type: "Authorization", Name: PluginName}
	engine := answers{nodes: []swarm.Node{
		node("1", "self", true), node("2", "good", true, ours), node("3", "worker", false),
		node("4", "bare", true), node("5", "other", true, swarm.PluginDescription{Type: "Volume", Name: PluginName}),
	}}
	got, err := managersWithout(t.Context(), engine, swarm.Info{NodeID: "1", ControlAvailable: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"bare", "other"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got, err := managersWithout(t.Context(), engine, swarm.Info{NodeID: "3"}); err != nil || got != nil {
		t.Errorf("a worker knows of %v (%v)", got, err)
	}
}
