package host

import (
	"context"
	"fmt"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// A Process is one that runs in a container, as the host sees it.
type Process struct {
	PID     string // in the host's numbers
	Program string // what the kernel calls it, 15 bytes of its file's name
	Command string // its command line, as the process itself may have changed it
}

type processes struct {
	all []Process
	err error
}

// psArguments are those that ps of procps and of busybox both take. The engine
// runs ps outside the container, so the image needs none.
var psArguments = []string{"-eo", "pid,comm,args"}

// Processes lists what runs in a container: nothing if it does not run any
// more. All running containers are asked at once, by the first question.
func (h *Host) Processes(ctx context.Context, c Container) ([]Process, error) {
	asked, err := h.processes.get(func() (map[string]processes, error) { return h.askProcesses(ctx) })
	if err != nil {
		return nil, err
	}
	return asked[c.ID].all, asked[c.ID].err
}

func (h *Host) askProcesses(ctx context.Context) (map[string]processes, error) {
	containers, err := h.Containers(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]processes{}
	var mutex sync.Mutex
	var group errgroup.Group
	group.SetLimit(maxAsked)
	for _, c := range containers {
		if c.Err != nil || !c.Runs() {
			continue
		}
		group.Go(func() error {
			all, err := h.top(ctx, c.ID)
			mutex.Lock()
			defer mutex.Unlock()
			found[c.ID] = processes{all, err}
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return found, nil
}

func (h *Host) top(ctx context.Context, id string) ([]Process, error) {
	top, err := h.Engine.ContainerTop(ctx, id, client.ContainerTopOptions{Arguments: psArguments})
	if isNotFound(err) || cerrdefs.IsConflict(err) {
		return nil, nil // it has ended, or is being started again
	}
	if err != nil {
		return nil, fmt.Errorf("asking the engine for its processes: %w", err)
	}
	if len(top.Titles) != 3 || !strings.EqualFold(top.Titles[0], "PID") || len(top.Processes) == 0 {
		return nil, fmt.Errorf("the engine's list of its processes has columns %q and %d rows, want PID, COMMAND and COMMAND, and a row at least: look with docker top CONTAINER -eo pid,comm,args", top.Titles, len(top.Processes))
	}
	var all []Process
	for _, row := range top.Processes {
		if len(row) < 2 {
			return nil, fmt.Errorf("the engine's list of its processes has a row of %d columns, want 3: look with docker top CONTAINER -eo pid,comm,args", len(row))
		}
		all = append(all, Process{PID: row[0], Program: row[1], Command: strings.Join(row[2:], " ")})
	}
	return all, nil
}
