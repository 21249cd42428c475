package rules

import (
	"slices"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// An updating sets a limit of a container as it runs.
type updating struct {
	name   string                                   // of the limit in the engine's API
	byName string                                   // why nobody does that unasked
	note   string                                   // what to know beforehand; "": nothing
	before func(c host.Container) int64             // nil: it can be taken off again
	value  func(h *host.Host, c host.Container) any // nil: the site has not said
}

// updatings are what docker update mends.
//
// https://docs.docker.com/reference/cli/docker/container/update/
var updatings = map[stig.ID]updating{
	"DKER-EE-002010": {
		name: "Memory", byName: "the kernel ends a process of a container that uses more than its memory",
		note:   "a container that uses more memory by now than it is to have loses processes at once, or keeps its old limit: docker stats shows what each uses",
		before: func(c host.Container) int64 { return max(c.HostConfig.Memory, 0) },
		value: func(h *host.Host, c host.Container) any {
			limit := h.Site.Containers.MemoryOf(namesOf(c)...).Value
			if limit == 0 {
				return nil
			}
			return map[string]int64{"Memory": limit, "MemorySwap": limit}
		},
	},
	"DKER-EE-002020": {
		name: "CPUShares", byName: "it changes how much of the CPU a container gets beside others",
		before: func(c host.Container) int64 { return c.HostConfig.CPUShares },
		value:  func(h *host.Host, c host.Container) any { return given(h.Site.Containers.CPUSharesOf(namesOf(c)...)) },
	},
	"DKER-EE-002780": {
		name: "PidsLimit", byName: "a container that has as many processes and threads cannot begin another",
		value: func(h *host.Host, c host.Container) any { return given(h.Site.Containers.PidsLimitOf(namesOf(c)...)) },
	},
	"DKER-EE-004030": {
		name: "RestartPolicy", byName: "a container that was restarted always no longer is after a restart of the engine",
		value: func(*host.Host, host.Container) any {
			return map[string]any{"Name": container.RestartPolicyOnFailure, "MaximumRetryCount": maxRestarts}
		},
	},
}

func given(limit site.Limit) any {
	if limit.Value == 0 {
		return nil
	}
	return limit.Value
}

// namesOf are those by which site.yaml may call a container.
func namesOf(c host.Container) []string { return []string{c.Title(), labelOf(c, serviceLabel)} }

// update is the change that mends a fault of a container as it runs; nil: that
// is for a person. What makes a container anew has to be changed there.
func (f containerFault) update(h *host.Host, c host.Container) (*change.Change, error) {
	u, known := updatings[f.id]
	if !known || !f.open || c.System != "" || ownerAdvice(c) != "" || labelOf(c, podLabel) != "" {
		return nil, nil //nolint:nilnil // no change is an answer here
	}
	value := u.value(h, c)
	if value == nil {
		return nil, nil //nolint:nilnil // likewise
	}
	var before int64
	if u.before != nil {
		before = u.before(c)
	}
	set, err := change.SetLimit(c.ID, c.Title(), u.name, before, value, f.id)
	set.ByName = u.byName
	return &set, err
}

// updateNotes are what to know before changes are made, each once.
func updateNotes(changes []change.Change) []string {
	var notes []string
	for _, c := range changes {
		for _, id := range c.Serves {
			if note := updatings[id].note; note != "" && !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
		}
	}
	return notes
}
