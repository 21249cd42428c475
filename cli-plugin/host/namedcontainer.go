package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// minPrefix is the shortest part of an ID that is taken for one, so that a
// name such as "a" is not. docker ps prints 12 digits.
const minPrefix = 12

// NamedContainer finds the container that another one's configuration names,
// be it one that Narrow leaves out. It is nil, with no error, if the engine
// has none of that name or ID.
func (h *Host) NamedContainer(ctx context.Context, name string) (*Container, error) {
	all, err := h.Containers(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		if c.ID == name || c.Title() == name || len(name) >= minPrefix && strings.HasPrefix(c.ID, name) {
			return &c, c.Err
		}
	}
	found := h.inspect(ctx, container.Summary{ID: name})
	if found != nil && found.Err != nil {
		return nil, fmt.Errorf("container %s: %w", name, found.Err)
	}
	return found, nil
}
