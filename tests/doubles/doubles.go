// Package doubles plays UCP (MKE) and DTR (MSR), which cannot be had for
// testing: stand-ins over real TLS on loopback that speak the parts of the
// two HTTP APIs that Docker's guides and DISA's text document. They are not
// UCP and not DTR: what holds against a double is a claim about the
// documentation, not about the products. They say so in their Server header
// and in their log.
//
// A double keeps accounts, hands out tokens that expire, and pages. Its
// faults are switched on and off by name while it runs (see Fault).
package doubles

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// An Account may sign in.
type Account struct {
	Username string
	Password string
	Admin    bool
	Sees     []string // namespaces whose private repositories it sees; an administrator sees all
}

// ServerOptions are what both doubles need. The zero value serves on a free port of
// 127.0.0.1 with an authority of its own, silently.
type ServerOptions struct {
	Authority *Authority    // signs the server's certificate
	Address   string        // to listen at; empty: "127.0.0.1:0"
	Accounts  []Account     // empty: DefaultAccounts
	TokenUses int           // requests that a token is good for; 0: any number
	Latency   time.Duration // before each answer
	Log       *slog.Logger  // nil: no log

	MinTLS, MaxTLS uint16 // versions it speaks, such as tls.VersionTLS10; 0: 1.2, and the newest
	// Chain is shown in place of what Authority signs, but under the faults
	// of a certificate; see Authority.Issue and SelfSignedFor. Nil: it is not.
	Chain *tls.Certificate
}

// DefaultAccounts are an administrator and one who sees part of the registry.
func DefaultAccounts() []Account {
	return []Account{
		{Username: "admin", Password: "double-admin-pw-5c1e", Admin: true},
		{Username: "carol", Password: "double-carol-pw-77aa", Sees: []string{"carol"}},
	}
}

// server is what both doubles are made of: TLS, accounts, tokens, faults.
type server struct {
	name      string // "UCP", "DTR"
	common    ServerOptions
	listener  net.Listener
	http      *http.Server
	closed    chan struct{}
	stop      func()
	serving   sync.WaitGroup
	handshake handshakes

	mu       sync.Mutex
	faults   map[string]Fault // by prefix of the path; "" is every path but the login
	tokens   map[string]*token
	logins   int
	requests int
	inFlight int
	peak     int
}

type token struct {
	account Account
	uses    int
}

// start serves handler over TLS. login is the path that faults leave alone
// unless they name it. ctx bounds the start alone.
func start(ctx context.Context, name, login string, common ServerOptions, handler http.Handler) (*server, error) {
	if common.Authority == nil {
		authority, err := NewAuthority("docker-stig doubles CA", time.Now())
		if err != nil {
			return nil, err
		}
		common.Authority = authority
	}
	if common.Address == "" {
		common.Address = "127.0.0.1:0"
	}
	if len(common.Accounts) == 0 {
		common.Accounts = DefaultAccounts()
	}
	if common.Log == nil {
		common.Log = slog.New(slog.DiscardHandler)
	}
	common.Log = common.Log.With("double", name)
	s := &server{
		name: name, common: common, closed: make(chan struct{}),
		faults: map[string]Fault{}, tokens: map[string]*token{},
	}
	s.stop = sync.OnceFunc(func() { close(s.closed) })
	if err := s.listen(ctx, login, handler); err != nil {
		return nil, fmt.Errorf("starting the double of %s: %w", name, err)
	}
	return s, nil
}

func (s *server) listen(ctx context.Context, login string, handler http.Handler) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.common.Address)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if s.handshake, err = newHandshakes(s.common.Authority, host, time.Now()); err != nil {
		return errors.Join(err, listener.Close())
	}
	if s.common.Chain != nil {
		s.handshake[NoFault] = s.common.Chain
	}
	s.listener = listener
	s.http = &http.Server{
		Handler:           s.wrap(login, handler),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.common.Log.Handler(), slog.LevelDebug),
	}
	tlsListener := tls.NewListener(listener, &tls.Config{
		MinVersion:     cmp.Or(s.common.MinTLS, tls.VersionTLS12),
		MaxVersion:     s.common.MaxTLS,
		GetCertificate: s.certificate,
	})
	s.serving.Go(func() {
		if err := s.http.Serve(tlsListener); !errors.Is(err, http.ErrServerClosed) {
			s.common.Log.Error("double stopped", "err", err)
		}
	})
	s.common.Log.Info("double listens", "url", s.URL())
	return nil
}

// URL is where the double serves: https://127.0.0.1:PORT.
func (s *server) URL() string { return "https://" + s.listener.Addr().String() }

// CA is the PEM certificate of the authority that signed the double's.
func (s *server) CA() []byte { return s.common.Authority.PEM() }

// Close ends every connection and returns when nothing is served any more.
func (s *server) Close() error {
	s.stop()
	err := s.http.Close()
	s.serving.Wait()
	return err
}

// Logins counts the tokens that were handed out.
func (s *server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Requests counts what was asked, logins included.
func (s *server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Peak is the highest number of requests that were under way together.
func (s *server) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// ExpireTokens makes every token handed out so far worthless.
func (s *server) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Secrets are all words that must appear nowhere: passwords, and every token
// that is still good.
func (s *server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, account := range s.common.Accounts {
		words = append(words, account.Password)
	}
	for word := range s.tokens {
		words = append(words, word)
	}
	return words
}

// issue hands out a token for an account.
func (s *server) issue(account Account) string {
	raw := make([]byte, 16)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	word := s.name + "-token-" + hex.EncodeToString(raw)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[word] = &token{account: account}
	s.logins++
	return word
}

// bearer is the account whose token a request carries.
func (s *server) bearer(r *http.Request) (Account, bool) {
	word, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return Account{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.tokens[word]
	if !ok {
		return Account{}, false
	}
	found.uses++
	if s.common.TokenUses > 0 && found.uses > s.common.TokenUses {
		delete(s.tokens, word)
		return Account{}, false
	}
	return found.account, true
}

// account is the account with this name and password.
func (s *server) account(username, password string) (Account, bool) {
	for _, account := range s.common.Accounts {
		if account.Username == username && account.Password == password {
			return account, true
		}
	}
	return Account{}, false
}

// writeJSON answers as both servers do.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// writeError answers with the envelope that both servers use for errors.
func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}
