package access_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
)

// A clock stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// logIns counts the requests that showed a login, a token apart.
func logIns(shown []string) int {
	count := 0
	for _, header := range shown {
		if strings.HasPrefix(header, "Basic ") {
			count++
		}
	}
	return count
}

// A lockout is a host with a wrong password for it, and how often that was
// shown, by whichever way.
type lockout struct {
	host  string
	certs string
	shown func() int
}

var lockouts = map[string]struct {
	login access.Login
	host  func(t *testing.T) lockout
}{
	"basic": {access.Login{Username: "alice", Password: "not " + password}, func(t *testing.T) lockout {
		t.Helper()
		dtr := newSite(t, newHost("dtr"), withBasic)
		return lockout{dtr.host, certs(t, dtr), func() int { return logIns(dtr.requests()) }}
	}},
	"token":          {access.Login{Username: "alice", Password: "not " + password}, tokenLockout},
	"identity token": {access.Login{IdentityToken: "not " + identity}, tokenLockout},
}

func tokenLockout(t *testing.T) lockout {
	t.Helper()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	return lockout{dtr.host, certs(t, dtr, auth), func() int { return len(auth.requests()) }}
}

func TestRefusedLoginIsKeptBack(t *testing.T) {
	t.Parallel()
	for name, test := range lockouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, now := test.host(t), newClock()
			creds := only(l.host, test.login)
			c := access.New(access.Options{Credentials: creds, CertDirs: []string{l.certs}, Now: now.Now})
			ask := func(repository string) error {
				t.Helper()
				base, client := registry(t, c, l.host+"/"+repository)
				_, err := get(t, client, base+"/v2/")
				return err
			}
			refused := func(repository, want string, shown int) {
				t.Helper()
				err := ask(repository)
				told(t, err, want)
				told(t, err, "is the password still right? give this host a login for "+l.host)
				if !errors.Is(err, access.ErrLoginRefused) {
					t.Errorf("want ErrLoginRefused: %v", err)
				}
				if got := l.shown(); got != shown {
					t.Errorf("%s: the login was shown %d times, want %d", repository, got, shown)
				}
			}
			refused("app", "it refuses the login for "+l.host, 1)
			const since = ", since 2026-07-01T12:00:00Z, and is not shown this login again before 2026-07-01T12:10:00Z"
			refused("app", since, 0)
			refused("web", since, 0)
			now.move(10*time.Minute - time.Second)
			refused("app", since, 0)
			now.move(time.Second)
			refused("web", "it refuses the login for "+l.host, 1)
			refused("app", ", since 2026-07-01T12:10:00Z, and", 0)

			creds.set(l.host, access.Login{Username: "alice", Password: "nor " + password})
			refused("app", "it refuses the login for "+l.host, 1)
			creds.set(l.host, alice)
			if err := ask("app"); err != nil {
				t.Errorf("another login has to wait: %v", err)
			}
		})
	}
}

func TestManyRequestsOneRefusal(t *testing.T) {
	t.Parallel()
	for name, test := range lockouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := test.host(t)
			c := access.New(access.Options{Credentials: only(l.host, test.login), CertDirs: []string{l.certs}})
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					base, client := registry(t, c, fmt.Sprintf("%s/app-%d", l.host, i))
					if _, err := get(t, client, base+"/v2/"); !errors.Is(err, access.ErrLoginRefused) {
						t.Errorf("want ErrLoginRefused: %v", err)
					}
				})
			}
			group.Wait()
			if shown := l.shown(); shown != 1 {
				t.Errorf("the login was shown %d times, want once", shown)
			}
		})
	}
}

// TestLoggingInAgain: somebody had the account unlocked and gives the same
// password again. That is another content of the file.
func TestLoggingInAgain(t *testing.T) {
	t.Parallel()
	locked := true
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		if locked {
			r.Header.Del("Authorization")
		}
		withBasic(w, r)
	})
	path := filepath.Join(t.TempDir(), "auth.json")
	if err := access.OpenFile(path).Set(dtr.host, alice); err != nil {
		t.Fatal(err)
	}
	c := access.New(access.Options{Credentials: access.OpenFile(path), CertDirs: []string{certs(t, dtr)}})
	base, client := registry(t, c, dtr.host+"/app")
	for range 2 {
		_, err := get(t, client, base+"/v2/")
		told(t, err, "run: docker stig authz login "+dtr.host)
	}
	if shown := logIns(dtr.requests()); shown != 1 {
		t.Errorf("the login was shown %d times, want once", shown)
	}
	locked = false
	if err := access.OpenFile(path).Set(dtr.host, alice); err != nil {
		t.Fatal(err)
	}
	mustGet(t, client, base+"/v2/")
}

// TestClosedRepositoryClosesNoOther: the password is right, and whoever asks
// for what it does not open must not keep others out.
func TestClosedRepositoryClosesNoOther(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("scope"), "closed") {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		tokens.ServeHTTP(w, r)
	})
	useless := newSite(t, newHost("useless"), func(w http.ResponseWriter, r *http.Request) { // a token for everybody, good for nothing
		if strings.Contains(r.FormValue("scope"), "closed") {
			_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
			return
		}
		tokens.ServeHTTP(w, r)
	})
	for name, test := range map[string]struct {
		handle http.HandlerFunc
		asked  *site // nil: the host itself
		want   string
		token  bool // was given
	}{
		"basic":         {withBasicBut("closed"), nil, "it refuses the login for", false},
		"no token":      {guarded(tokens.current, auth.url+"/token"), auth, "it gives the login for", false},
		"useless token": {guarded(tokens.current, useless.url+"/token"), useless, "it still answers 401", true},
	} {
		t.Run(name, func(t *testing.T) {
			dtr := newSite(t, newHost("dtr"), test.handle)
			asked := test.asked
			if asked == nil {
				asked = dtr
			}
			now := newClock()
			c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth, useless)}, Now: now.Now})
			base, open := registry(t, c, dtr.host+"/app")
			_, closed := registry(t, c, dtr.host+"/closed")
			mustGet(t, open, base+"/v2/app/")
			asked.requests()
			for _, want := range []string{"", ", since 2026-07-01T12:00:00Z, and is not shown this login again before"} {
				_, err := get(t, closed, base+"/v2/closed/")
				told(t, err, test.want)
				told(t, err, want)
				if !errors.Is(err, access.ErrLoginRefused) || errors.Is(err, access.ErrTokenRefused) != test.token {
					t.Errorf("want ErrLoginRefused, and ErrTokenRefused: %v: %v", test.token, err)
				}
			}
			if shown := logIns(asked.requests()); shown != 1 {
				t.Errorf("the login was shown %d times for the closed repository, want once", shown)
			}
			mustGet(t, open, base+"/v2/app/")
			_, third := registry(t, c, dtr.host+"/third")
			mustGet(t, third, base+"/v2/third/")
		})
	}
}

// withBasicBut is withBasic, with a 401 for what has a word in its path.
func withBasicBut(word string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, word) {
			r.Header.Del("Authorization")
		}
		withBasic(w, r)
	}
}

// TestChangedPasswordIsShownOnce: that of a daemon which was let in before.
func TestChangedPasswordIsShownOnce(t *testing.T) {
	t.Parallel()
	closed := false
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		if closed {
			r.Header.Del("Authorization")
		}
		withBasic(w, r)
	})
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr)}})
	var base string
	var clients []*http.Client
	for i := range 10 {
		address, client := registry(t, c, fmt.Sprintf("%s/app-%d", dtr.host, i))
		mustGet(t, client, address+"/v2/")
		base, clients = address, append(clients, client)
	}
	dtr.requests()
	closed = true
	for _, client := range clients {
		_, err := get(t, client, base+"/v2/")
		told(t, err, "it refuses the login for "+dtr.host)
	}
	if shown := logIns(dtr.requests()); shown != 1 {
		t.Errorf("the login was shown %d times, want once", shown)
	}
}

// TestRefusedLoginKeepsNobodyOut of what is open to all, and of no other host.
func TestRefusedLoginKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/public/") {
			fmt.Fprint(w, "content")
			return
		}
		withBasic(w, r)
	})
	other := newSite(t, newHost("other"), withBasic)
	wrong := access.Login{Username: "alice", Password: "not " + password}
	creds := &logins{by: map[string]access.Login{dtr.host: wrong, other.host: alice}}
	c := access.New(access.Options{Credentials: creds, CertDirs: []string{certs(t, dtr, other)}})
	base, client := registry(t, c, dtr.host+"/app")
	_, err := get(t, client, base+"/v2/app/")
	told(t, err, "it refuses the login for "+dtr.host)
	_, public := registry(t, c, dtr.host+"/public/app")
	mustGet(t, public, base+"/v2/public/app/")
	elsewhere, theirs := registry(t, c, other.host+"/app")
	mustGet(t, theirs, elsewhere+"/v2/")
}
