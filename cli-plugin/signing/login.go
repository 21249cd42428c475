package signing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker/distribution/registry/client/auth"
	"github.com/docker/distribution/registry/client/auth/challenge"
)

// Package access, which verifiers ask through, only reads: its clients send no
// body, and its tokens are good for pull alone. To publish takes both, so the
// rules that it keeps are kept here again: https and nothing else, a login
// goes to the server and to the token server which that names, bounded
// answers, no words of a server in an error.

// connections are the servers that were spoken to.
type connections struct {
	dirs    []string
	timeout time.Duration

	mu    sync.Mutex
	known map[Server]*opened
}

// An opened server is one that has said whether it wants a login.
type opened struct {
	server     Server
	of         *connections
	base       *http.Transport
	challenges []challenge.Challenge

	mu      sync.Mutex
	entries map[string]func(*http.Request) error // by GUN, with the token that is good for it
}

func newConnections(opts Options) *connections {
	return &connections{dirs: opts.CertDirs, timeout: opts.Timeout, known: map[Server]*opened{}}
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.known {
		one.base.CloseIdleConnections()
	}
}

// open asks a server, once, what it wants to let somebody in.
func (c *connections) open(ctx context.Context, server Server) (*opened, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, ok := c.known[server]; ok {
		return one, nil
	}
	if err := server.check(); err != nil {
		return nil, err
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		return nil, err
	}
	base, err := c.transport(server.CA, u.Host)
	if err != nil {
		return nil, fmt.Errorf("trust server %s: %w", server.URL, err)
	}
	one := &opened{server: server, of: c, base: base, entries: map[string]func(*http.Request) error{}}
	if err := one.ping(ctx); err != nil {
		return nil, err
	}
	c.known[server] = one
	return one, nil
}

// ping takes the challenges of a server.
func (o *opened) ping(ctx context.Context) error {
	x := &exchange{ctx: ctx, server: o.server, timeout: o.of.timeout}
	ctx, cancel := context.WithTimeout(ctx, o.of.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(o.server.URL, "/")+"/v2/", nil)
	if err != nil {
		return err
	}
	resp, err := o.base.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("trust server %s: %w", o.server.URL, x.explain(err))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotFound: // the repository itself will be asked for
		return nil
	case http.StatusUnauthorized:
		o.challenges = challenge.ResponseChallenges(resp)
		return nil
	default:
		return refusal{server: o.server.URL, code: resp.StatusCode}
	}
}

// transport speaks TLS to a host, with the authorities and client certificates
// laid down for it.
func (c *connections) transport(ca string, hosts ...string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var authorities []string
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		authorities = append(authorities, ca)
	}
	for i, host := range hosts {
		own, clients, err := c.files(host)
		if err != nil {
			return nil, err
		}
		if ca == "" || i > 0 {
			authorities = append(authorities, own...)
		}
		if i == 0 {
			config.Certificates = clients
		}
	}
	for _, path := range authorities {
		if config.RootCAs == nil {
			config.RootCAs = systemPool()
		}
		raw, err := readBounded(path)
		if err != nil {
			return nil, fmt.Errorf("reading its certificates: %w", err)
		}
		if !config.RootCAs.AppendCertsFromPEM(raw) {
			return nil, fmt.Errorf("reading its CA: %s holds no certificate in PEM form", path)
		}
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: c.timeout}).DialContext,
		TLSClientConfig: config, TLSHandshakeTimeout: c.timeout, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: maxRepositories, MaxResponseHeaderBytes: 256 << 10, IdleConnTimeout: time.Minute,
	}, nil
}

func systemPool() *x509.CertPool {
	system, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool() // a system without authorities trusts those of the folders
	}
	return system
}

// files are what lies in a host's folders: *.crt is an authority, *.cert a
// client's certificate beside its *.key, as docker has it.
func (c *connections) files(host string) (authorities []string, clients []tls.Certificate, err error) {
	if filepath.Base(host) != host || !filepath.IsLocal(host) || host == "." || strings.ContainsAny(host, `*?[\`) {
		return nil, nil, nil
	}
	for _, dir := range c.dirs {
		own, err := filepath.Glob(filepath.Join(dir, host, "*.crt"))
		if err != nil {
			return nil, nil, err
		}
		authorities = append(authorities, own...)
		pairs, err := filepath.Glob(filepath.Join(dir, host, "*.cert"))
		if err != nil {
			return nil, nil, err
		}
		for _, path := range pairs {
			pair, err := tls.LoadX509KeyPair(path, strings.TrimSuffix(path, ".cert")+".key")
			if err != nil {
				return nil, nil, fmt.Errorf("reading client certificate %s: %w", path, err)
			}
			clients = append(clients, pair)
		}
	}
	return authorities, clients, nil
}

// authorizer writes into requests what opens one repository. Its token is
// asked for when the first request needs it, and kept while it is good.
func (o *opened) authorizer(from access.Credentials, gun string) (func(*http.Request) error, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if entry, ok := o.entries[gun]; ok {
		return entry, nil
	}
	if len(o.challenges) == 0 {
		return func(*http.Request) error { return nil }, nil
	}
	who, err := login(from, gun)
	if err != nil {
		return nil, fmt.Errorf("trust server %s: looking up the login: %w", o.server.URL, err)
	}
	entry, err := o.entry(who, gun)
	if err != nil {
		return nil, err
	}
	o.entries[gun] = entry
	return entry, nil
}

// entry answers the challenges: with a token where one will do, for it can do
// less than a password.
func (o *opened) entry(who access.Login, gun string) (func(*http.Request) error, error) {
	var asked challenge.Challenge
	for _, c := range o.challenges {
		if c.Scheme == "bearer" || c.Scheme == "basic" && asked.Scheme == "" {
			asked = c
		}
	}
	var handler auth.AuthenticationHandler
	switch asked.Scheme {
	case "basic":
		handler = auth.NewBasicHandler(credentials{who})
	case "bearer":
		source, err := o.tokens(asked.Parameters["realm"])
		if err != nil {
			return nil, err
		}
		handler = auth.NewTokenHandlerWithOptions(auth.TokenHandlerOptions{
			Transport: source, Credentials: credentials{who}, ClientID: "docker",
			Scopes: []auth.Scope{auth.RepositoryScope{Repository: gun, Actions: []string{"push", "pull"}}},
		})
	default:
		return nil, fmt.Errorf("trust server %s: it asks for a login in no way that is known here; want Bearer or Basic in its WWW-Authenticate", o.server.URL)
	}
	return func(req *http.Request) error {
		err := handler.AuthorizeRequest(req, asked.Parameters)
		told := new(tokenError)
		switch {
		case err == nil:
			return nil
		case errors.As(err, &told):
			return told
		default:
			return refusal{server: o.server.URL, code: http.StatusUnauthorized, gun: gun}
		}
	}, nil
}

// credentials show a login to distribution's handlers.
type credentials struct{ login access.Login }

func (c credentials) Basic(*url.URL) (name, password string) {
	return c.login.Username, c.login.Password
}

func (c credentials) RefreshToken(*url.URL, string) string { return c.login.IdentityToken }

// SetRefreshToken keeps nothing.
func (c credentials) SetRefreshToken(*url.URL, string, string) {}

// A tokenSource is the transport to the token server that a trust server
// names. It goes nowhere else, and reads no more than a token needs.
type tokenSource struct {
	realm *url.URL
	base  http.RoundTripper
}

func (o *opened) tokens(realm string) (*tokenSource, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("trust server %s: it names no token server that speaks https; a login is not sent there: see the realm in its configuration", o.server.URL)
	}
	own, err := url.Parse(o.server.URL)
	if err != nil {
		return nil, err
	}
	if u.Host == own.Host {
		return &tokenSource{u, o.base}, nil
	}
	base, err := o.of.transport(o.server.CA, u.Host, own.Host)
	if err != nil {
		return nil, fmt.Errorf("token server %s: %w", u.Host, err)
	}
	base.TLSClientConfig.Certificates = nil // another host has named it
	return &tokenSource{u, base}, nil
}

// A tokenError is a token that could not be had.
type tokenError struct {
	host string
	what string
}

func (e *tokenError) Error() string { return fmt.Sprintf("token server %s: %s", e.host, e.what) }

const maxToken = 1 << 20 // bytes of an answer; tokens with 200 scopes have 30 KiB

// RoundTrip sends a request to the realm's own host, and takes the answer if
// it may hold a token.
func (t *tokenSource) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.realm.Host || req.URL.Scheme != t.realm.Scheme {
		return nil, &tokenError{t.realm.Host, "it redirects to another host; a login is not sent there"}
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, &tokenError{t.realm.Host, "it cannot be reached: " + err.Error()}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusBadRequest:
		return nil, &tokenError{t.realm.Host, fmt.Sprintf("it refuses the login (%d): docker login", resp.StatusCode)}
	case resp.StatusCode != http.StatusOK:
		return nil, &tokenError{t.realm.Host, fmt.Sprintf("it answers %d %s; see its log", resp.StatusCode, http.StatusText(resp.StatusCode))}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxToken+1))
	if err != nil || len(raw) > maxToken {
		return nil, &tokenError{t.realm.Host, "no token could be made of its answer"}
	}
	resp.Body = io.NopCloser(bytes.NewReader(raw))
	return resp, nil
}
