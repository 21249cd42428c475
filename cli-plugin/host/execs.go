package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/moby/api/types/container"
)

// LiveExec is a program that was started in a container with docker exec and
// that the engine still knows. It is nil if it is gone.
//
// The client's own ExecInspect leaves out the user and whether it is
// privileged, so the question is asked by hand.
func (h *Host) LiveExec(ctx context.Context, id string) (*container.ExecInspectResponse, error) {
	var exec container.ExecInspectResponse
	there, err := h.plainly(ctx, "/exec/"+id+"/json", &exec)
	switch {
	case errors.Is(err, errNoEngine):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("asking the engine for exec %s: %w", id, err)
	case !there:
		return nil, nil //nolint:nilnil // gone, and that is no fault
	case exec.ProcessConfig == nil:
		return nil, errors.New("the engine's answer about exec " + id + " does not say what runs")
	}
	return &exec, nil
}
