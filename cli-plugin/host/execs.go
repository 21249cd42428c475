package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/moby/moby/api/types/container"
)

const maxExec = 1 << 20 // bytes of what the engine says of one exec; its command line is the most of it

// An engineDialer is docker's client, which connects to the engine however the
// context says.
type engineDialer interface {
	Dialer() func(context.Context) (net.Conn, error)
}

// LiveExec is a program that was started in a container with docker exec and
// that the engine still knows. It is nil if it is gone.
//
// The client's own ExecInspect leaves out the user and whether it is
// privileged, so the question is asked by hand on the client's connection.
func (h *Host) LiveExec(ctx context.Context, id string) (*container.ExecInspectResponse, error) {
	dialer, ok := h.Engine.(engineDialer)
	if !ok {
		return nil, errNoEngine
	}
	dial := dialer.Dialer()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	// The engine's address and TLS are the dialer's business; the path has no
	// version, so the engine answers in its own.
	address := url.URL{Scheme: "http", Host: "docker", Path: "/exec/" + id + "/json"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for exec %s: %w", id, err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for exec %s: %w", id, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil //nolint:nilnil // gone, and that is no fault
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking the engine for exec %s: it answers %s", id, resp.Status)
	}
	var exec container.ExecInspectResponse
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxExec)).Decode(&exec); err != nil {
		return nil, fmt.Errorf("asking the engine for exec %s: its answer is no JSON: %w", id, err)
	}
	if exec.ProcessConfig == nil {
		return nil, errors.New("the engine's answer about exec " + id + " does not say what runs")
	}
	return &exec, nil
}
