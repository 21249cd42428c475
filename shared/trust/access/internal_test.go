package access

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/distribution/registry/client/auth/challenge"
)

// TestExplain: what cannot be provoked by a server on loopback.
func TestExplain(t *testing.T) {
	t.Parallel()
	p := trustServer(&url.URL{Scheme: "https", Host: "notary.example.com"}, "")
	for want, err := range map[string]error{
		"its name is unknown (no such host); check notary.servers": &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}},
		"its certificate is not valid":                             x509.CertificateInvalidError{Reason: x509.Expired},
		"nobody listens there":                                     &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"the proxy that the environment names does not answer (connection refused); check HTTPS_PROXY": &net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED},
		"it broke off in the middle":              io.ErrUnexpectedEOF,
		"no answer within 2s; see notary.timeout": os.ErrDeadlineExceeded,
		"something else":                          errors.New("something else"),
	} {
		got := p.explain(fmt.Errorf("wrapped: %w", err), 2*time.Second)
		if !strings.HasPrefix(got.Error(), "trust server https://notary.example.com: ") || !strings.Contains(got.Error(), want) || !errors.Is(got, err) {
			t.Errorf("%v\nwant %q", got, want)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := sessions{}
	for i := range maxSessions + 100 {
		e := entry{repository: fmt.Sprint(i)}
		if _, err := s.renew(e, nil, func(*session) (*session, error) { return &session{}, nil }); err != nil {
			t.Fatal(err)
		}
		if s.get(e) == nil {
			t.Fatal("what came last is not kept")
		}
	}
	if len(s.open) != maxSessions {
		t.Errorf("%d sessions are kept, want %d", len(s.open), maxSessions)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	c := connections{timeout: time.Second}
	var last *connection
	for i := range maxConnections + 10 {
		made, err := c.get(route{host: fmt.Sprintf("host-%d.example.com", i)})
		if err != nil {
			t.Fatal(err)
		}
		last = made
	}
	again, err := c.get(route{host: fmt.Sprintf("host-%d.example.com", maxConnections+9)})
	if err != nil || again != last || len(c.open) != maxConnections {
		t.Errorf("%d connections are kept, want %d, the last of them shared (%v)", len(c.open), maxConnections, err)
	}
}

// FuzzChallenge: whatever a server's challenge says, a token is asked for over
// https alone, but for plain loopback, and by a handler that is known.
func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://auth.example.com/token",service="x"`, false)
	f.Add(`bearer Realm="http://127.0.0.1:5001/token"`, true)
	f.Add(`Bearer realm="https://a\"b\\/"`, false)
	f.Add(`Basic realm="x"`, true)
	f.Add(`Bearer realm=//evil/`, true)
	f.Fuzz(func(t *testing.T, header string, plain bool) {
		resp := &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {header}}}
		g := &gate{clients: New(Options{}), host: "localhost", entry: entry{domain: "localhost", repository: "app"}}
		login := Login{Username: "alice", Password: "secret"}
		if plain {
			login = Login{}
		}
		s, err := g.answer(challenge.ResponseChallenges(resp), login, plain)
		if err != nil {
			return
		}
		switch s.scheme {
		case basic:
			if s.handler == nil {
				t.Fatal("no handler")
			}
		case bearer:
			realm, err := g.realm(s.params, plain)
			if err != nil {
				t.Fatalf("a session with a realm that is refused: %v", err)
			}
			local := plain && realm.Scheme == "http" && isLoopback(realm.Host)
			if realm.Scheme != "https" && !local {
				t.Fatalf("a token would be asked of %s", realm)
			}
			if realm.User != nil || realm.Host == "" {
				t.Fatalf("a token would be asked of %s", realm)
			}
		default:
			t.Fatalf("scheme %q", s.scheme)
		}
	})
}

// FuzzTokenAnswer: whatever a token server answers, the handler sees a token
// that can stand in a header, a life that is bounded, and nothing else.
func FuzzTokenAnswer(f *testing.F) {
	f.Add([]byte(`{"token":"a","access_token":"b","expires_in":60,"issued_at":"2001-01-01T00:00:00Z"}`), "application/json")
	f.Add([]byte(`{"token":"a\n","expires_in":1e99}`), "")
	f.Add([]byte(`<html>`), "text/html")
	f.Fuzz(func(t *testing.T, raw []byte, contentType string) {
		source := &tokenSource{clients: New(Options{}), login: seal(Login{})}
		resp := &http.Response{Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(string(raw)))}
		clean, err := source.read(resp)
		if err != nil {
			return
		}
		parsed := readClean(t, clean)
		if len(parsed) != 3 {
			t.Fatalf("more than is needed: %s", clean)
		}
		token, _ := parsed["token"].(string)
		if token == "" || len(token) > maxToken || strings.ContainsFunc(token, notInHeader) || parsed["access_token"] != token {
			t.Fatalf("a token that is none: %s", clean)
		}
		if life, _ := parsed["expires_in"].(float64); life < 0 || life > maxTokenLife {
			t.Fatalf("a life without bound: %s", clean)
		}
	})
}

func readClean(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := json.Unmarshal(raw, &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestRefusalsAreBounded: names of repositories come from outside, and must
// not push out what holds for all of them.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := New(Options{Now: func() time.Time { return now }})
	show := func(host, repository string) *showing {
		g := &gate{clients: c, entry: entry{domain: "example.com", repository: repository}}
		return g.showing(host, Login{Username: "alice"})
	}
	show("host", "first").refuse(&refusal{err: ErrLoginRefused}, true)
	for i := range maxRefused + 100 {
		s := show("host", fmt.Sprint(i))
		s.refuse(&refusal{err: ErrLoginRefused}, false)
		if err := s.held(); !errors.Is(err, ErrLoginRefused) {
			t.Fatalf("what came last is not kept: %v", err)
		}
	}
	last := show("host", "never seen")
	if err := last.held(); !errors.Is(err, ErrLoginRefused) || len(last.standing.refused) != maxRefused {
		t.Errorf("%d refusals are kept, want %d, with that for all (%v)", len(last.standing.refused), maxRefused, err)
	}
	for i := range maxAccounts + 10 {
		show(fmt.Sprintf("host-%d", i), "").refuse(&refusal{err: ErrLoginRefused}, true)
	}
	if len(c.accounts.open) != maxAccounts {
		t.Errorf("%d hosts are remembered, want %d", len(c.accounts.open), maxAccounts)
	}
}
