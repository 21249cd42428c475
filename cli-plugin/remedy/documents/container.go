package documents

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
)

// containerLimit is one limit of a container, or its restart policy, as JSON.
type containerLimit struct {
	engine Engine
	id     string
	pick   func(*container.HostConfig) limits
}

// limits are what can be updated of a container. A document has one of them.
type limits struct {
	Memory        *memory                  `json:",omitempty"`
	CPUShares     *int64                   `json:",omitempty"`
	PidsLimit     *int64                   `json:",omitempty"`
	RestartPolicy *container.RestartPolicy `json:",omitempty"`
}

// memory is set at once: the engine refuses a limit beyond that of memory and
// swap together, which is 0 where there is none.
type memory struct{ Memory, MemorySwap int64 }

// picks are the documents of a container, by the name of what they hold.
var picks = map[string]func(*container.HostConfig) limits{
	"Memory":    func(h *container.HostConfig) limits { return limits{Memory: &memory{h.Memory, h.MemorySwap}} },
	"CPUShares": func(h *container.HostConfig) limits { return limits{CPUShares: &h.CPUShares} },
	"PidsLimit": func(h *container.HostConfig) limits {
		if h.PidsLimit == nil {
			return limits{PidsLimit: new(int64)}
		}
		return limits{PidsLimit: h.PidsLimit}
	},
	"RestartPolicy": func(h *container.HostConfig) limits { return limits{RestartPolicy: &h.RestartPolicy} },
}

// openContainer finds the document of a target without its first word.
func openContainer(engine Engine, rest string) (Document, error) {
	id, name, _ := strings.Cut(rest, "/")
	pick, known := picks[name]
	if !known {
		return nil, fmt.Errorf("%q of a container cannot be changed from here: please report this", name)
	}
	return containerLimit{engine, id, pick}, nil
}

// Read inspects the container.
func (d containerLimit) Read(ctx context.Context) ([]byte, error) {
	got, err := d.engine.ContainerInspect(ctx, d.id, client.ContainerInspectOptions{})
	if cerrdefs.IsNotFound(err) {
		err = fs.ErrNotExist // as a Document says it
	}
	if err != nil {
		return nil, fmt.Errorf("inspecting container %s: %w", d.id, err)
	}
	if got.Container.HostConfig == nil {
		return nil, fmt.Errorf("inspecting container %s: the engine's answer has no configuration", d.id)
	}
	return json.MarshalIndent(d.pick(got.Container.HostConfig), "", "  ")
}

// Edit sets the member.
func (containerLimit) Edit(doc []byte, settings []change.Setting) ([]byte, error) {
	return editJSON(doc, settings)
}

// Same takes the engine's two ways to say "no limit" for one.
func (containerLimit) Same(a, b []byte) bool {
	var one, other limits
	if json.Unmarshal(a, &one) != nil || json.Unmarshal(b, &other) != nil {
		return false
	}
	if one.Memory != nil && other.Memory != nil && (one.Memory.MemorySwap < 0 || other.Memory.MemorySwap < 0) {
		// A kernel that does not count swap has the engine write -1.
		one.Memory.MemorySwap, other.Memory.MemorySwap = 0, 0
	}
	left, leftErr := json.Marshal(one.plain())
	right, rightErr := json.Marshal(other.plain())
	return leftErr == nil && rightErr == nil && string(left) == string(right)
}

// plain writes "no limit" in one way.
func (l limits) plain() limits {
	if l.Memory != nil {
		l.Memory = &memory{max(l.Memory.Memory, 0), l.Memory.MemorySwap}
	}
	if l.PidsLimit != nil {
		pids := max(*l.PidsLimit, 0)
		l.PidsLimit = &pids
	}
	if l.RestartPolicy != nil && l.RestartPolicy.Name == "" {
		l.RestartPolicy = &container.RestartPolicy{Name: container.RestartPolicyDisabled}
	}
	return l
}

// update is what the engine is told. It takes 0 for "as it is", so no limit of
// processes is -1; memory and shares can be changed, and not taken off.
func (l limits) update() client.ContainerUpdateOptions {
	resources := new(container.Resources)
	if l.Memory != nil {
		resources.Memory, resources.MemorySwap = l.Memory.Memory, l.Memory.MemorySwap
	}
	if l.CPUShares != nil {
		resources.CPUShares = *l.CPUShares
	}
	if l.PidsLimit != nil {
		pids := *l.PidsLimit
		if pids == 0 {
			pids = -1
		}
		resources.PidsLimit = &pids
	}
	return client.ContainerUpdateOptions{Resources: resources, RestartPolicy: l.RestartPolicy}
}

// Put updates the container.
func (d containerLimit) Put(ctx context.Context, before, after []byte) error {
	var wanted limits
	if err := json.Unmarshal(after, &wanted); err != nil {
		return fmt.Errorf("the new limits of container %s: %w", d.id, err)
	}
	_, putErr := d.engine.ContainerUpdate(ctx, d.id, wanted.plain().update())
	now, err := d.Read(ctx)
	if err != nil {
		return fmt.Errorf("updated, but the state of container %s is unknown: %w", d.id, err)
	}
	if d.Same(now, after) {
		return nil
	}
	return state("container "+d.id, d.Same(now, before), putErr)
}
