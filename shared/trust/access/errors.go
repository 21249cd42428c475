package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var (
	// ErrNoLogin says that a server wants a login where there is none.
	ErrNoLogin = errors.New("no login")
	// ErrLoginRefused says that a server was shown a login and did not take it.
	ErrLoginRefused = errors.New("login refused")
	// ErrTokenRefused is the ErrLoginRefused of a server that does not take the
	// token which a token server gave for the login: name and password are
	// right, as far as can be told, and open something else.
	ErrTokenRefused = fmt.Errorf("%w: its token opens nothing there", ErrLoginRefused)
)

// An Error is a server that gave no answer, or did not let us in. Its text is
// whole: which server, what went wrong, what to do next.
type Error struct {
	Server  string // "trust server https://notary.example.com"
	Problem string
	Err     error // may be nil
}

func (e *Error) Error() string { return e.Server + ": " + e.Problem }

func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the server was too slow, as net.Error has it.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

// Temporary is the rest of net.Error: whoever is too slow may be faster later.
func (e *Error) Temporary() bool { return e.Timeout() }

// A peer is a server as errors name it, and where to look when it fails.
type peer struct {
	name      string
	authority string // its certificate is by an unknown authority
	address   string // its name is unknown
	slow      string // it gives no answer in time
}

func trustServer(u *url.URL, ca string) peer {
	p := peer{
		name:      "trust server " + origin(u),
		authority: "name its CA under notary.ca in the policy",
		address:   "check notary.servers in the policy",
		slow:      "see notary.timeout in the policy",
	}
	if ca != "" {
		p.authority = "the policy names " + ca + " as its CA, under notary.ca"
	}
	return p
}

func (c *Clients) registry(u *url.URL) peer {
	return peer{
		name:      "registry " + origin(u),
		authority: c.authorityOf(u.Host),
		address:   "check the image's name",
		slow:      "is it up, and can it be reached from here?",
	}
}

func (c *Clients) tokenServer(u *url.URL, by peer) peer {
	return peer{
		name:      "token server " + origin(u),
		authority: c.authorityOf(u.Host),
		address:   by.name + " names it",
		slow:      by.name + " names it; is it up?",
	}
}

func (c *Clients) elsewhere(u *url.URL, from peer) peer {
	return peer{
		name:      origin(u),
		authority: c.authorityOf(u.Host),
		address:   from.name + " redirects to it",
		slow:      from.name + " redirects to it; is it up?",
	}
}

// authorityOf says where a CA for a host is put.
func (c *Clients) authorityOf(host string) string {
	if len(c.opts.CertDirs) == 0 {
		return "have the system trust its CA"
	}
	return fmt.Sprintf("put its CA into %s/%s/ca.crt", c.opts.CertDirs[0], quoted(host))
}

// maxQuoted is how much of a text that is not ours an error quotes.
const maxQuoted = 300 // bytes

// quoted is a text that a server has had a hand in, for an error: not too long,
// and in quotes if a terminal could make something else of it.
func quoted(text string) string {
	rest := ""
	if len(text) > maxQuoted {
		text, rest = text[:maxQuoted], "..."
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		text = strconv.QuoteToASCII(text)
	}
	return text + rest
}

// failed is an Error of the peer.
func (p peer) failed(err error, format string, args ...any) error {
	return &Error{Server: p.name, Problem: fmt.Sprintf(format, args...), Err: err}
}

// explain says why there was no answer, and what to look at.
func (p peer) explain(err error, limit time.Duration) error {
	unknown, host, invalid := x509.UnknownAuthorityError{}, x509.HostnameError{}, x509.CertificateInvalidError{}
	verify, plain := new(tls.CertificateVerificationError), tls.RecordHeaderError{}
	op, dns, told := new(net.OpError), new(net.DNSError), new(Error)
	switch {
	case errors.As(err, &told):
		return told
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return p.failed(err, "the proxy that the environment names does not answer (%v); check HTTPS_PROXY and NO_PROXY", op.Err)
	case errors.As(err, &unknown):
		return p.failed(err, "its certificate is signed by an unknown authority; %s", p.authority)
	case errors.As(err, &host):
		return p.failed(err, "its certificate is for another host (%s)", quoted(host.Error()))
	case errors.As(err, &invalid), errors.As(err, &verify):
		return p.failed(err, "its certificate is not valid: %s", quoted(err.Error()))
	case errors.As(err, &plain):
		return p.failed(err, "it does not speak HTTPS; is the port right?")
	case errors.As(err, &op) && op.Op == "remote error": // a TLS alert, RFC 8446, 6
		return p.failed(err, "it ends the TLS handshake (%v); does it want a client certificate, or another version?", op.Err)
	case errors.As(err, &dns):
		return p.failed(err, "its name is unknown (%s); %s", dns.Err, p.address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.failed(err, "nobody listens there; is the server running?")
	case shutAtOnce(err):
		return p.failed(err, "it closes the connection as soon as it is made; does it want a client certificate?")
	case brokeOff(err):
		return p.failed(err, "it broke off in the middle of its answer; see the server's log")
	case isTimeout(err):
		return p.failed(err, "no answer within %s; %s", limit, p.slow)
	default:
		return p.failed(err, "%s", quoted(err.Error()))
	}
}

// shutAtOnce reports a connection that ended before anything was said over it.
// The alert that says why comes after the handshake in TLS 1.3, and may be
// overtaken by the end of the connection. net/http exports no error for it.
func shutAtOnce(err error) bool {
	return errors.Is(err, syscall.EPIPE) || strings.HasPrefix(err.Error(), "http2: client conn could not be established")
}

// brokeOff reports an answer that ended too soon: a connection that was cut, or
// a stream that was reset, for which net/http has no exported type.
func brokeOff(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		strings.HasPrefix(err.Error(), "stream error: ")
}

func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.As(err, &timeout) && timeout.Timeout()
}
