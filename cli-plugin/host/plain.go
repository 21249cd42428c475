package host

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	cerrdefs "github.com/containerd/errdefs"
)

const maxPlain = 4 << 20 // bytes of one answer; what an engine says of itself is some KiB

// An engineDialer is docker's client, which connects to the engine however the
// context says.
type engineDialer interface {
	Dialer() func(context.Context) (net.Conn, error)
}

// tooOld reports whether docker's client does not speak to an engine: those of
// Docker Enterprise 2.x have API 1.39 at most.
func tooOld(err error) bool { return cerrdefs.IsInvalidArgument(err) }

// plainly asks the engine by hand, on the connection of docker's client: what
// that leaves out of an answer, and engines that are too old for it. There is
// false where the engine has no such object.
func (h *Host) plainly(ctx context.Context, path string, answer any) (there bool, err error) {
	dialer, ok := h.Engine.(engineDialer)
	if !ok {
		return false, errNoEngine
	}
	dial := dialer.Dialer()
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	// The engine's address and TLS are the dialer's business; the path has no
	// version, so the engine answers in its own.
	address := url.URL{Scheme: "http", Host: "docker", Path: path}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return false, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return false, nil
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("it answers %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxPlain)).Decode(answer); err != nil {
		return false, fmt.Errorf("its answer is no JSON: %w", err)
	}
	return true, nil
}
