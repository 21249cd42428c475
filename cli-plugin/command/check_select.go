package command

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/spf13/pflag"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// A selection narrows a run: to some requirements, and to some containers.
type selection struct {
	narrowing
	containers []string
	labels     []string
	without    []string
}

func (s *selection) addFlags(flags *pflag.FlagSet) {
	s.narrowing.addFlags(flags, "Check")
	flags.StringSliceVar(&s.containers, "container", nil, "Only containers of this name or ID; * stands for anything")
	flags.StringSliceVar(&s.labels, "label", nil, "Only containers with this label, KEY or KEY=VALUE")
	flags.StringSliceVar(&s.without, "exclude-label", nil, "No containers with this label, KEY or KEY=VALUE")
}

// requirements leaves those that are wanted: one at least.
func (s selection) requirements(all []benchmark.Requirement) ([]benchmark.Requirement, error) {
	wanted, err := s.of(all)
	if err == nil && len(wanted) == 0 {
		return nil, errors.New("no requirement is both named and of this component and category: leave out --component or --severity")
	}
	return wanted, err
}

// narrow is host.Host's Narrow: nil takes all containers.
func (s selection) narrow() (func(container.Summary) bool, error) {
	for _, pattern := range s.containers {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("--container: %q is no pattern", pattern)
		}
	}
	if len(s.containers)+len(s.labels)+len(s.without) == 0 {
		return nil, nil //nolint:nilnil // nothing to narrow by
	}
	return func(c container.Summary) bool {
		return (len(s.containers) == 0 || slices.ContainsFunc(s.containers, func(pattern string) bool { return called(c, pattern) })) &&
			(len(s.labels) == 0 || slices.ContainsFunc(s.labels, func(label string) bool { return labelled(c, label) })) &&
			!slices.ContainsFunc(s.without, func(label string) bool { return labelled(c, label) })
	}, nil
}

// called reports whether a pattern is of a container's name, or the beginning
// of its ID.
func called(c container.Summary, pattern string) bool {
	if len(pattern) >= 4 && strings.HasPrefix(c.ID, pattern) {
		return true
	}
	return slices.ContainsFunc(c.Names, func(name string) bool {
		ok, err := path.Match(pattern, strings.TrimPrefix(name, "/"))
		return ok && err == nil
	})
}

func labelled(c container.Summary, label string) bool {
	key, value, valued := strings.Cut(label, "=")
	got, ok := c.Labels[key]
	return ok && (!valued || got == value)
}

// apply narrows a host.
func (s selection) apply(h *host.Host) error {
	narrow, err := s.narrow()
	h.Narrow = narrow
	return err
}

// narrowed says which containers are looked at, "" for all. Words that fit no
// container are a mistake of whoever typed them.
func (s selection) narrowed(ctx context.Context, h *host.Host) (string, error) {
	if h.Narrow == nil {
		return "", nil
	}
	var words []string
	for flag, values := range map[string][]string{"--container": s.containers, "--label": s.labels, "--exclude-label": s.without} {
		for _, value := range values {
			words = append(words, flag+" "+value)
		}
	}
	slices.Sort(words)
	if found, err := h.Containers(ctx); err == nil && len(found) == 0 {
		return "", fmt.Errorf("the engine has no container that fits %s: look at docker ps --all", strings.Join(words, " "))
	}
	return strings.Join(words, ", "), nil
}
