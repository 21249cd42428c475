package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The tests speak to hosts by their real names, through a proxy that the
// environment names and that leads every name to a server on loopback. So they
// show, too, that the proxy of the environment is used.
var world = struct {
	sync.Mutex
	addresses map[string]string // host:port to where it listens
}{addresses: map[string]string{}}

func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(tunnel))
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		os.Setenv(name, proxy.URL)
	}
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	os.Unsetenv("CREDENTIALS_DIRECTORY")
	os.Unsetenv("DOCKER_AUTH_CONFIG")
	os.Exit(m.Run())
}

// tunnel is a proxy for CONNECT alone.
func tunnel(w http.ResponseWriter, r *http.Request) {
	world.Lock()
	address, ok := world.addresses[r.Host]
	world.Unlock()
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, "no such host", http.StatusBadGateway)
		return
	}
	there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	fmt.Fprint(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { defer there.Close(); _, _ = io.Copy(there, here) }()
	go func() { defer here.Close(); _, _ = io.Copy(here, there) }()
}

// A site is a server that is reached by its name, and what came to it.
type site struct {
	host string
	url  string
	ca   string // PEM file

	handle http.HandlerFunc

	mu     sync.Mutex
	shown  []string // Authorization headers, as they came
	agents []string
}

var sites atomic.Int64

// newHost gives a name that no other test has.
func newHost(role string) string { return fmt.Sprintf("%s-%d.example.com", role, sites.Add(1)) }

// newSite starts a server for a host name; "" is loopback itself.
func newSite(t *testing.T, host string, handle http.HandlerFunc, configure ...func(*tls.Config)) *site {
	t.Helper()
	s := &site{host: host, handle: handle}
	server := httptest.NewUnstartedServer(s)
	server.EnableHTTP2 = true
	address := server.Listener.Addr().String()
	if host == "" {
		s.host = address
	}
	ca := newAuthority(t)
	s.ca = ca.file
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, host)}}
	for _, change := range configure {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = "https://" + s.host
	if host != "" {
		world.Lock()
		world.addresses[host+":443"] = address
		world.Unlock()
	}
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.shown = append(s.shown, r.Header.Get("Authorization"))
	s.agents = append(s.agents, r.UserAgent())
	s.mu.Unlock()
	s.handle(w, r)
}

// requests gives the Authorization headers since the last call.
func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.shown
	s.shown = nil
	return shown
}

// certs makes a folder in which each site has its CA.
func certs(t *testing.T, all ...*site) string {
	t.Helper()
	dir := t.TempDir()
	for _, s := range all {
		copyFile(t, s.ca, filepath.Join(dir, s.host, "ca.crt"))
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, string(raw))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // its certificate, as PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(sites.Add(1)), Subject: pkix.Name{CommonName: fmt.Sprintf("authority %d", sites.Add(1))},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	writeFile(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate for a host, or for loopback, good for both ends.
func (a *authority) issue(t *testing.T, host string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(sites.Add(1)), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if host == "" {
		template.DNSNames, template.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	key := newKey(t)
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// write puts a certificate and its key into PEM files.
func write(t *testing.T, pair tls.Certificate, certificate, key string) {
	t.Helper()
	writeFile(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	raw, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
}
