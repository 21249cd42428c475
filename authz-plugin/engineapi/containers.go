package engineapi

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// start refuses, beyond what revive does, to start by other means than the
// container itself: a host configuration in the body (engines up to 20.10,
// API 1.23 and below), and a checkpoint, which is a process of its own.
func (f Finder) start(ctx context.Context, t Target, r Request) (Demand, error) {
	// An engine takes what is longer than 7 bytes for a host configuration;
	// some clients send "{}".
	if len(r.Body) > 7 {
		return Demand{}, engine.Refuse("malformed-request", "a start with a body would change the container: use API version 1.24 or later")
	}
	for _, key := range []string{"checkpoint", "checkpoint-dir"} {
		value, err := t.param(key)
		if err != nil {
			return Demand{}, err
		}
		if value != "" {
			return Demand{}, engine.Refuse("checkpoint", "a checkpoint cannot be vouched for: start the container without it")
		}
	}
	return f.revive(ctx, t, r)
}

func (f Finder) revive(ctx context.Context, t Target, r Request) (Demand, error) {
	images, err := f.container(ctx, t, r)
	if errors.Is(err, engine.ErrNotFound) {
		// Not left to the engine to say: a container of that name could be
		// made, and not judged yet, before the engine looks for it.
		return Demand{}, engine.Refuse("no-such-container", "No such container: %s", engine.Clip(t.Name))
	}
	return images, err
}

// alter judges the container as it is, and what an update would make of it.
func (f Finder) alter(ctx context.Context, t Target, r Request) (Demand, error) {
	var update container.UpdateConfig
	if t.Route.Body {
		if err := decodeStrict(r.Body, &update, updateShape); err != nil {
			return Demand{}, engine.Refuse("malformed-request", "the update cannot be read: %v", err)
		}
		if keepsDown(update) {
			return Demand{}, nil
		}
	}
	demand, err := f.container(ctx, t, r)
	if errors.Is(err, engine.ErrNotFound) {
		return Demand{}, nil // the engine will say so itself
	}
	demand.Host = &container.HostConfig{Resources: update.Resources}
	return demand, err
}

// keepsDown reports whether an update does no more than keep the engine from
// starting a container again, which is as harmless as to stop it.
func keepsDown(update container.UpdateConfig) bool {
	return reflect.DeepEqual(update, container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}})
}

// container finds a container that exists.
func (f Finder) container(ctx context.Context, t Target, r Request) (Demand, error) {
	if err := noHiddenBody(r); err != nil {
		return Demand{}, err
	}
	c, err := f.named(ctx, t)
	if err != nil {
		return Demand{}, err
	}
	return Demand{Container: &c}, nil
}

func (f Finder) named(ctx context.Context, t Target) (engine.Container, error) {
	name, err := t.object("container")
	if err != nil {
		return engine.Container{}, err
	}
	c, err := f.Engine.Container(ctx, name)
	if err != nil {
		return engine.Container{}, fmt.Errorf("asking the engine for container %s: %w", engine.Clip(name), err)
	}
	return c, f.unambiguous(ctx, name, c)
}

// unambiguous refuses a name that also begins another container's ID. The
// engine looks for the name first: taken away between question and act, the
// name would start the other container.
func (f Finder) unambiguous(ctx context.Context, name string, c engine.Container) error {
	if name == c.ID || strings.Trim(name, "0123456789abcdef") != "" {
		return nil
	}
	if name != c.Name && strings.HasPrefix(c.ID, name) {
		return nil // found by prefix, which the engine only does when it is the only one
	}
	all, err := f.Engine.Containers(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine for its containers: %w", err)
	}
	for i := range all {
		if id := all[i].ID; id != c.ID && strings.HasPrefix(id, name) {
			return engine.Refuse("ambiguous-name", "%s is a container's name and begins the ID of another: use the ID %s", engine.Clip(name), c.ID)
		}
	}
	return nil
}
