package documents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
)

// swarmSpec is the specification of a swarm, as JSON.
type swarmSpec struct{ engine Engine }

// Read asks a manager for it.
func (d swarmSpec) Read(ctx context.Context) ([]byte, error) {
	got, err := d.engine.SwarmInspect(ctx, client.SwarmInspectOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the swarm's specification: %w", err)
	}
	return json.MarshalIndent(got.Swarm.Spec, "", "  ")
}

// Edit sets members.
func (swarmSpec) Edit(doc []byte, settings []change.Setting) ([]byte, error) {
	return editJSON(doc, settings)
}

// Same compares what the two say.
func (swarmSpec) Same(a, b []byte) bool { return jsonedit.Same(a, b) }

// Put updates the swarm, unless it has another specification by now.
func (d swarmSpec) Put(ctx context.Context, before, after []byte) error {
	got, err := d.engine.SwarmInspect(ctx, client.SwarmInspectOptions{})
	if err != nil {
		return fmt.Errorf("reading the swarm's specification: %w", err)
	}
	found, err := json.Marshal(got.Swarm.Spec)
	if err != nil {
		return err
	}
	if !d.Same(found, before) {
		return errors.New("the swarm has got another specification meanwhile: run the fix again")
	}
	var spec swarm.Spec
	if err := json.Unmarshal(after, &spec); err != nil {
		return fmt.Errorf("the swarm's new specification: %w", err)
	}
	_, putErr := d.engine.SwarmUpdate(ctx, client.SwarmUpdateOptions{Version: got.Swarm.Version, Spec: spec})
	now, err := d.Read(ctx)
	if err != nil {
		return fmt.Errorf("updated, but the swarm's state is unknown: %w", err)
	}
	if d.Same(now, after) {
		return nil
	}
	return state("the swarm", d.Same(now, before), putErr)
}

// limits are what can be updated of a container, and taken back.
type limits struct {
	Memory        int64
	NanoCPUs      int64
	CPUShares     int64
	PidsLimit     int64
	RestartPolicy container.RestartPolicy
}

// containerLimits are those of one container, as JSON.
type containerLimits struct {
	engine Engine
	id     string
}

// Read inspects the container.
func (d containerLimits) Read(ctx context.Context) ([]byte, error) {
	got, err := d.engine.ContainerInspect(ctx, d.id, client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		err = fs.ErrNotExist // as a Document says it
	}
	if err != nil {
		return nil, fmt.Errorf("inspecting container %s: %w", d.id, err)
	}
	host := got.Container.HostConfig
	if host == nil {
		return nil, fmt.Errorf("inspecting container %s: the engine's answer has no configuration", d.id)
	}
	now := limits{Memory: host.Memory, NanoCPUs: host.NanoCPUs, CPUShares: host.CPUShares, RestartPolicy: host.RestartPolicy}
	if host.PidsLimit != nil {
		now.PidsLimit = *host.PidsLimit
	}
	return json.MarshalIndent(now, "", "  ")
}

// Edit sets members.
func (containerLimits) Edit(doc []byte, settings []change.Setting) ([]byte, error) {
	return editJSON(doc, settings)
}

// Same takes the engine's two ways to say "no limit" for one.
func (containerLimits) Same(a, b []byte) bool {
	var one, other limits
	if json.Unmarshal(a, &one) != nil || json.Unmarshal(b, &other) != nil {
		return false
	}
	return one.plain() == other.plain()
}

func (l limits) plain() limits {
	l.Memory, l.PidsLimit = max(l.Memory, 0), max(l.PidsLimit, 0)
	if l.RestartPolicy.Name == "" {
		l.RestartPolicy.Name = container.RestartPolicyDisabled
	}
	return l
}

// Put updates the container. The engine takes 0 for "as it is", so what has
// no limit gets -1 where it takes that.
func (d containerLimits) Put(ctx context.Context, before, after []byte) error {
	var wanted limits
	if err := json.Unmarshal(after, &wanted); err != nil {
		return fmt.Errorf("the new limits of container %s: %w", d.id, err)
	}
	wanted = wanted.plain()
	pids := wanted.PidsLimit
	if pids == 0 {
		pids = -1
	}
	resources := container.Resources{NanoCPUs: wanted.NanoCPUs, CPUShares: wanted.CPUShares, PidsLimit: &pids, Memory: wanted.Memory}
	_, putErr := d.engine.ContainerUpdate(ctx, d.id, client.ContainerUpdateOptions{Resources: &resources, RestartPolicy: &wanted.RestartPolicy})
	now, err := d.Read(ctx)
	if err != nil {
		return fmt.Errorf("updated, but the state of container %s is unknown: %w", d.id, err)
	}
	if d.Same(now, after) {
		return nil
	}
	return state("container "+d.id, d.Same(now, before), putErr)
}
