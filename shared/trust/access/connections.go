package access

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	maxConnections = 64        // hosts; a policy names a few, and a registry may redirect to others
	maxIdle        = 8         // connections kept to a host that speaks HTTP/1.1
	maxHeader      = 256 << 10 // bytes of an answer's header
	maxLocation    = 8 << 10   // bytes of a redirect; one to a store, signed, may have 4 KiB
)

// A route is what tells connections apart: a host and who vouches for it.
type route struct {
	host    string
	ca      string // PEM file; it alone vouches for the host, unless namedBy is set
	namedBy string // the host that names this one as its token server; what vouches for it counts too
	foreign bool   // another host leads there, and chooses what is asked: no client certificate is shown
}

// connections are the transports that Clients share.
type connections struct {
	dirs    []string
	timeout time.Duration

	mu     sync.Mutex
	open   map[route]*connection
	closed bool
}

type connection struct {
	*http.Transport
	stamp string // of its certificates
}

// get gives the transport of a route, a new one when its files have changed.
func (c *connections) get(r route) (*connection, error) {
	files, err := find(c.dirs, r)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, ok := c.open[r]
	if ok && old.stamp == files.stamp {
		return old, nil
	}
	config, err := files.config()
	if err != nil {
		return nil, err
	}
	if ok {
		old.CloseIdleConnections()
	}
	if c.open == nil {
		c.open = map[route]*connection{}
	}
	c.makeRoom()
	made := &connection{stamp: files.stamp, Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: proxyAnswer,
		DialContext:            (&net.Dialer{Timeout: c.timeout}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    c.timeout,
		MaxIdleConnsPerHost:    maxIdle,
		MaxResponseHeaderBytes: maxHeader,
		IdleConnTimeout:        time.Minute,
		ForceAttemptHTTP2:      true,
	}}
	c.open[r] = made
	return made, nil
}

// close keeps no connection for later.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, open := range c.open {
		open.CloseIdleConnections()
	}
}

// used is told of each connection that an exchange is done with.
func (c *connections) used(open *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		open.CloseIdleConnections()
	}
}

// makeRoom lets any one go; whoever uses it keeps it until done.
func (c *connections) makeRoom() {
	for r, old := range c.open {
		if len(c.open) < maxConnections {
			return
		}
		old.CloseIdleConnections()
		delete(c.open, r)
	}
}

// proxyAnswer tells a proxy's refusal from the server's.
func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: fmt.Errorf("it answers %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
}

// send makes one exchange, which ends by the time given.
func (c *Clients) send(req *http.Request, r route, to peer, until time.Time) (*http.Response, error) {
	connection, err := c.connections.get(r)
	if err != nil {
		return nil, &Error{Server: to.name, Problem: err.Error(), Err: err}
	}
	explain := func(err error) error {
		if given := req.Context().Err(); given != nil {
			return to.failed(given, "it was given up before it answered (%v); %s", given, to.slow)
		}
		return to.explain(err, c.opts.Timeout)
	}
	ctx, cancel := context.WithDeadline(req.Context(), until)
	end := func() { cancel(); c.connections.used(connection) }
	sent := req.Clone(ctx)
	if c.opts.UserAgent != "" {
		sent.Header.Set("User-Agent", c.opts.UserAgent)
	}
	resp, err := connection.RoundTrip(sent)
	if err != nil {
		end()
		return nil, explain(err)
	}
	if !leadsSomewhere(resp) {
		discard(resp)
		end()
		return nil, to.failed(nil, "it redirects to something that is not an address; see its configuration")
	}
	resp.Body = &body{ReadCloser: resp.Body, end: end, explain: explain}
	return resp, nil
}

// leadsSomewhere reports whether an answer is no redirect that net/http would
// quote in an error of its own, at whatever length.
func leadsSomewhere(resp *http.Response) bool {
	location := resp.Header.Get("Location")
	if resp.StatusCode < 300 || resp.StatusCode >= 400 || location == "" {
		return true
	}
	_, err := url.Parse(location)
	return err == nil && len(location) <= maxLocation
}

// A body ends its exchange when it is closed, and explains what breaks it off.
type body struct {
	io.ReadCloser
	end     func()
	explain func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader gives io.EOF itself
		err = b.explain(err)
	}
	return n, err
}

func (b *body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// maxDrain is what is read of an answer that nobody wants, so that its
// connection can be used again.
const maxDrain = 64 << 10 // bytes

func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrain) // too long or broken: the connection is closed
	_ = resp.Body.Close()
}
