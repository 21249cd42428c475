package engineapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// exec judges a process that is to be prepared in a container: it reaches what
// the container does and, if it is to be privileged, the whole host.
func (f Finder) exec(ctx context.Context, t Target, r Request) (Demand, error) {
	var body container.ExecCreateRequest
	if err := decodeStrict(r.Body, &body, execShape); err != nil {
		return Demand{}, engine.Refuse("malformed-request", "the process to execute cannot be read: %v", err)
	}
	demand, err := f.reach(ctx, t, r)
	if body.Privileged && demand.Container != nil {
		demand.Exec = &engine.Exec{Container: demand.Container.ID, Privileged: true}
	}
	return demand, err
}

// execStart judges a process that was prepared before: it may be older than
// the plugin. The engine knows processes by their full ID alone.
func (f Finder) execStart(ctx context.Context, t Target, _ Request) (Demand, error) {
	process, err := f.Engine.Exec(ctx, t.Name)
	if errors.Is(err, engine.ErrNotFound) {
		return Demand{}, nil // the engine will say so itself: nobody can tell what ID the next will have
	}
	if err != nil {
		return Demand{}, fmt.Errorf("asking the engine for exec %s: %w", engine.Clip(t.Name), err)
	}
	c, err := engine.Exactly(ctx, f.Engine, process.Container)
	if err != nil {
		return Demand{}, err
	}
	demand := Demand{Container: &c, Reach: true}
	if process.Privileged {
		demand.Exec = &process
	}
	return demand, nil
}

// reach finds the container whose files or processes a request is about.
func (f Finder) reach(ctx context.Context, t Target, _ Request) (Demand, error) {
	c, err := f.named(ctx, t)
	if errors.Is(err, engine.ErrNotFound) {
		return Demand{}, nil // the engine will say so itself
	}
	if err != nil {
		return Demand{}, err
	}
	return Demand{Container: &c, Reach: true}, nil
}

func (f Finder) volume(_ context.Context, _ Target, r Request) (Demand, error) {
	var body volume.CreateRequest
	if err := decodeStrict(r.Body, &body, volumeShape); err != nil {
		return Demand{}, engine.Refuse("malformed-request", "the volume cannot be read: %v", err)
	}
	return Demand{Volume: &engine.Volume{Name: body.Name, Driver: body.Driver, Options: body.DriverOpts}}, nil
}

// network finds the drivers of a network that is to be made. The rest of the
// body is left to the daemon.
func (f Finder) network(_ context.Context, _ Target, r Request) (Demand, error) {
	var body struct {
		Driver string
		IPAM   struct{ Driver string }
	}
	if err := decodeStrict(r.Body, &body, networkShape); err != nil {
		return Demand{}, engine.Refuse("malformed-request", "the network cannot be read: %v", err)
	}
	return Demand{Drivers: []string{body.Driver, body.IPAM.Driver}}, nil
}
