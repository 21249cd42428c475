package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
)

// swept is what a sweep has found.
type swept struct {
	judged     int
	allowed    int // that run by break-glass
	refused    []*sweptContainer
	unanswered []*sweptContainer // that run, or may, and could not be judged
	waiting    []*sweptContainer // that do not run, and would be refused
}

// A sweptContainer is one that would be refused, or could not be judged.
type sweptContainer struct {
	id, name, image string
	err             error
	running         bool
	since           time.Time // when it was started; zero if the engine does not tell
	restart         container.RestartPolicyMode
	service         string // of the swarm that started it
	stopped         bool
	stopErr         error
}

// An inspector tells about a container what does not decide whether it may run.
type inspector interface {
	ContainerInspect(ctx context.Context, id string, options client.ContainerInspectOptions) (client.ContainerInspectResult, error)
}

// newSwept puts what was judged where it belongs.
func newSwept(ctx context.Context, api inspector, all []admission.Judged) (*swept, error) {
	found := &swept{judged: len(all)}
	for _, one := range all {
		unseen := one.Container.Host == nil // the engine does not tell whether it runs
		switch {
		case one.Err == nil && one.Container.Running && one.Admitted.Allowance != nil:
			found.allowed++
			continue
		case one.Err == nil:
			continue
		case !unseen && !one.Container.Running && !admission.Conclusive(one.Err):
			continue // it does nothing, and is judged when it starts
		}
		c := &sweptContainer{id: one.Container.ID, name: one.Container.Name, image: one.Container.ImageName, err: one.Err, running: one.Container.Running}
		if err := c.inspect(ctx, api); cerrdefs.IsNotFound(err) {
			continue
		} else if err != nil && !unseen {
			return found, fmt.Errorf("asking the engine for container %s: %w", c.name, err)
		}
		switch {
		case unseen || !admission.Conclusive(one.Err):
			found.unanswered = append(found.unanswered, c)
		case c.running:
			found.refused = append(found.refused, c)
		default:
			found.waiting = append(found.waiting, c)
		}
	}
	return found, nil
}

// swarmService is the label with which a swarm marks the containers of a
// service.
const swarmService = "com.docker.swarm.service.name"

func (c *sweptContainer) inspect(ctx context.Context, api inspector) error {
	got, err := api.ContainerInspect(ctx, c.id, client.ContainerInspectOptions{})
	if err != nil {
		return err
	}
	found := got.Container
	if c.name == "" {
		c.name = strings.TrimPrefix(found.Name, "/")
	}
	if found.HostConfig != nil {
		c.restart = found.HostConfig.RestartPolicy.Name
	}
	if found.Config != nil {
		c.service = found.Config.Labels[swarmService]
	}
	if found.State != nil && found.State.Running {
		// 0001-01-01T00:00:00Z, the zero Time, before the first start.
		c.since, _ = time.Parse(time.RFC3339Nano, found.State.StartedAt)
	}
	return nil
}

// stopping bounds how many containers are stopped at the same time. Each may
// take its 10 s.
const stopping = 4

// stopAll stops containers, and looks afterwards whether they run.
func stopAll(ctx context.Context, e engine.Engine, list []*sweptContainer) {
	var group errgroup.Group
	group.SetLimit(stopping)
	for _, c := range list {
		group.Go(func() error {
			c.stopErr = stopOne(ctx, e, c.id)
			c.stopped = c.stopErr == nil
			return nil
		})
	}
	_ = group.Wait() // each keeps its own
}

func stopOne(ctx context.Context, e engine.Engine, id string) error {
	if err := e.StopContainer(ctx, id); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	now, err := engine.Exactly(ctx, e, id)
	if errors.Is(err, engine.ErrNotFound) {
		return nil
	}
	if err == nil && now.Running {
		return errors.New("the engine says that it was stopped, and it runs again: somebody started it")
	}
	return err
}

// exitCode is the answer after all that was done.
func (s *swept) exitCode() error {
	running, again := 0, 0
	for _, c := range s.refused {
		switch {
		case !c.stopped:
			running++
		case c.service != "":
			again++
		}
	}
	switch {
	case running > 0:
		return exit(exitNo, "%s would be refused now", count(running, "container runs that", "containers run that"))
	case again > 0:
		return exit(exitNo, "%s: its swarm starts another", count(again, "task of a service was stopped", "tasks of services were stopped"))
	case len(s.unanswered) > 0:
		return exit(exitUnknown, "%s could not be judged", count(len(s.unanswered), "container that runs", "containers that run"))
	}
	return nil
}
