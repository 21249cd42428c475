// Package trusttest holds the attacks that every verifier of images has to
// survive (Contract), and a Notary server in memory, with the keys to sign
// what it serves, to try them on. That server is a fake: it is there for speed
// and for attackers who have stolen keys, which a real one cannot be made to
// show. What the verifier claims rests on the real server of tests/testbed;
// before that a Proxy plays the network, and nothing plays the server.
//
// It decides what an attacker can do and what may come of it. What a policy
// looks like, and which verifier is tried, it leaves to the caller: it knows
// the words of package trust and no verifier.
package trusttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/notary/tuf/data"
)

// A Notary is a trust server over TLS on loopback.
type Notary struct {
	URL string
	CA  string // PEM file that vouches for the server

	mu        sync.Mutex
	files     State            // what is served; nil: what origin answers
	published State            // what the publishers meant to be served
	requests  []string         // paths, as they came
	fault     http.HandlerFunc // answers instead, when set
	origin    http.Handler     // a real server's answers, for a Proxy
}

// NewNotary starts a trust server that ends with the test.
func NewNotary(tb testing.TB) *Notary {
	tb.Helper()
	n := &Notary{files: State{}, published: State{}}
	n.listen(tb)
	return n
}

// listen opens the server's address and writes its CA.
func (n *Notary) listen(tb testing.TB) {
	tb.Helper()
	server := httptest.NewUnstartedServer(n)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	server.EnableHTTP2 = true // as notary-server does
	server.StartTLS()
	tb.Cleanup(server.Close)
	n.URL = server.URL
	n.CA = filepath.Join(tb.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(n.CA, pem.EncodeToMemory(block), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Address is the server's URL and the file that vouches for it.
func (n *Notary) Address() (url, ca string) { return n.URL, n.CA }

// Fault makes every answer come from handler; nil ends it.
func (n *Notary) Fault(handler http.HandlerFunc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = handler
}

// Requests gives the paths asked for since the last call.
func (n *Notary) Requests() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	requests := n.requests
	n.requests = nil
	return requests
}

// ServeHTTP answers as notary-server does: a role under its name, and under
// its name and checksum; a root also under its version.
func (n *Notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.requests = append(n.requests, r.URL.Path)
	fault, raw, live := n.fault, n.files[r.URL.Path], n.files == nil
	n.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	if live {
		n.origin.ServeHTTP(w, r)
		return
	}
	if raw == nil {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"METADATA_NOT_FOUND","message":"You have requested metadata that does not exist."}]}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(raw)
}

func (n *Notary) serve(gun data.GUN, name string, raw []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files[Path(gun, name)] = raw
}

// serveRole serves a role under both its names.
func (n *Notary) serveRole(gun data.GUN, role data.RoleName, raw []byte) {
	n.serve(gun, string(role), raw)
	n.serve(gun, fmt.Sprintf("%s.%x", role, sha256.Sum256(raw)), raw)
}

// Path is where a server has a file of a repository.
func Path(gun data.GUN, name string) string {
	return "/v2/" + string(gun) + "/_trust/tuf/" + name + ".json"
}

// State is all that a server holds at one time, by path.
type State map[string][]byte

// State takes what is served now, to be put back later: that is a rollback.
func (n *Notary) State() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.files)
}

// Honest ends every attack: what was published is served, and nothing else.
func (n *Notary) Honest() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault, n.files = nil, maps.Clone(n.published)
}

// publish marks what is served now as what the publishers mean.
func (n *Notary) publish() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.published = maps.Clone(n.files)
}

// SetState serves an earlier state again, but for the files whose path has
// one of the given ends.
func (n *Notary) SetState(state State, but ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for path := range n.files {
		if !hasSuffix(path, but) {
			delete(n.files, path)
		}
	}
	for path, raw := range state {
		if !hasSuffix(path, but) {
			n.files[path] = raw
		}
	}
}

func hasSuffix(path string, ends []string) bool {
	for _, end := range ends {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return false
}

// Spoil changes the bytes served for a role, under all its names.
func (n *Notary) Spoil(gun data.GUN, role data.RoleName, change func([]byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	prefix := strings.TrimSuffix(Path(gun, string(role)), "json")
	for path, raw := range n.files {
		if strings.HasPrefix(path, prefix) {
			n.files[path] = change(raw)
		}
	}
}

// Forget stops serving a file.
func (n *Notary) Forget(gun data.GUN, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.files, Path(gun, name))
}

// StrangeCA writes a CA file that vouches for no server of the test.
func StrangeCA(tb testing.TB) string {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "strange.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
