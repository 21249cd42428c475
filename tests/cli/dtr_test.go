package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/docker-stig/docker-stig/tests/doubles"
)

// dtr PATH:TAG... starts a double of DTR and a registry at one address, which
// stores these tags, and nobody has signed them. It sets STIG_DTR_URL and what
// else docker stig needs to sign in, and DTR to the host of the images. The
// registry lets DTR's own account in. A tag with a ! behind it holds something
// else than DTR says.
func serveDTR(ts *testscript.TestScript, _ bool, args []string) {
	ctx := ts.Value(stageKey{}).(*stage).trust.t.Context()
	store := &shelf{files: map[string][]byte{}}
	var repositories []doubles.Repository
	for _, arg := range args {
		name, moved := strings.CutSuffix(arg, "!")
		path, tag, _ := strings.Cut(name, ":")
		namespace, repository, _ := strings.Cut(path, "/")
		raw := manifestOf(ts, name)
		repositories = append(repositories, doubles.Repository{Namespace: namespace, Name: repository, Tags: []doubles.Tag{{Name: tag, Digest: string(digest.FromBytes(raw))}}})
		if moved {
			raw = manifestOf(ts, arg)
		}
		store.put("/v2/"+path+"/manifests/"+tag, raw)
	}
	double, err := doubles.NewDTR(ctx, doubles.DTROptions{Repositories: repositories})
	ts.Check(err)
	ts.Defer(func() { _ = double.Close() })
	target, err := url.Parse(double.URL())
	ts.Check(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(double.CA())
	api := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
	}
	account := doubles.DefaultAccounts()[0]
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		switch {
		case !strings.HasPrefix(r.URL.Path, "/v2/"):
			api.ServeHTTP(w, r)
		case name == account.Username && password == account.Password:
			store.ServeHTTP(w, r)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="DTR"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	ts.Defer(front.Close)
	host := strings.TrimPrefix(front.URL, "https://")
	certs := filepath.Join(ts.Getenv("DOCKER_CONFIG"), "tls", host)
	ts.Check(os.MkdirAll(certs, 0o700))
	ca := filepath.Join(certs, "ca.crt")
	ts.Check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	for key, value := range map[string]string{
		"STIG_DTR_URL": front.URL, "STIG_DTR_CA": ca, "STIG_DTR_USERNAME": account.Username, "STIG_DTR_PASSWORD": account.Password,
		"DTR": host, "DTR_SECRET": account.Password,
	} {
		ts.Setenv(key, value)
	}
}

// manifestOf is a manifest that no other name has.
func manifestOf(ts *testscript.TestScript, name string) []byte {
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(name), Size: int64(len(name))},
		Layers: []ocispec.Descriptor{},
	})
	ts.Check(err)
	return raw
}
