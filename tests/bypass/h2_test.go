package bypass

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
)

// h2Attempts speak HTTP/2 from the first byte on, which the newer engine does
// on its socket. What is gRPC there is served before authorization; that is
// what the guard is for, and the connection ends before anybody is asked.
var h2Attempts = []attempt{
	{name: "BuildKit over HTTP/2", on: moby, silent: closed, do: func(ctx context.Context, a *try) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", a.socket)
		if err != nil {
			return err
		}
		return a.solve(ctx, conn)
	}},
	{name: "create over HTTP/2", on: moby, silent: closed, do: func(ctx context.Context, a *try) error {
		return a.overHTTP2(ctx, bytes.NewReader(encoded(container(a.unsigned.Ref, a.program(), nil))))
	}},
	{name: "create over HTTP/2, without a length", on: moby, silent: closed, do: func(ctx context.Context, a *try) error {
		return a.overHTTP2(ctx, io.MultiReader(bytes.NewReader(encoded(container(a.unsigned.Ref, a.program(), nil)))))
	}},
}

// closed is why these attempts end without the plugin's no.
const closed = "the guard ends such a connection before the engine sees it"

// overHTTP2 creates a container by a request of HTTP/2, and starts it.
func (a *try) overHTTP2(ctx context.Context, body io.Reader) error {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", a.socket)
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, asked)
	defer cancel()
	q := ask{method: http.MethodPost, target: "/containers/create?name=" + a.called("posted")}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://engine"+q.target, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	got, err := rest(resp)
	if err := a.heard(got, told(q, got, err)); err != nil {
		return err
	}
	id, err := idIn(got)
	if err != nil {
		return err
	}
	return a.start(ctx, id)
}
