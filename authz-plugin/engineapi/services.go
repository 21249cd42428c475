package engineapi

import (
	"context"
	"fmt"
	"strconv"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust"
)

func (f Finder) serviceCreate(_ context.Context, _ Target, r Request) (Demand, error) {
	spec, err := decodeService(r.Body)
	if err != nil {
		return Demand{}, err
	}
	return serviceDemand(spec)
}

// serviceUpdate judges the specification that would run. With
// rollback=previous that is not the one in the body: swarm goes back to the
// previous one; and it does so by itself when an update fails that says so.
// The version ties what is judged to what would run.
func (f Finder) serviceUpdate(ctx context.Context, t Target, r Request) (Demand, error) {
	spec, err := decodeService(r.Body)
	if err != nil {
		return Demand{}, err
	}
	rollback, err := t.param("rollback")
	if err != nil {
		return Demand{}, err
	}
	back := rollback != "" && rollback != "none"
	if !back && !fallsBack(spec) {
		return serviceDemand(spec)
	}
	service, err := f.service(ctx, t)
	if err != nil {
		return Demand{}, err
	}
	if !back {
		return withFallback(spec, service.Spec)
	}
	if service.Previous == nil {
		return Demand{}, engine.Refuse("malformed-request", "the service has no previous specification to go back to")
	}
	return serviceDemand(*service.Previous)
}

// fallsBack reports whether swarm goes back to the specification that an
// update replaces when the update fails: it asks nobody then.
func fallsBack(spec swarm.ServiceSpec) bool {
	return spec.UpdateConfig != nil && spec.UpdateConfig.FailureAction == swarm.UpdateFailureActionRollback
}

func withFallback(spec, replaced swarm.ServiceSpec) (Demand, error) {
	demand, err := serviceDemand(spec)
	if err != nil {
		return Demand{}, err
	}
	fallback, err := serviceDemand(replaced)
	if err != nil {
		return Demand{}, fmt.Errorf("what the service returns to when its update fails: %w", err)
	}
	demand.Fallback = &fallback
	return demand, nil
}

// service finds the service of an update, as the update knows it.
func (f Finder) service(ctx context.Context, t Target) (engine.Service, error) {
	id, err := t.object("service")
	if err != nil {
		return engine.Service{}, err
	}
	version, err := t.version()
	if err != nil {
		return engine.Service{}, err
	}
	service, err := f.Engine.Service(ctx, id)
	if err != nil {
		return engine.Service{}, fmt.Errorf("asking the engine for service %s: %w", engine.Clip(id), err)
	}
	if service.Version != version {
		return engine.Service{}, engine.Refuse("malformed-request", "service %s has changed meanwhile: try again", engine.Clip(id))
	}
	return service, nil
}

func serviceDemand(spec swarm.ServiceSpec) (Demand, error) {
	images, err := serviceImages(spec)
	return Demand{Images: images, Task: &spec.TaskTemplate}, err
}

// serviceImages asks about the images of a specification. The nodes of a
// swarm pull them without asking authorization again, so they have to be
// named by digest.
func serviceImages(spec swarm.ServiceSpec) ([]engine.Image, error) {
	task := spec.TaskTemplate
	if task.PluginSpec != nil || (task.Runtime != "" && task.Runtime != swarm.RuntimeContainer) {
		return nil, engine.Refuse("plugin-service", "a service that does not run containers cannot be vouched for")
	}
	if task.ContainerSpec == nil {
		return nil, engine.Refuse("no-image", "the service names no image: what it would run cannot be vouched for")
	}
	names := append([]string{task.ContainerSpec.Image}, engine.ImageMounts(task.ContainerSpec.Mounts)...)
	images := make([]engine.Image, 0, len(names))
	for _, name := range names {
		w, err := engine.Want(name)
		if err != nil {
			return nil, err
		}
		if _, pinned := w.Named.(reference.Canonical); !pinned {
			return nil, engine.Refuse("not-pinned", "a service's image has to be named by digest, and %q is not: let docker service resolve it, or give REPOSITORY@sha256:…", engine.Clip(name))
		}
		images = append(images, engine.Image{Name: name, Questions: []trust.Question{{Ref: w.Named}}})
	}
	return images, nil
}

// version gives the service version that an update is bound to.
func (t Target) version() (uint64, error) {
	text, err := t.param("version")
	if err != nil {
		return 0, err
	}
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, engine.Refuse("malformed-request", "%q is no service version", engine.Clip(text))
	}
	return version, nil
}
