// Package hosttest has hosts for tests of rules: an engine in memory, and
// machines written as files. They are fakes: they answer what they were filled
// with. Claims about real engines rest on the real ones.
package hosttest

import (
	"context"
	"fmt"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// An Engine holds images and containers. The zero Engine is an empty one with
// a graphdriver store. It can be asked nothing else.
type Engine struct {
	host.Engine // nil: what is not answered below is not asked of this engine
	Images      []image.Summary
	Containers  []container.Summary
	Err         error // answers every question, when set
}

// Info describes a graphdriver store.
func (e *Engine) Info(context.Context, client.InfoOptions) (client.SystemInfoResult, error) {
	return client.SystemInfoResult{Info: system.Info{Driver: "overlay2"}}, e.Err
}

// ServerVersion tells nothing.
func (e *Engine) ServerVersion(context.Context, client.ServerVersionOptions) (client.ServerVersionResult, error) {
	return client.ServerVersionResult{}, e.Err
}

// NetworkList lists none.
func (e *Engine) NetworkList(context.Context, client.NetworkListOptions) (client.NetworkListResult, error) {
	return client.NetworkListResult{Items: []network.Summary{}}, e.Err
}

// ContainerList lists the containers.
func (e *Engine) ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error) {
	return client.ContainerListResult{Items: append([]container.Summary{}, e.Containers...)}, e.Err
}

// ImageList lists the images.
func (e *Engine) ImageList(context.Context, client.ImageListOptions) (client.ImageListResult, error) {
	return client.ImageListResult{Items: e.Images}, e.Err
}

// ImageInspect finds an image by a tag as it was filled in.
func (e *Engine) ImageInspect(_ context.Context, name string, _ ...client.ImageInspectOption) (client.ImageInspectResult, error) {
	if e.Err != nil {
		return client.ImageInspectResult{}, e.Err
	}
	for _, held := range e.Images {
		for _, tag := range held.RepoTags {
			if tag == name {
				return client.ImageInspectResult{InspectResponse: image.InspectResponse{ID: held.ID, RepoTags: held.RepoTags, RepoDigests: held.RepoDigests}}, nil
			}
		}
	}
	return client.ImageInspectResult{}, fmt.Errorf("no such image: %s: %w", name, cerrdefs.ErrNotFound)
}
