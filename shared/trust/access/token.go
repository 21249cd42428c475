package access

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxTokenAnswer = 1 << 20          // bytes; tokens with 200 scopes have 30 KiB
	maxToken       = 16 << 10         // bytes; servers refuse headers longer than 8 to 16 KiB
	maxTokenLife   = 3600             // seconds; a server that forgets the token says so with a 401
	tokenTimeout   = 14 * time.Second // distribution ends its request at 15 s, in words of its own
)

// A tokenSource is the transport to one token server, for the handler that
// asks it. It reads the answer first, because the handler reads without bound
// and puts the server's words into its errors, and hands on what is needed.
type tokenSource struct {
	clients *Clients
	realm   *url.URL
	route   route
	peer    peer
	login   sealed[Login]
	domain  string
	do      actions
	showing func() *showing // of the login to the realm
}

// tokenSource of a realm trusts the certificates that the gate's host has;
// another host's own folder is trusted beside them. A client certificate is
// shown to the gate's host alone.
func (g *gate) tokenSource(realm *url.URL, login Login) *tokenSource {
	t := &tokenSource{
		clients: g.clients, realm: realm, login: seal(login), domain: g.entry.domain, do: g.entry.do,
		route: g.entry.route, peer: g.clients.tokenServer(realm, g.peer),
		showing: func() *showing { return g.showing(realm.Host, login) },
	}
	if realm.Host != g.host {
		t.route = route{host: realm.Host, ca: g.entry.route.ca, namedBy: g.host, foreign: true}
	}
	return t
}

// RoundTrip lets nothing out but requests to the realm's own host.
func (t *tokenSource) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != t.realm.Host || req.URL.Scheme != t.realm.Scheme {
		return nil, t.peer.failed(nil, "it redirects to %s; a login is not sent there: see the realm in the configuration of the server that names it", origin(req.URL))
	}
	until := time.Now().Add(min(t.clients.opts.Timeout, tokenTimeout))
	ctx, cancel := context.WithDeadline(req.Context(), until)
	defer cancel()
	shown := t.showing()
	if err := shown.begin(ctx, t.peer); err != nil {
		return nil, err
	}
	defer shown.end()
	resp, err := t.clients.send(req, t.route, t.peer, until)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Location") != "" && resp.StatusCode >= 300 && resp.StatusCode < 400 {
		resp.Body = http.NoBody // the handler's client comes back with where it leads
		return resp, nil
	}
	if r := t.refusal(resp.StatusCode); r != nil {
		shown.refuse(r, resp.StatusCode != http.StatusForbidden)
		return nil, r.failed()
	}
	if err := t.statusError(resp.StatusCode); err != nil {
		return nil, err
	}
	shown.taken()
	raw, err := t.read(resp)
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return resp, nil
}

// refusal is an answer that does not take the login: nil if it is another.
func (t *tokenSource) refusal(code int) *refusal {
	switch {
	case t.login() == (Login{}):
		return nil
	case code == http.StatusUnauthorized, code == http.StatusBadRequest && t.login().IdentityToken != "": // RFC 6749, 5.2: invalid_grant
		return refusesLogin(t.peer, t.domain, code, t.clients.opts.Credentials)
	case code == http.StatusForbidden:
		return &refusal{peer: t.peer, err: ErrLoginRefused, what: fmt.Sprintf("it gives the login for %s no token (%d)", t.domain, code), hint: "; may it " + t.do.verb() + " this repository?"}
	default:
		return nil
	}
}

// statusError is any other answer without a token.
func (t *tokenSource) statusError(code int) error {
	switch code {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return t.peer.failed(ErrNoLogin, "it wants a login (%d), and there is none here for %s; %s", code, t.domain, loginCommand(t.clients.opts.Credentials, t.domain))
	default:
		return t.peer.failed(nil, "it answers %d %s; see its log", code, http.StatusText(code))
	}
}

// A tokenAnswer is the part of an answer that counts. The token has either
// name, and its life begins when it was asked for: clocks may differ.
type tokenAnswer struct {
	Token       string  `json:"token"`
	AccessToken string  `json:"access_token"`
	ExpiresIn   float64 `json:"expires_in"` // seconds
}

// read makes of an answer what the handler may see.
func (t *tokenSource) read(resp *http.Response) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer+1))
	if err != nil {
		return nil, t.peer.explain(err, t.clients.opts.Timeout)
	}
	if len(raw) > maxTokenAnswer {
		return nil, t.peer.failed(nil, "it sends more than the %d KiB that an answer with a token may have; is this the address of a token server?", maxTokenAnswer>>10)
	}
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("<")) || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return nil, t.peer.failed(nil, "it answers with a web page instead of a token; is this the address of a token server, and no proxy in between?")
	}
	var answer tokenAnswer
	if json.Unmarshal(raw, &answer) != nil {
		return nil, t.peer.failed(nil, "it answers with truncated or broken JSON instead of a token; see its log")
	}
	token := answer.AccessToken
	if token == "" {
		token = answer.Token
	}
	switch {
	case token == "":
		return nil, t.peer.failed(nil, "its answer holds no token; see its log")
	case len(token) > maxToken || strings.ContainsFunc(token, notInHeader):
		return nil, t.peer.failed(nil, "its token cannot stand in a header (at most %d KiB of visible characters); see its configuration", maxToken>>10)
	}
	return json.Marshal(map[string]any{
		"token": token, "access_token": token,
		"expires_in": int(min(max(answer.ExpiresIn, 0), maxTokenLife)),
	})
}

// notInHeader reports a character that RFC 6750 has in no token.
func notInHeader(r rune) bool { return r <= ' ' || r >= 0x7f }
