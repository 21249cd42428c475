// Package mgmt asks the HTTPS APIs of a cluster's management servers: UCP
// (MKE) and DTR (MSR). It holds what their clients share: the TLS set-up,
// answers bounded in size and time, sign-in tokens that expire, and one error
// type that says why a question went unanswered and what to do about it.
//
// It decides nothing about a requirement and knows no path of either API;
// packages ucp and dtr do. DISA's text asks these servers with TLS
// verification switched off (curl -k); here there is no way to do that.
// Because every request carries credentials, redirects are reported and never
// followed. HTTP/1.1 only: both servers speak it, and a body that ends early
// is then always told apart from one that is complete.
package mgmt

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long one answer may take, its body included.
	DefaultTimeout = 10 * time.Second

	// DefaultUserAgent is sent when Options name no other.
	DefaultUserAgent = "docker-stig"

	// DefaultParallel is how many questions are under way at once when Options
	// do not say.
	DefaultParallel = 8

	// MaxParallel is the most that Options may say: a management server is no
	// load test.
	MaxParallel = 256

	maxHeader = 256 << 10 // bytes of an answer's header; both servers send below 4 KiB
)

// A Service names a server to the person who reads an error.
type Service struct {
	Name string // "UCP"
	Flag string // "ucp": its options are --ucp-url, STIG_UCP_URL and so on
}

// Options say where a server is, how to recognize it and whom to sign in.
type Options struct {
	URL       string        // https://host[:port]
	CAFile    string        // PEM bundle of the authorities to trust; empty: the system's
	Username  string        // of the account
	Password  string        // never logged, never part of an error or a URL
	Timeout   time.Duration // for one answer; 0: DefaultTimeout
	UserAgent string        // empty: DefaultUserAgent
	Parallel  int           // questions under way at once; 0: DefaultParallel
}

// String leaves the password out, so that options can be logged.
func (o Options) String() string {
	return fmt.Sprintf("{URL:%q CAFile:%q Username:%q Timeout:%s}", withoutUser(o.URL), o.CAFile, o.Username, o.Timeout)
}

// GoString is String: %#v must not show the password either.
func (o Options) GoString() string { return o.String() }

// A Conn asks one server. It is safe for concurrent use.
type Conn struct {
	service   Service
	base      *url.URL
	transport *http.Transport
	client    *http.Client
	slots     chan struct{} // one for each question under way
	timeout   time.Duration
	userAgent string
	username  string
	password  string
}

// New checks the options and reads the CA file; it asks the server nothing.
func New(service Service, opts Options) (*Conn, error) {
	base, err := baseURL(service, opts.URL)
	if err != nil {
		return nil, err
	}
	if opts.Username == "" || opts.Password == "" {
		return nil, fmt.Errorf("signing in to %s needs a user name and a password: give --%s-username and --%[2]s-password-file",
			service.Name, service.Flag)
	}
	if opts.Parallel < 0 || opts.Parallel > MaxParallel {
		return nil, fmt.Errorf("asking %s %d questions at once is out of bounds: give 1 to %d", service.Name, opts.Parallel, MaxParallel)
	}
	parallel := cmp.Or(opts.Parallel, DefaultParallel)
	transport, err := newTransport(service, opts.CAFile, parallel)
	if err != nil {
		return nil, err
	}
	conn := &Conn{
		service:   service,
		base:      base,
		transport: transport,
		slots:     make(chan struct{}, parallel),
		client:    &http.Client{Transport: transport, CheckRedirect: neverFollow},
		timeout:   opts.Timeout,
		userAgent: opts.UserAgent,
		username:  opts.Username,
		password:  opts.Password,
	}
	if conn.timeout <= 0 {
		conn.timeout = DefaultTimeout
	}
	if conn.userAgent == "" {
		conn.userAgent = DefaultUserAgent
	}
	return conn, nil
}

// URL is the server's base URL as it is asked.
func (c *Conn) URL() string { return c.base.String() }

// Host is the server's host, with its port if the URL has one.
func (c *Conn) Host() string { return c.base.Host }

// Parallel is how many questions are under way at once, at most.
func (c *Conn) Parallel() int { return cap(c.slots) }

// Credentials are the account that signs in and its password.
func (c *Conn) Credentials() (username, password string) { return c.username, c.password }

// Close lets go of connections that are kept for the next question.
func (c *Conn) Close() { c.client.CloseIdleConnections() }

// baseURL accepts https://host[:port] and nothing more. What it refuses it
// does not repeat: a URL typed wrong may hold a password.
func baseURL(service Service, text string) (*url.URL, error) {
	want := fmt.Sprintf("give --%s-url as https://HOST or https://HOST:PORT", service.Flag)
	base, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the URL of %s does not parse: %s", service.Name, want)
	case base.User != nil:
		return nil, fmt.Errorf("the URL of %s holds credentials: %s, and the account with --%s-username and --%[3]s-password-file",
			service.Name, want, service.Flag)
	case base.Scheme != "https":
		return nil, fmt.Errorf("the URL of %s is not https, and a password is never sent in the clear: %s", service.Name, want)
	case base.Hostname() == "":
		return nil, fmt.Errorf("the URL of %s names no host: %s", service.Name, want)
	case strings.Trim(base.Path, "/") != "" || base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("the URL of %s has more than a host: %s", service.Name, want)
	}
	return &url.URL{Scheme: base.Scheme, Host: base.Host}, nil
}

// withoutUser is a URL's scheme and host, or nothing if it does not parse.
func withoutUser(text string) string {
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" {
		return ""
	}
	return parsed.Scheme + "://" + parsed.Host
}

// neverFollow hands a redirect to the caller as the answer it is.
func neverFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

var errSilence = errors.New("no complete answer in time")
