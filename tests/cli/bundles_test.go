package cli

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/theupdateframework/notary/tuf/data"
)

// withBundles adds what scripts about bundles and logins say to the servers
// they meet: a Notary server and a registry in memory, or one with a password.
func withBundles(t *testing.T, commands map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	t.Helper()
	var mu sync.Mutex
	of := map[string]*origin{} // by the script's folder
	maps.Copy(commands, map[string]func(*testscript.TestScript, bool, []string){
		"release": func(ts *testscript.TestScript, _ bool, tags []string) {
			work := ts.Getenv("WORK")
			mu.Lock()
			defer mu.Unlock()
			if of[work] == nil {
				of[work] = newOrigin(t, ts)
			}
			of[work].release(ts, tags)
		},
		"unplug": func(ts *testscript.TestScript, _ bool, _ []string) {
			mu.Lock()
			defer mu.Unlock()
			of[ts.Getenv("WORK")].unplug()
		},
		"lose": func(ts *testscript.TestScript, _ bool, args []string) {
			mu.Lock()
			defer mu.Unlock()
			of[ts.Getenv("WORK")].registry.lose("/" + args[0] + "/")
		},
		"converse":   converse(t),
		"doorkeeper": func(ts *testscript.TestScript, _ bool, args []string) { doorkeeper(ts, args) },
	})
	return commands
}

// An origin is where a bundle comes from: it has a repository on a Notary server and in a registry.
type origin struct {
	notary     *trusttest.Notary
	repository *trusttest.Repository
	registry   *shelf
	name       string
}

// newOrigin gives a script $REPO, policy.json, which pins it, airgap.json,
// which does and names no server, and stranger.json, which pins another key.
func newOrigin(t *testing.T, ts *testscript.TestScript) *origin {
	t.Helper()
	p := &origin{notary: trusttest.NewNotary(t), registry: &shelf{files: map[string][]byte{}}}
	server := httptest.NewServer(p.registry)
	ts.Defer(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	p.name = host + "/prod/app"
	p.repository = p.notary.NewRepository(t, data.GUN(p.name))
	p.repository.Delegate("targets/releases")
	p.repository.Delegate("targets/qa")
	ts.Setenv("REPO", p.name)
	key, servers := p.repository.RootKeyID(), []string{p.notary.URL}
	for name, policy := range map[string]map[string]any{
		"policy.json":   p.policy(host, key, servers),
		"airgap.json":   p.policy(host, key, []string{}),
		"stranger.json": p.policy(host, strings.Repeat("0", 64), []string{}),
	} {
		raw, err := json.Marshal(policy)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), raw, 0o600))
	}
	return p
}

func (p *origin) policy(host, key string, servers []string) map[string]any {
	return map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": map[string]any{p.name: []string{key}}}},
		"notary":        map[string]any{"servers": map[string]any{host: servers}, "ca": map[string]any{host: p.notary.CA}},
	}
}

// release signs tags, each for an image for two platforms.
func (p *origin) release(ts *testscript.TestScript, tags []string) {
	for _, tag := range tags {
		p.repository.Sign(tag, p.image(ts, tag), "targets/releases", "targets/qa")
	}
	p.repository.Publish()
}

func (p *origin) image(ts *testscript.TestScript, tag string) digest.Digest {
	list := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, arch := range []string{"amd64", "arm64"} {
		config := p.add(ts, "blobs", ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}, Author: tag})
		layer := p.add(ts, "blobs", ocispec.MediaTypeImageLayer, "layer of "+tag+" for "+arch)
		manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{layer}}
		entry := p.add(ts, "manifests", ocispec.MediaTypeImageManifest, manifest)
		entry.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		list.Manifests = append(list.Manifests, entry)
	}
	return p.add(ts, "manifests", ocispec.MediaTypeImageIndex, list).Digest
}

func (p *origin) add(ts *testscript.TestScript, kind, mediaType string, content any) ocispec.Descriptor {
	raw, err := json.Marshal(content)
	ts.Check(err)
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	p.registry.put("/v2/prod/app/"+kind+"/"+string(d.Digest), raw)
	return d
}

// unplug takes both servers away: nothing in them is found any more.
func (p *origin) unplug() {
	gone := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	p.notary.Fault(gone)
	p.registry.lose("/")
}

// A shelf is a registry that only gives.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (s *shelf) put(path string, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = raw
}

// lose forgets what has a part in its path: "/blobs/" or "/manifests/".
func (s *shelf) lose(part string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.files, func(path string, _ []byte) bool { return strings.Contains(path, part) })
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	raw, ok := s.files[r.URL.Path]
	s.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write(raw)
}

// doorkeeper NAME PASSWORD starts a trust server for dtr.example.com that lets
// in who says so, and writes login.json, which names it. Without arguments it
// lets everybody in; its registry is then itself, too.
func doorkeeper(ts *testscript.TestScript, args []string) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, ok := r.BasicAuth()
		if len(args) == 2 && (!ok || name != args[0] || password != args[1]) {
			w.Header().Set("WWW-Authenticate", `Basic realm="dtr"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	ts.Defer(server.Close)
	ca := filepath.Join(ts.Getenv("WORK"), "door.pem")
	ts.Check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("login.json"), fmt.Appendf(nil,
		`{"content-trust": {"mode": "enforced"}, "notary": {"servers": {"dtr.example.com": [%q]}, "ca": {"dtr.example.com": %q}}}`, server.URL, ca), 0o600))
	ts.Setenv("DOOR", server.URL)
}
