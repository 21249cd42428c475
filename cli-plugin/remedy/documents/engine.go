package documents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

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
