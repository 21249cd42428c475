package host

import (
	"context"
	"slices"
	"strings"
)

// Members are the running containers that make the engine a node of UCP or
// DTR. An image alone proves nothing: anyone can pull one.
func (h *Host) Members(ctx context.Context, p Product) ([]string, error) {
	list, err := h.summaries(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, summary := range list {
		if systemOf(summary) == p.Name && summary.State == "running" && len(summary.Names) > 0 {
			names = append(names, strings.TrimPrefix(summary.Names[0], "/"))
		}
	}
	slices.Sort(names)
	return names, nil
}
