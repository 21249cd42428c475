package host

import (
	"context"
	"fmt"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
)

type byVolumeName = map[string]volume.Volume

// Volumes are the engine's, by name, asked once.
func (h *Host) Volumes(ctx context.Context) (map[string]volume.Volume, error) {
	return h.volumes.get(func() (byVolumeName, error) {
		if h.Engine == nil {
			return nil, errNoEngine
		}
		list, err := h.Engine.VolumeList(ctx, client.VolumeListOptions{})
		if err != nil {
			return nil, fmt.Errorf("listing the engine's volumes: %w", err)
		}
		named := map[string]volume.Volume{}
		for _, v := range list.Items {
			named[v.Name] = v
		}
		return named, nil
	})
}
