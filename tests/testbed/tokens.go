package testbed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	tokenService = "testbed"
	tokenIssuer  = "testbed tokens"
	tokenLasts   = 5 * time.Minute
)

// Tokens are what a real registry and a real Notary server let in: this server
// issues them, and those verify them. It speaks both protocols of
// https://distribution.github.io/distribution/spec/auth/: GET with basic
// authentication, and OAuth2 by POST with password or refresh token. A user
// gets what is asked for, and nobody else gets anything.
type Tokens struct {
	URL    string // of the realm; its certificate is the testbed's
	bundle string // PEM file with the certificate of the key that signs

	user, password, identity string
	key                      *ecdsa.PrivateKey
	cert                     []byte

	mu       sync.Mutex
	requests []TokenRequest
}

// A TokenRequest is what somebody asked a token for.
type TokenRequest struct {
	Method string // GET or POST
	User   string // who it was issued to; empty: nobody
	Scopes []string
}

// NewTokens starts a token server that ends with the test and knows one user.
// The identity token is what a login with offline_token gives out.
func NewTokens(tb testing.TB, bed *Testbed, user, password, identity string) *Tokens {
	tb.Helper()
	s := &Tokens{user: user, password: password, identity: identity, bundle: bed.path("tokens.crt")}
	if err := s.makeKey(time.Now()); err != nil {
		tb.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(bed.path("srv.crt"), bed.path("srv.key"))
	if err != nil {
		tb.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	tb.Cleanup(server.Close)
	s.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/token"
	return s
}

func (s *Tokens) makeKey(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := certificate(tokenIssuer, 1, now)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	s.cert, err = x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("making the key that signs tokens: %w", err)
	}
	s.key = key
	return replaceFile(s.bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert}), 0o644)
}

// Requests gives what was asked for since the last call.
func (s *Tokens) Requests() []TokenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := s.requests
	s.requests = nil
	return requests
}

// ServeHTTP issues a token.
func (s *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user, known := s.authenticate(r)
	scopes := strings.Fields(strings.Join(r.Form["scope"], " "))
	s.mu.Lock()
	s.requests = append(s.requests, TokenRequest{Method: r.Method, User: user, Scopes: scopes})
	s.mu.Unlock()
	if !known {
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		return
	}
	token, err := s.Issue(user, time.Now(), scopes...)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer := object{"token": token, "access_token": token, "expires_in": int(tokenLasts.Seconds()), "issued_at": time.Now().UTC().Format(time.RFC3339)}
	if r.Form.Get("offline_token") == "true" || r.Form.Get("access_type") == "offline" {
		answer["refresh_token"] = s.identity
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// authenticate tells who asks. Who does not say so is nobody, and known;
// nobody's token opens nothing.
func (s *Tokens) authenticate(r *http.Request) (user string, known bool) {
	name, password, basic := r.BasicAuth()
	form := r.PostForm
	switch {
	case form.Get("grant_type") == "refresh_token":
		return s.user, form.Get("refresh_token") == s.identity
	case form.Get("grant_type") == "password":
		return s.user, form.Get("username") == s.user && form.Get("password") == s.password
	case basic:
		return s.user, name == s.user && password == s.password
	default:
		return "", true
	}
}

// Issue signs a token for scopes such as repository:app:pull,push. See
// https://distribution.github.io/distribution/spec/auth/jwt/.
func (s *Tokens) Issue(user string, now time.Time, scopes ...string) (string, error) {
	access := []object{}
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		colon := strings.LastIndexByte(rest, ':') // the name may have a port
		if user == "" || colon < 0 {
			continue
		}
		access = append(access, object{"type": kind, "name": rest[:colon], "actions": strings.Split(rest[colon+1:], ",")})
	}
	claims := object{
		"iss": tokenIssuer, "aud": tokenService, "sub": user, "jti": rand.Text(),
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(tokenLasts).Unix(),
		"access": access,
	}
	return s.sign(claims)
}

// sign makes a JSON Web Token, RFC 7519, with ES256 and the certificate of
// the key in its header.
func (s *Tokens) sign(claims object) (string, error) {
	var parts []string
	for _, part := range []object{{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.cert)}}, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	signed := strings.Join(parts, ".")
	hash := sha256.Sum256([]byte(signed))
	a, b, err := ecdsa.Sign(rand.Reader, s.key, hash[:])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	signature := make([]byte, 64) // RFC 7518, 3.4: both numbers in 32 bytes each
	a.FillBytes(signature[:32])
	b.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
