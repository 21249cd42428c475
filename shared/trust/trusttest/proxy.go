package trusttest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"testing"

	"github.com/theupdateframework/notary/tuf/data"
)

// A Proxy stands between a real trust server and those who ask it: somebody
// who holds the network, and no key. It passes answers on until it is told to
// spoil some; from then on it plays back what it had recorded of the
// repositories it watches, spoiled, until Honest.
type Proxy struct {
	*Notary
	tb       testing.TB
	upstream *url.URL
	client   *http.Client

	mu      sync.Mutex
	watched []data.GUN
}

// NewProxy opens a proxy before the server at base, whose certificate the
// PEM file ca vouches for.
func NewProxy(tb testing.TB, base, ca string) *Proxy {
	tb.Helper()
	upstream, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: Pool(tb, ca), MinVersion: tls.VersionTLS12}}
	tb.Cleanup(transport.CloseIdleConnections)
	p := &Proxy{Notary: &Notary{}, tb: tb, upstream: upstream, client: &http.Client{Transport: transport}}
	p.origin = &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport: transport,
	}
	p.listen(tb)
	return p
}

// Pool reads the certificates of a PEM file.
func Pool(tb testing.TB, ca string) *x509.CertPool {
	tb.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		tb.Fatalf("%s holds no certificate", ca)
	}
	return pool
}

// Watch names a repository that State has to record.
func (p *Proxy) Watch(gun data.GUN) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = append(p.watched, gun)
}

// State is what is served now. The server itself is asked for it while
// nothing is spoiled.
func (p *Proxy) State() State {
	p.tb.Helper()
	if state := p.Notary.State(); state != nil {
		return state
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	state := State{}
	for _, gun := range p.watched {
		p.recordRepository(state, gun)
	}
	return state
}

// SetState plays back an earlier state.
func (p *Proxy) SetState(state State, but ...string) {
	p.tb.Helper()
	p.playBack()
	p.Notary.SetState(state, but...)
}

// Spoil changes the bytes served for a role.
func (p *Proxy) Spoil(gun data.GUN, role data.RoleName, change func([]byte) []byte) {
	p.tb.Helper()
	p.playBack()
	p.Notary.Spoil(gun, role, change)
}

// Forget stops serving a file.
func (p *Proxy) Forget(gun data.GUN, name string) {
	p.tb.Helper()
	p.playBack()
	p.Notary.Forget(gun, name)
}

// playBack serves what the server serves now, from a recording.
func (p *Proxy) playBack() {
	p.tb.Helper()
	state := p.State()
	p.Notary.mu.Lock()
	defer p.Notary.mu.Unlock()
	p.files = state
}

// recordRepository takes all of a repository: the versions of the root, and
// what timestamp and snapshot name, under both its names.
func (p *Proxy) recordRepository(state State, gun data.GUN) {
	p.tb.Helper()
	root := p.record(state, gun, "root")
	if root == nil {
		return // nothing is published
	}
	for version := 1; version <= p.read(root).Signed.Version; version++ {
		p.record(state, gun, fmt.Sprintf("%d.root", version))
	}
	roles := p.read(p.record(state, gun, "timestamp")).Signed.Meta
	for role, meta := range p.read(p.recordBoth(state, gun, "snapshot", roles["snapshot"])).Signed.Meta {
		p.recordBoth(state, gun, role, meta)
	}
}

// recordBoth takes a role under its checksum and under its name alone.
func (p *Proxy) recordBoth(state State, gun data.GUN, role string, meta data.FileMeta) []byte {
	p.tb.Helper()
	raw := p.record(state, gun, fmt.Sprintf("%s.%x", role, []byte(meta.Hashes["sha256"])))
	if raw != nil {
		state[Path(gun, role)] = raw
	}
	return raw
}

// record takes one file; one that the server does not have is nil.
func (p *Proxy) record(state State, gun data.GUN, name string) []byte {
	p.tb.Helper()
	path := Path(gun, name)
	req, err := http.NewRequestWithContext(p.tb.Context(), http.MethodGet, p.upstream.String()+path, http.NoBody)
	if err != nil {
		p.tb.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.tb.Fatal(err)
	}
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	if resp.StatusCode != http.StatusOK {
		p.tb.Fatalf("%s: %s", path, resp.Status)
	}
	state[path] = raw
	return raw
}

// An outline is the part of a role's metadata that leads to the others.
type outline struct {
	Signed struct {
		Version int
		Meta    data.Files
	}
}

func (p *Proxy) read(raw []byte) outline {
	p.tb.Helper()
	var o outline
	if err := json.Unmarshal(raw, &o); err != nil {
		p.tb.Fatalf("%v in %.200s", err, raw)
	}
	return o
}
