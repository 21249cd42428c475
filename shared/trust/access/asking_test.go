package access_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/access"
)

// What no error and no log may hold, nor the base64 of it.
const (
	password = "correct-horse-battery"
	identity = "identity-staple-token"
	token    = "bearer-token-of-the-tests"
)

var alice = access.Login{Username: "alice", Password: password}

// basicOf is what alice shows by basic authentication.
var basicOf = "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:"+password))

// logins are Credentials in memory, which can change.
type logins struct {
	mu     sync.Mutex
	by     map[string]access.Login
	before func() // when set, a look-up calls it
}

func only(host string, login access.Login) *logins {
	return &logins{by: map[string]access.Login{host: login}}
}

func (l *logins) Login(host string) (access.Login, error) {
	if l.before != nil {
		l.before()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.by[host], nil
}

func (l *logins) set(host string, login access.Login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by[host] = login
}

// A tokenServer gives the token to alice, and to nobody else.
type tokenServer struct {
	mu        sync.Mutex
	issued    int
	asked     []url.Values
	good      string // the token that the registry takes
	anonymous bool   // gives a token to nobody, too
}

func (s *tokenServer) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good
}

func (s *tokenServer) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good = ""
}

func (s *tokenServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Form)
	if r.Header.Get("Authorization") != basicOf && r.Form.Get("refresh_token") != identity && !s.anonymous {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	s.issued++
	s.good = fmt.Sprintf("%s-%d", token, s.issued)
	_ = json.NewEncoder(w).Encode(map[string]any{"token": s.good, "access_token": s.good, "expires_in": 300, "issued_at": "2001-01-01T00:00:00Z"})
}

// guarded answers "content" to who shows the token, and a challenge to others.
func guarded(good func() string, realm string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if want := good(); want == "" || r.Header.Get("Authorization") != "Bearer "+want {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="the registry",scope="repository:other:push"`)
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, "content")
	}
}

// withBasic answers "content" to alice.
func withBasic(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != basicOf {
		w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	fmt.Fprint(w, "content")
}

func get(t *testing.T, client *http.Client, address string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return string(raw), err
}

func mustGet(t *testing.T, client *http.Client, address string) {
	t.Helper()
	if got, err := get(t, client, address); err != nil || got != "content" {
		t.Fatalf("GET %s: %q, %v", address, got, err)
	}
}

func trustServer(t *testing.T, c *access.Clients, base, ca, gun string) *http.Client {
	t.Helper()
	client, err := c.TrustServer(base, ca, gun)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func registry(t *testing.T, c *access.Clients, name string) (string, *http.Client) {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	base, client, err := c.Registry(ref)
	if err != nil {
		t.Fatal(err)
	}
	return base, client
}
