package access_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/access"
)

func TestLoopbackMaySpeakPlainHTTP(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{anonymous: true}
	auth := httptest.NewServer(tokens)
	t.Cleanup(auth.Close)
	s := &site{handle: guarded(tokens.current, auth.URL+"/token")}
	plain := httptest.NewServer(s)
	t.Cleanup(plain.Close)
	host := strings.TrimPrefix(plain.URL, "http://")
	c := access.New(access.Options{Credentials: only(host, alice)})
	base, client := registry(t, c, host+"/app")
	mustGet(t, client, base+"/v2/")
	mustGet(t, client, base+"/v2/")
	if tokens.asked[0].Get("account") != "" {
		t.Errorf("a login went over plain HTTP: %v", tokens.asked)
	}
	s.handle = withBasic
	_, err := get(t, client, base+"/v2/")
	told(t, err, "speaks plain HTTP, over which none is sent")
	if !errors.Is(err, access.ErrNoLogin) {
		t.Errorf("basic over plain HTTP: %v", err)
	}
	for _, header := range s.requests() {
		if header != "" && !strings.HasPrefix(header, "Bearer "+token) {
			t.Errorf("a login went over plain HTTP: %q", header)
		}
	}
}

func TestLoopbackWithTLSTakesTheLogin(t *testing.T) {
	t.Parallel()
	local := newSite(t, "", withBasic)
	c := access.New(access.Options{Credentials: only(local.host, alice), CertDirs: []string{certs(t, local)}})
	base, client := registry(t, c, local.host+"/app")
	mustGet(t, client, base+"/v2/")
}

// A changing listener speaks TLS until it is told to speak plainly.
type changing struct {
	net.Listener
	config *tls.Config
	plain  atomic.Bool
}

func (c *changing) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil || c.plain.Load() {
		return conn, err
	}
	return tls.Server(conn, c.config), nil
}

func TestLoopbackThatDropsTLSGetsNoLogin(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]http.HandlerFunc{
		"basic": withBasic,
		"token": guarded(func() string { return token + "-1" }, "https://REALM/token"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens := &tokenServer{}
			auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
			s := &site{handle: func(w http.ResponseWriter, r *http.Request) {
				handle(realmOf{w, auth.host}, r)
			}}
			server := httptest.NewUnstartedServer(s)
			ca := newAuthority(t)
			listener := &changing{Listener: server.Listener, config: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.issue(t, "")}}}
			server.Listener = listener
			server.Config.SetKeepAlivesEnabled(false)
			server.Start()
			t.Cleanup(server.Close)
			s.host, s.ca = server.Listener.Addr().String(), ca.file
			c := access.New(access.Options{Credentials: only(s.host, alice), CertDirs: []string{certs(t, s, auth)}})
			base, client := registry(t, c, s.host+"/app")
			mustGet(t, client, base+"/v2/")
			s.requests()
			listener.plain.Store(true)
			_, err := get(t, client, base+"/v2/")
			if err == nil {
				t.Error("a login went over plain HTTP")
			}
			for _, header := range s.requests() {
				if header != "" {
					t.Errorf("over plain HTTP it was shown %q", header)
				}
			}
		})
	}
}
