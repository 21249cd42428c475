package access

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/docker/distribution/registry/client/auth/challenge"
)

const (
	maxHops      = 3           // redirects of one request
	loginTimeout = time.Minute // a credential helper may ask a person for a passphrase
)

// A gate is the transport of one client. It opens one host and, there, one
// repository; requests to other hosts, after a redirect, pass without a login
// and without a client certificate.
type gate struct {
	clients  *Clients
	host     string
	peer     peer
	entry    entry
	loopback bool // plain HTTP will do where HTTPS is not spoken
}

// RoundTrip sends a request, with what opened the repository the last time.
// After a 401 it is sent once more, with what the challenge asks for.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		_ = req.Body.Close() // copies of it are sent
		if g.entry.do != pushAndPull || req.GetBody == nil {
			return nil, g.peer.failed(nil, "a %s is not sent there: its client only reads", req.Method)
		}
	}
	until := g.until(req)
	if req.URL.Host != g.host || req.URL.Scheme != "https" || g.hasLeft(req) {
		if g.entry.do == pushAndPull {
			return nil, g.peer.failed(nil, "it redirects to %s, and nothing is published there", origin(req.URL))
		}
		return g.clients.send(req, route{host: req.URL.Host, foreign: true}, g.clients.elsewhere(req.URL, g.peer), until)
	}
	used, header, err := g.remembered(req.Context(), &until)
	if err != nil {
		return nil, err
	}
	resp, plain, err := g.try(req, used, header, until)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	asked := challenge.ResponseChallenges(resp)
	discard(resp)
	now, header, err := g.open(req.Context(), asked, used, plain, &until)
	if err != nil {
		return nil, err
	}
	resp, _, err = g.try(req, now, header, until)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	discard(resp)
	g.clients.sessions.drop(g.entry, now)
	return nil, g.stillShut(now)
}

// remembered is the session that opened the repository before, if it was for
// the login that holds now.
func (g *gate) remembered(ctx context.Context, until *time.Time) (*session, string, error) {
	s := g.clients.sessions.get(g.entry)
	if s == nil {
		return nil, "", nil
	}
	login, err := g.login(ctx, s.plain, until)
	if err != nil {
		return nil, "", err
	}
	if login != s.login() {
		g.clients.sessions.drop(g.entry, s)
		return nil, "", nil
	}
	header, err := g.authorization(ctx, s, *until)
	return s, header, err
}

// open answers a challenge. Of many requests that were turned away together,
// one asks for a token.
func (g *gate) open(ctx context.Context, asked []challenge.Challenge, used *session, plain bool, until *time.Time) (*session, string, error) {
	login, err := g.login(ctx, plain, until)
	if err != nil {
		return nil, "", err
	}
	if err := g.showing(g.host, login).held(); err != nil {
		return nil, "", err
	}
	s, err := g.clients.sessions.renew(g.entry, used, func(current *session) (*session, error) {
		if current != nil && current.login() == login && current.plain == plain {
			return current, nil
		}
		return g.answer(asked, login, plain)
	})
	if err != nil {
		return nil, "", err
	}
	header, err := g.authorization(ctx, s, *until)
	return s, header, err
}

// authorization is what a session writes into a request.
func (g *gate) authorization(ctx context.Context, s *session, until time.Time) (string, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return s.authorization(ctx)
}

// login asks the credentials. The time it takes is not the server's, and moves
// the end of the exchange. Over plain HTTP nobody logs in.
func (g *gate) login(ctx context.Context, plain bool, until *time.Time) (Login, error) {
	from, host := g.clients.opts.Credentials, g.entry.domain
	if from == nil || plain {
		return Login{}, nil
	}
	began := time.Now()
	defer func() { *until = until.Add(time.Since(began)) }()
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	answer := g.clients.logins.DoChan(host, func() (any, error) {
		return from.Login(host)
	})
	select {
	case <-ctx.Done():
		return Login{}, g.peer.failed(ctx.Err(), "waiting for the login for %s: %v; does a credential helper wait for somebody?", host, ctx.Err())
	case result := <-answer:
		if result.Err != nil {
			return Login{}, g.peer.failed(result.Err, "looking up the login for %s: %v", host, result.Err)
		}
		return result.Val.(Login), nil
	}
}

// try sends a request with what a session writes into it, which is the login
// itself by basic authentication.
func (g *gate) try(req *http.Request, s *session, header string, until time.Time) (resp *http.Response, plain bool, err error) {
	if s == nil || s.scheme != basic {
		return g.send(req, s, header, until)
	}
	ctx, cancel := context.WithDeadline(req.Context(), until)
	defer cancel()
	shown := g.showing(g.host, s.login())
	if err := shown.begin(ctx, g.peer); err != nil {
		return nil, false, err
	}
	defer shown.end()
	resp, plain, err = g.send(req, s, header, until)
	switch {
	case err != nil || plain || shown == nil: // nobody has seen it
	case resp.StatusCode == http.StatusUnauthorized:
		shown.refuseBasic(g.refusal(s), s.opened.Load())
	case resp.StatusCode < http.StatusBadRequest || resp.StatusCode == http.StatusNotFound:
		shown.taken()
		s.opened.Store(true)
	}
	return resp, plain, err
}

// send makes one exchange with the gate's own host. It reports whether plain
// HTTP was spoken, over which only that passes which was got over plain HTTP.
func (g *gate) send(req *http.Request, s *session, header string, until time.Time) (resp *http.Response, plain bool, err error) {
	secured, err := again(req)
	if err != nil {
		return nil, false, err
	}
	if header != "" {
		secured.Header.Set("Authorization", header)
	}
	resp, err = g.clients.send(secured, g.entry.route, g.peer, until)
	if !g.loopback || !answersPlainly(err) {
		return resp, false, err
	}
	open := req.Clone(req.Context())
	open.URL.Scheme = "http"
	if s != nil && s.plain {
		open.Header.Set("Authorization", header)
	}
	resp, err = g.clients.send(open, g.entry.route, g.peer, until)
	return resp, true, err
}

// again is a copy of a request that was sent, perhaps, with its body anew.
func again(req *http.Request) (*http.Request, error) {
	next := req.Clone(req.Context())
	if req.GetBody == nil {
		return next, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	next.Body = body
	return next, nil
}

// answersPlainly reports whether the answer to a TLS handshake was HTTP.
func answersPlainly(err error) bool {
	record := tls.RecordHeaderError{}
	return errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/"
}

// stillShut is a 401 although what was asked for has been shown.
func (g *gate) stillShut(s *session) error {
	if s.login() == (Login{}) {
		return g.shut(s.login(), s.plain)
	}
	r := g.refusal(s)
	if s.scheme == bearer {
		// There are token servers that give everybody a token, and let a wrong
		// password count all the same.
		g.showing(g.host, s.login()).refuse(r, false)
	}
	return r.failed()
}

// refusal is what a 401 means after all has been shown.
func (g *gate) refusal(s *session) *refusal {
	if s.scheme == basic {
		return refusesLogin(g.peer, g.entry.domain, http.StatusUnauthorized, g.clients.opts.Credentials)
	}
	return &refusal{
		peer: g.peer, err: ErrTokenRefused, what: fmt.Sprintf("after the login for %s, and with a token of %s, it still answers 401", g.entry.domain, s.tokens.name),
		hint: fmt.Sprintf("; may this login %s %s, and does the server trust that token server?", g.entry.do.verb(), g.entry.repository),
	}
}

// refusesLogin is a server that does not take a login at all.
func refusesLogin(p peer, domain string, code int, from Credentials) *refusal {
	return &refusal{
		peer: p, err: ErrLoginRefused, what: fmt.Sprintf("it refuses the login for %s (%d)", domain, code),
		hint: ": is the password still right? " + loginCommand(from, domain),
	}
}

// until is when the exchange must have ended: that of the request which was
// redirected here, if one was.
func (g *gate) until(req *http.Request) time.Time {
	if req.Response != nil && req.Response.Request != nil {
		if until, ok := req.Response.Request.Context().Deadline(); ok {
			return until
		}
	}
	return time.Now().Add(g.clients.opts.Timeout)
}

// hasLeft reports whether a request comes of a redirect by another host, which
// may not choose what is asked of this one in our name.
func (g *gate) hasLeft(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
		if req.URL.Host != g.host {
			return true
		}
	}
	return false
}

// stay refuses redirects that leave the host, as a trust server's would.
func (g *gate) stay(req *http.Request, via []*http.Request) error {
	if req.URL.Host != g.host || req.URL.Scheme != "https" {
		return g.peer.failed(nil, "it redirects to %s, which the policy does not name; if that is the trust server, name it under notary.servers", origin(req.URL))
	}
	return g.bounded(via)
}

// follow lets redirects go wherever https is spoken.
func (g *gate) follow(req *http.Request, via []*http.Request) error {
	if plain := req.URL.Scheme == "http" && req.URL.Host == g.host && g.loopback; req.URL.Scheme != "https" && !plain {
		return g.peer.failed(nil, "it redirects to %s, which is not https; have its store answer over https", origin(req.URL))
	}
	return g.bounded(via)
}

func (g *gate) bounded(via []*http.Request) error {
	if len(via) > maxHops {
		return g.peer.failed(nil, "it redirects more than %d times; see its configuration", maxHops)
	}
	return nil
}

// realm reads the address of a token server out of a challenge.
func (g *gate) realm(params map[string]string, plain bool) (*url.URL, error) {
	text, ok := params["realm"]
	if !ok {
		return nil, g.peer.failed(nil, "it wants a token and does not say from where (its challenge has no realm); see the server's configuration")
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return nil, g.peer.failed(nil, "it names a token server by something that is not an address; see the realm in the server's configuration")
	}
	if u.Scheme == "https" || u.Scheme == "http" && plain && isLoopback(u.Host) {
		return u, nil
	}
	return nil, g.peer.failed(nil, "it names the token server %s, which is not https; a login is not sent there: see the realm in the server's configuration", origin(u))
}
