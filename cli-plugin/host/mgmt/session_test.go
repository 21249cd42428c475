package mgmt

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// tokens is a server that takes the token of the newest login only.
type tokens struct {
	logins  atomic.Int32
	expired atomic.Int32 // tokens up to this one are worth nothing
	never   bool         // no token is ever worth anything
	refuse  bool         // so is no password
}

func (s *tokens) handle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login" {
		n := s.logins.Add(1)
		if s.refuse {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"token":"t-%d"}`, n)
		return
	}
	var n int32
	_, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer t-%d", &n)
	if err != nil || n <= s.expired.Load() || s.never {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_, _ = w.Write([]byte("ok"))
}

func (s *tokens) session(t *testing.T) *Session {
	t.Helper()
	conn := serve(t, s.handle, nil)
	return NewSession(conn, func(ctx context.Context) (string, error) {
		answer, err := conn.Do(ctx, Request{Method: http.MethodPost, Path: []string{"login"}, Limit: 1 << 10})
		if err != nil {
			return "", err
		}
		var login struct {
			Token string `json:"token"`
		}
		if err := answer.JSON(&login); err != nil {
			return "", err
		}
		return answer.Token(login.Token)
	})
}

func wantLogins(t *testing.T, s *tokens, want int32) {
	t.Helper()
	if got := s.logins.Load(); got != want {
		t.Errorf("%d logins, want %d", got, want)
	}
}

func TestSessionRenewsAnExpiredToken(t *testing.T) {
	t.Parallel()
	server := &tokens{}
	session := server.session(t)
	if err := session.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	for round := int32(1); round <= 3; round++ {
		server.expired.Store(round)
		if _, err := session.Do(t.Context(), get()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		wantLogins(t, server, round+1)
	}
}

func TestSessionRenewsOnceForAll(t *testing.T) {
	t.Parallel()
	server := &tokens{}
	session := server.session(t)
	if _, err := session.Do(t.Context(), get()); err != nil {
		t.Fatal(err)
	}
	server.expired.Store(1)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, err := session.Do(t.Context(), get()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantLogins(t, server, 2)
}

func TestSessionDoesNotTryARefusedPasswordAgain(t *testing.T) {
	t.Parallel()
	server := &tokens{refuse: true}
	session := server.session(t)
	for range 5 {
		_, err := session.Do(t.Context(), get())
		wantKind(t, err, Unauthorized)
	}
	wantLogins(t, server, 1)
}

func TestSessionGivesUpOnTokensThatAreNeverTaken(t *testing.T) {
	t.Parallel()
	server := &tokens{never: true}
	session := server.session(t)
	for range 5 {
		_, err := session.Do(t.Context(), get())
		wantKind(t, err, Unauthorized)
	}
	wantLogins(t, server, 2)
}

func TestSessionWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	session := (&tokens{}).session(t)
	session.lock <- struct{}{} // somebody is signing in
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := session.Do(ctx, get())
	wantKind(t, err, Interrupted)
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "a b", "a\r\nX-Evil: 1", "a\x7f", strings.Repeat("é", 3)} {
		_, err := Answer{asked: question{service: testService}}.Token(bad)
		wantKind(t, err, Malformed)
	}
}
