// Package access reaches trust servers (Notary v1) and registries over HTTP.
//
// It decides how a connection is made and whose login goes over it: TLS with
// the authorities and client certificates that the site laid down, proxies
// from the environment, token and basic authentication. What is asked for and
// whether the answer is to be believed is left to its callers; which server is
// asked for which repository is the policy's business.
//
// These rules hold for every request:
//
//   - A login goes to the host it is for and to the token server which that
//     host names, over https, and nowhere else. A redirect to another host is
//     followed without it, or not at all.
//   - A client certificate is shown to the host it is for, when that host was
//     asked for: not after a redirect by another, nor to another's token server.
//   - Nobody is greeted first: the challenge is taken from the first 401, and
//     the request is sent once more.
//   - Every exchange, the token's included, ends within Options.Timeout, and
//     what is read to get a token is bounded.
//   - A login that a server has refused is not shown to it again for ten
//     minutes, unless it has been given anew: a daemon that asks every minute
//     would have the account locked.
//   - No error and no log line holds a secret: words from a server's answer do
//     not enter an error, but for the host that it names, which is shortened,
//     and quoted if it is not plain. A Login does not print itself.
//
// Challenges are parsed and answered by docker/distribution's registry client,
// as docker does it (RFC 7235, the registry's token specification, and OAuth 2
// for identity tokens); this package stands around it and bounds what it reads.
// Folders of certificates have the layout of /etc/docker/certs.d.
package access

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/distribution/reference"
	"golang.org/x/sync/singleflight"
)

// defaultTimeout is the time of one request where Options name none.
const defaultTimeout = 30 * time.Second

// hub is Docker Hub's registry; in image names it is called docker.io.
const hub = "registry-1.docker.io"

// Options configure Clients.
type Options struct {
	Credentials Credentials      // nil: nobody logs in
	CertDirs    []string         // folders with HOST[:PORT]/ca.crt, client.cert and client.key
	Timeout     time.Duration    // of a request, from its start to the last byte of the answer; zero: 30 s
	UserAgent   string           // empty: Go's own
	Now         func() time.Time // the clock by which a refused login is kept back; nil: time.Now
}

// Clients makes HTTP clients that share connections and tokens. It is safe
// for concurrent use.
type Clients struct {
	opts        Options
	connections connections
	sessions    sessions
	accounts    accounts
	logins      singleflight.Group
}

// New makes Clients. It opens no file and no connection.
func New(opts Options) *Clients {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Clients{
		opts:        opts,
		accounts:    accounts{now: opts.Now},
		connections: connections{dirs: opts.CertDirs, timeout: opts.Timeout},
	}
}

// Close lets go of every connection that nobody uses, now and from now on.
// Requests go on, and leave none behind.
func (c *Clients) Close() { c.connections.close() }

// TrustServer gives the client for one repository (its GUN) on the trust
// server at base. The PEM file ca vouches for the server, and nothing beside
// it does; with "" it is the system's authorities and those of CertDirs.
//
// The login is the one for the host in the GUN, as docker has it: the caller
// names only servers that the policy names for that host. Redirects to another
// host are refused. The client's Timeout stays zero: its transport keeps time.
func (c *Clients) TrustServer(base, ca, gun string) (*http.Client, error) {
	g, err := c.trustServer(base, ca, gun, pull)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: g, CheckRedirect: g.stay}, nil
}

// Publisher is TrustServer for those who write there: its tokens are good for
// push as well. A request with a body has to have GetBody, as http.NewRequest
// makes it, for it may be sent twice. Redirects are the caller's: there is no
// reason to follow one.
func (c *Clients) Publisher(base, ca, gun string) (http.RoundTripper, error) {
	g, err := c.trustServer(base, ca, gun, pushAndPull)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// trustServer makes the gate of one repository on the trust server at base.
func (c *Clients) trustServer(base, ca, gun string, do actions) (*gate, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, &Error{Server: "trust server", Problem: "its address is not of the form https://HOST[:PORT]; check notary.servers in the policy"}
	}
	name, err := reference.ParseNormalizedNamed(gun)
	if err != nil || name.Name() != gun {
		return nil, fmt.Errorf("trust server %s: %q is not a repository's full name, such as docker.io/library/alpine", origin(u), gun)
	}
	g := &gate{
		clients: c,
		host:    u.Host,
		peer:    trustServer(u, ca),
		entry:   entry{route: route{host: u.Host, ca: ca}, domain: reference.Domain(name), repository: gun, do: do},
	}
	if do == pushAndPull {
		g.peer.slow = "is it up, and can it be reached from here?" // whatever the policy says of asking
	}
	if _, err := c.connections.get(g.entry.route); err != nil {
		return nil, &Error{Server: g.peer.name, Problem: err.Error(), Err: err}
	}
	return g, nil
}

// Registry gives the registry that holds the repository of ref, and a client
// for that repository. Redirects, as registries use them for layers, lead to
// hosts that speak https, without the login.
//
// A registry on loopback may speak plain HTTP, as engines allow it: where
// HTTPS is not spoken the request is sent again without, and without a login.
// The address given begins with https all the same.
func (c *Clients) Registry(ref reference.Named) (base string, client *http.Client, err error) {
	host := reference.Domain(ref)
	if host == "docker.io" {
		host = hub
	}
	u := &url.URL{Scheme: "https", Host: host}
	g := &gate{
		clients:  c,
		host:     host,
		peer:     c.registry(u),
		loopback: isLoopback(host),
		entry:    entry{route: route{host: host}, domain: reference.Domain(ref), repository: reference.Path(ref), do: pull},
	}
	if _, err := c.connections.get(g.entry.route); err != nil {
		return "", nil, &Error{Server: g.peer.name, Problem: err.Error(), Err: err}
	}
	return u.String(), &http.Client{Transport: g, CheckRedirect: g.follow}, nil
}

// isLoopback reports whether a host, with or without a port, is this machine
// by its name or address alone.
func isLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	ip := net.ParseIP(name)
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// origin is a server's address without path, and without a login that
// somebody wrote into it. A server may have named it.
func origin(u *url.URL) string { return quoted(u.Scheme + "://" + u.Host) }
