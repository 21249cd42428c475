package engineapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// exec judges a process that is to be prepared in a container, if it is to be
// privileged: then it has the whole of the host.
func (f Finder) exec(ctx context.Context, t Target, r Request) (Demand, error) {
	var body container.ExecCreateRequest
	if err := decodeStrict(r.Body, &body, execShape); err != nil {
		return Demand{}, engine.Refuse("malformed-request", "the process to execute cannot be read: %v", err)
	}
	if !body.Privileged {
		return Demand{}, nil
	}
	c, err := f.named(ctx, t)
	if errors.Is(err, engine.ErrNotFound) {
		return Demand{}, nil // the engine will say so itself
	}
	if err != nil {
		return Demand{}, err
	}
	return Demand{Container: &c, Exec: &engine.Exec{Container: c.ID, Privileged: true}}, nil
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
	if !process.Privileged {
		return Demand{}, nil
	}
	c, err := engine.Exactly(ctx, f.Engine, process.Container)
	if err != nil {
		return Demand{}, err
	}
	return Demand{Container: &c, Exec: &process}, nil
}

func (f Finder) volume(_ context.Context, _ Target, r Request) (Demand, error) {
	var body volume.CreateRequest
	if err := decodeStrict(r.Body, &body, volumeShape); err != nil {
		return Demand{}, engine.Refuse("malformed-request", "the volume cannot be read: %v", err)
	}
	return Demand{Volume: &engine.Volume{Name: body.Name, Driver: body.Driver, Options: body.DriverOpts}}, nil
}

// copy finds the container that files are to be written into.
func (f Finder) copy(ctx context.Context, t Target, _ Request) (Demand, error) {
	c, err := f.named(ctx, t)
	if errors.Is(err, engine.ErrNotFound) {
		return Demand{}, nil // the engine will say so itself
	}
	return Demand{Container: &c, Copy: true}, err
}
