package access

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/docker/distribution/registry/client/auth"
	"github.com/docker/distribution/registry/client/auth/challenge"
	"golang.org/x/sync/singleflight"
)

// The schemes of a challenge that are known here (RFC 6750, RFC 7617).
const (
	bearer = "bearer"
	basic  = "basic"
)

// maxSessions bounds the tokens that are kept; one has 1 to 3 KiB, and at most
// maxToken.
const maxSessions = 4096

// maxChallenge bounds what is kept of a challenge, with a session; one with the
// address of a token server and the name of a service has 200 bytes.
const maxChallenge = 4 << 10

// clientID is what docker calls itself before a token server. An identity
// token is good only for the client it was given to (RFC 6749, 6), and it was
// docker login that got it.
const clientID = "docker"

// An entry is a repository as a token opens it.
type entry struct {
	route      route
	domain     string // whose login is used
	repository string // as the scope of a token names it
	do         actions
}

// actions are what a token lets its owner do (the registry's token
// specification, "Resource actions"), with commas.
type actions string

const (
	pull        actions = "pull"
	pushAndPull actions = "push,pull"
)

// verb is what somebody who is kept out wanted to do.
func (a actions) verb() string {
	if a == pushAndPull {
		return "write to"
	}
	return "read"
}

func (a actions) list() []string { return strings.Split(string(a), ",") }

// A session is what opened an entry: the answer to a challenge, which is a
// token until it expires, or name and password.
type session struct {
	scheme  string
	login   sealed[Login]
	plain   bool // challenge and answer went over plain HTTP
	tokens  peer // the token server
	host    string
	params  map[string]string
	handler auth.AuthenticationHandler
	refusal func() error // for want of a name and a password
	opened  atomic.Bool  // by basic authentication, once at least
	forget  func()       // once it fails: the server may have changed whom it names
	flight  singleflight.Group
}

// answer makes the session that a challenge asks for. A token is preferred:
// it can do less than a password.
func (g *gate) answer(asked []challenge.Challenge, login Login, plain bool) (*session, error) {
	s := &session{login: seal(login), plain: plain, host: g.host, tokens: g.peer}
	s.refusal = func() error { return g.shut(login, plain) }
	s.forget = func() { g.clients.sessions.drop(g.entry, s) }
	for _, c := range asked {
		if c.Scheme != bearer && (c.Scheme != basic || s.scheme == bearer) {
			continue
		}
		s.scheme, s.params = c.Scheme, c.Parameters
	}
	var err error
	if s.params, err = g.kept(s.params); err != nil {
		return nil, err
	}
	switch s.scheme {
	case basic:
		s.handler = auth.NewBasicHandler(store{seal(login)})
		return s, nil
	case bearer:
		realm, err := g.realm(s.params, plain)
		if err != nil {
			return nil, err
		}
		source := g.tokenSource(realm, login)
		s.tokens = source.peer
		s.handler = auth.NewTokenHandlerWithOptions(auth.TokenHandlerOptions{
			Transport:   source,
			Credentials: store{seal(login)},
			ClientID:    clientID,
			Scopes:      []auth.Scope{auth.RepositoryScope{Repository: g.entry.repository, Actions: g.entry.do.list()}},
		})
		return s, nil
	default:
		return nil, g.peer.failed(nil, "it answers 401 and asks for a login in no way that is known here; want Bearer or Basic in its WWW-Authenticate")
	}
}

// kept are the parameters of a challenge that count, without the header that
// they came in.
func (g *gate) kept(params map[string]string) (map[string]string, error) {
	kept, size := map[string]string{}, 0
	for _, name := range []string{"realm", "service", "scope"} {
		value, ok := params[name]
		if !ok {
			continue
		}
		if size += len(value); size > maxChallenge {
			return nil, g.peer.failed(nil, "its challenge has more than the %d KiB that are read; see the realm and the service in the server's configuration", maxChallenge>>10)
		}
		kept[name] = strings.Clone(value)
	}
	return kept, nil
}

// shut is a server that wants a login, or a part of it, which is not there.
func (g *gate) shut(login Login, plain bool) error {
	if plain {
		return g.peer.failed(ErrNoLogin, "it wants a login for %s (401) and speaks plain HTTP, over which none is sent; have it speak HTTPS", g.entry.repository)
	}
	how := loginCommand(g.clients.opts.Credentials, g.entry.domain)
	if login.IdentityToken != "" {
		return g.peer.failed(ErrNoLogin, "it wants a name and a password, and what is kept for %s is an identity token; %s", g.entry.domain, how)
	}
	return g.peer.failed(ErrNoLogin, "it wants a login for %s (401), and there is none here for %s; %s", g.entry.repository, g.entry.domain, how)
}

// authorization gives the header's value, from memory while a token is good.
// Requests that want it at the same time wait for one token; each leaves when
// its own time is over, and the token that comes late is there for the next.
func (s *session) authorization(ctx context.Context) (string, error) {
	answer := s.flight.DoChan("", func() (any, error) {
		req := &http.Request{URL: &url.URL{Scheme: "https", Host: s.host, Path: "/v2/"}, Header: http.Header{}}
		if err := s.handler.AuthorizeRequest(req, s.params); err != nil {
			s.forget()
			return "", s.explain(err)
		}
		return req.Header.Get("Authorization"), nil
	})
	select {
	case <-ctx.Done():
		return "", s.tokens.failed(ctx.Err(), "no token in the time that was left; %s", s.tokens.slow)
	case result := <-answer:
		return result.Val.(string), result.Err
	}
}

// explain keeps an error of ours, and drops the words of any other: they may
// quote what a server sent back.
func (s *session) explain(err error) error {
	if told := new(Error); errors.As(err, &told) {
		return told
	}
	if errors.Is(err, auth.ErrNoBasicAuthCredentials) {
		return s.refusal()
	}
	return s.tokens.failed(nil, "no token could be made of its answer; is this the address of a token server?")
}

// store shows a login to distribution's handlers. Where they send it is settled
// before they are made.
type store struct{ login sealed[Login] }

func (s store) Basic(*url.URL) (username, password string) {
	return s.login().Username, s.login().Password
}

func (s store) RefreshToken(*url.URL, string) string { return s.login().IdentityToken }

// SetRefreshToken keeps nothing: what is kept is changed by a login alone.
func (s store) SetRefreshToken(*url.URL, string, string) {}

// sessions are the entries that are open.
type sessions struct {
	mu   sync.Mutex
	open map[entry]*session
}

func (s *sessions) get(e entry) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[e]
}

// renew replaces the session that was used and did not open. The one that has
// taken its place meanwhile is handed to next, which may keep it.
func (s *sessions) renew(e entry, used *session, next func(current *session) (*session, error)) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current := s.open[e]
	if current == used {
		current = nil
	}
	made, err := next(current)
	if err != nil {
		return nil, err
	}
	if s.open == nil {
		s.open = map[entry]*session{}
	}
	if _, there := s.open[e]; !there && len(s.open) >= maxSessions {
		// Any one goes. Dropping the oldest would leave nothing to find for
		// somebody who goes through more repositories than fit, again and again.
		for one := range s.open {
			delete(s.open, one)
			break
		}
	}
	s.open[e] = made
	return made, nil
}

func (s *sessions) drop(e entry, old *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[e] == old {
		delete(s.open, e)
	}
}
