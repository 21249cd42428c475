package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// maxAsked bounds the questions to the engine that are under way at once.
const maxAsked = 16

// errNoList: docker's client takes null for an empty list, which no engine says.
var errNoList = errors.New("its answer is no list: is it an engine, and does nothing stand between it and you?")

var errNoEngine = errors.New("the engine cannot be asked: name it with --context or DOCKER_HOST")

// Info is the engine's answer to GET /info, asked once.
func (h *Host) Info(ctx context.Context) (system.Info, error) {
	return h.info.get(func() (system.Info, error) {
		if h.Engine == nil {
			return system.Info{}, errNoEngine
		}
		got, err := h.Engine.Info(ctx, client.InfoOptions{})
		if err != nil {
			return system.Info{}, fmt.Errorf("asking the engine what it is: %w", err)
		}
		return got.Info, nil
	})
}

// Version is the engine's answer to GET /version, asked once. Engines that are
// too old for docker's client answer it too: their age is a finding.
func (h *Host) Version(ctx context.Context) (client.ServerVersionResult, error) {
	return h.version.get(func() (client.ServerVersionResult, error) {
		if h.Engine == nil {
			return client.ServerVersionResult{}, errNoEngine
		}
		got, err := h.Engine.ServerVersion(ctx, client.ServerVersionOptions{})
		if tooOld(err) {
			if there, plainErr := h.plainly(ctx, "/version", &got); there && plainErr == nil {
				return got, nil
			}
		}
		if err != nil {
			return client.ServerVersionResult{}, fmt.Errorf("asking the engine for its version: %w", err)
		}
		return got, nil
	})
}

// A Container is one that the engine has, running or not.
type Container struct {
	container.InspectResponse
	System string // "UCP" or "DTR": it is a part of it, by label or image
	// Capabilities are those that it has in place of the default set: engines
	// of API 1.40 have them beside CapAdd, and newer ones do not.
	Capabilities []string
	Err          error // it is listed, and could not be inspected
}

// Title is a container's name, its short ID if it has none.
func (c Container) Title() string {
	if name := strings.TrimPrefix(c.Name, "/"); name != "" {
		return name
	}
	return c.ID[:min(12, len(c.ID))]
}

// Runs reports whether a container runs, be it paused or between two starts.
func (c Container) Runs() bool {
	return c.State != nil && (c.State.Running || slices.Contains(alive, c.State.Status))
}

// alive are the states in which docker ps lists a container.
var alive = []container.ContainerState{container.StateRunning, container.StatePaused, container.StateRestarting}

// summaries list all containers, running or not.
func (h *Host) summaries(ctx context.Context) ([]container.Summary, error) {
	return h.summary.get(func() ([]container.Summary, error) {
		if h.Engine == nil {
			return nil, errNoEngine
		}
		list, err := h.Engine.ContainerList(ctx, client.ContainerListOptions{All: true})
		if err != nil {
			return nil, fmt.Errorf("listing the engine's containers: %w", err)
		}
		if list.Items == nil {
			return nil, fmt.Errorf("listing the engine's containers: %w", errNoList)
		}
		return list.Items, nil
	})
}

// Containers inspects all containers once, in the order of their names. One
// that goes away meanwhile is left out. Those that Narrow does not take are
// not inspected.
func (h *Host) Containers(ctx context.Context) ([]Container, error) {
	return h.containers.get(func() ([]Container, error) { return h.inspectAll(ctx) })
}

func (h *Host) inspectAll(ctx context.Context) ([]Container, error) {
	list, err := h.summaries(ctx)
	if err != nil {
		return nil, err
	}
	wanted := slices.DeleteFunc(slices.Clone(list), func(s container.Summary) bool { return h.Narrow != nil && !h.Narrow(s) })
	found := make([]*Container, len(wanted))
	var group errgroup.Group
	group.SetLimit(maxAsked)
	for i, summary := range wanted {
		group.Go(func() error {
			found[i] = h.inspect(ctx, summary)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	inUCP := slices.ContainsFunc(list, func(s container.Summary) bool { return systemOf(s) == UCP.Name })
	var all []Container
	for i, c := range found {
		if c == nil {
			continue
		}
		if inUCP && c.System == "" && wanted[i].Labels[podNamespace] == systemPods {
			c.System = UCP.Name
		}
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Container) int { return strings.Compare(a.Title()+" "+a.ID, b.Title()+" "+b.ID) })
	return all, nil
}

// UCP brings Kubernetes, whose kubelet names images by their IDs: its own pods
// are told by their namespace.
//
// https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
const (
	podNamespace = "io.kubernetes.pod.namespace"
	systemPods   = "kube-system"
)

// inspect is nil if the container is gone.
func (h *Host) inspect(ctx context.Context, summary container.Summary) *Container {
	c := &Container{System: systemOf(summary)}
	got, err := h.Engine.ContainerInspect(ctx, summary.ID, client.ContainerInspectOptions{})
	if isNotFound(err) {
		return nil
	}
	if err == nil && (got.Container.HostConfig == nil || got.Container.Config == nil) {
		err = errors.New("the engine's answer has no configuration")
	}
	if err != nil {
		c.Err = fmt.Errorf("inspecting it: %w", err)
		c.ID = summary.ID
		if len(summary.Names) > 0 {
			c.Name = summary.Names[0]
		}
		return c
	}
	c.InspectResponse = got.Container
	c.Capabilities, c.Err = exactCapabilities(got.Raw)
	return c
}

// exactCapabilities reads what docker's client does not know any more.
func exactCapabilities(raw []byte) ([]string, error) {
	if !bytes.Contains(raw, []byte(`"Capabilities"`)) {
		return nil, nil
	}
	var answer struct {
		HostConfig struct{ Capabilities []string }
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("inspecting it: its capabilities: %w", err)
	}
	return answer.HostConfig.Capabilities, nil
}

// systemOf names the product that a container is a part of, "" if none.
func systemOf(summary container.Summary) string {
	for _, product := range []Product{UCP, DTR} {
		if product.labelled(summary.Labels) || product.named(summary.Image) {
			return product.Name
		}
	}
	return ""
}
