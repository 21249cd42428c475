package host

import (
	"context"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// Running are the names of the images that running containers were made from,
// in their order. One whose tag has moved on since is left out.
func (h *Host) Running(ctx context.Context) ([]reference.Named, error) {
	list, err := h.summaries(ctx)
	if err != nil {
		return nil, err
	}
	var names []reference.Named
	for _, summary := range list {
		if name, err := reference.ParseNormalizedNamed(summary.Image); err == nil && summary.State == "running" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b reference.Named) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(names, func(a, b reference.Named) bool { return a.String() == b.String() }), nil
}
