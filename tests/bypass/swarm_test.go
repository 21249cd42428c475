package bypass

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// swarmAttempts have a swarm run what the engine then starts without asking.
// The swarm is one of this engine alone, older than the plugin.
var swarmAttempts = each("has to be named by digest", []attempt{
	{name: "service of the unsigned", slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		return a.service(ctx, a.spec(a.unsigned.Ref, a.program()))
	}},
	{name: "service of the unsigned by digest", about: says("(unsigned)"), slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		return a.service(ctx, a.spec(a.repository()+"@"+a.unsigned.Digest, a.program()))
	}},
	{name: "service of a signed tag that has moved", slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		return a.service(ctx, a.spec(a.moved.Ref, a.program()))
	}},
	{name: "service with the root of the host", about: says(`the bind of "/"`), slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		spec := a.spec(a.repository()+"@"+a.signed.Digest, a.reach(inHost(a)))
		inTask(spec)["Mounts"] = []object{{"Type": "bind", "Source": "/", "Target": "/h"}}
		return a.service(ctx, spec)
	}},
	{name: "service with a capability", about: says(`the capability "CAP_SYS_ADMIN"`), slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		spec := a.spec(a.repository()+"@"+a.signed.Digest, a.reach(holds("SYS_ADMIN")(a)))
		inTask(spec)["CapabilityAdd"] = []string{"CAP_SYS_ADMIN"}
		return a.service(ctx, spec)
	}},
	{name: "service on the network of the host", about: says(`the network "host"`), slow: true, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		spec := a.spec(a.repository()+"@"+a.signed.Digest, a.reach(a.sameNamespace("net")))
		spec["TaskTemplate"].(object)["Networks"] = []object{{"Target": "host"}}
		return a.service(ctx, spec)
	}},
	{name: "service updated to the unsigned", about: says("(unsigned)"), slow: true, after: endServices, before: func(ctx context.Context, a *try) error {
		return errors.Join(inSwarm(ctx, a), a.service(ctx, a.spec(a.repository()+"@"+a.signed.Digest, a.script("exec sleep 1000"))))
	}, do: func(ctx context.Context, a *try) error {
		return a.update(ctx, a.spec(a.repository()+"@"+a.unsigned.Digest, a.program()), "")
	}},
	{name: "task of an older service that waits for its node's label", about: says("requests.swarm-join"), slow: true, after: endServices, before: func(ctx context.Context, a *try) error {
		spec := a.spec(a.unsigned.Ref, a.program())
		spec["TaskTemplate"].(object)["Placement"] = object{"Constraints": []string{"node.labels.turn == " + a.nonce}}
		return errors.Join(inSwarm(ctx, a), a.service(ctx, spec))
	}, do: func(ctx context.Context, a *try) error { return a.label(ctx, "turn", a.nonce) }},
	{name: "service of a managed plugin", about: says("does not run containers"), needs: noPluginRegistry, before: inSwarm, after: endServices, do: func(ctx context.Context, a *try) error {
		return a.service(ctx, object{"Name": a.called("service"), "TaskTemplate": object{
			"Runtime": "plugin", "PluginSpec": object{"Name": a.called("plugin"), "Remote": a.repository() + ":plugin"},
		}})
	}},
	{name: "swarm of one's own", about: says("requests.swarm-join"), late: true, do: func(ctx context.Context, a *try) error {
		_, _ = a.bed.call(ctx, http.MethodPost, "/swarm/leave?force=1", nil) // there may be none
		return initSwarm(ctx, a)
	}, proof: swarmState},
})

func noPluginRegistry(*bed) string { return "no managed plugin lies in a registry of the testbed" }

// swarmState tells whether the engine is in a swarm.
func swarmState(ctx context.Context, a *try) string {
	got, err := a.call(ctx, http.MethodGet, "/info", nil)
	if err != nil {
		return ""
	}
	var info struct {
		Swarm struct{ LocalNodeState string }
	}
	if err := json.Unmarshal(got.body, &info); err != nil || info.Swarm.LocalNodeState != "active" {
		return ""
	}
	return info.Swarm.LocalNodeState
}

// inSwarm makes the swarm, unless there is one.
func inSwarm(ctx context.Context, a *try) error {
	if swarmState(ctx, a) != "" {
		return nil
	}
	return initSwarm(ctx, a)
}

func initSwarm(ctx context.Context, a *try) error {
	_, err := a.call(ctx, http.MethodPost, "/swarm/init", object{"ListenAddr": "127.0.0.1:2377", "AdvertiseAddr": "127.0.0.1"})
	return err
}

// spec is a service of one task, which is not started again.
func (a *try) spec(image string, program []string) object {
	return object{
		"Name": a.called("service"), "Mode": object{"Replicated": object{"Replicas": 1}},
		"TaskTemplate": object{
			"ContainerSpec": object{"Image": image, "Command": program, "StopSignal": "SIGKILL"},
			"RestartPolicy": object{"Condition": "none"},
		},
	}
}

func inTask(spec object) object {
	return spec["TaskTemplate"].(object)["ContainerSpec"].(object)
}

func (a *try) service(ctx context.Context, spec object) error {
	_, err := a.call(ctx, http.MethodPost, "/services/create", spec)
	return err
}

// update changes the service. The swarm counts its own changes as well, and
// refuses one that does not know of them.
func (a *try) update(ctx context.Context, spec object, query string) error {
	for {
		got, err := a.call(ctx, http.MethodGet, "/services/"+a.called("service"), nil)
		if err != nil {
			return err
		}
		var held struct{ Version struct{ Index int } }
		if err := json.Unmarshal(got.body, &held); err != nil {
			return err
		}
		_, err = a.call(ctx, http.MethodPost, "/services/"+a.called("service")+"/update?version="+strconv.Itoa(held.Version.Index)+query, spec)
		if err == nil || !strings.Contains(err.Error(), "out of sequence") || ctx.Err() != nil {
			return err
		}
	}
}

// label puts a label on the one node of the swarm.
func (a *try) label(ctx context.Context, key, value string) error {
	got, err := a.call(ctx, http.MethodGet, "/nodes", nil)
	if err != nil {
		return err
	}
	var nodes []struct {
		ID      string
		Version struct{ Index int }
		Spec    object
	}
	if err := json.Unmarshal(got.body, &nodes); err != nil || len(nodes) != 1 {
		return errors.Join(err, errors.New("want one node: "+string(got.body)))
	}
	nodes[0].Spec["Labels"] = object{key: value}
	_, err = a.call(ctx, http.MethodPost, "/nodes/"+nodes[0].ID+"/update?version="+strconv.Itoa(nodes[0].Version.Index), nodes[0].Spec)
	return err
}

func endServices(ctx context.Context, a *try) {
	_, _ = a.bed.call(ctx, http.MethodDelete, "/services/"+a.called("service"), nil) // it may not have come to be
}
