package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/theupdateframework/notary/tuf/data"
)

// signer wants the keys of timestamps to be the signer's, which makes ECDSA
// keys where a server left to itself makes Ed25519 ones, and the signer to
// talk to the server alone.
func (tb trial) signer(t *testing.T) {
	raw, err := os.ReadFile(tb.rootJSON(tb.Registry() + "/app"))
	if err != nil {
		t.Fatal(err)
	}
	var untrusted data.Signed
	if err := json.Unmarshal(raw, &untrusted); err != nil {
		t.Fatal(err)
	}
	root, err := data.RootFromSigned(&untrusted)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []data.RoleName{data.CanonicalTimestampRole, data.CanonicalSnapshotRole} {
		base, err := root.BuildBaseRole(role)
		if err != nil || base.ListKeys()[0].Algorithm() != data.ECDSAKey {
			t.Errorf("%s is not signed by the signer: %v, %v", role, base.ListKeys(), err)
		}
	}
	port, err := tb.signerPort()
	if err != nil {
		t.Fatal(err)
	}
	strangers := &tls.Config{RootCAs: tb.pool(t), MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}, ServerName: "localhost"}
	if err := greet(t.Context(), port, strangers); err == nil {
		t.Error("the signer talks to somebody without a certificate")
	}
	pair, err := tls.LoadX509KeyPair(tb.path("signer-client.crt"), tb.path("signer-client.key"))
	if err != nil {
		t.Fatal(err)
	}
	server := strangers.Clone()
	server.Certificates = []tls.Certificate{pair}
	if err := greet(t.Context(), port, server); err != nil {
		t.Errorf("the signer does not talk to the server's certificate: %v", err)
	}
}

// greet waits for the settings that a server of HTTP/2 sends first.
func greet(ctx context.Context, port int, config *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 9))
	return err
}

func (tb *Testbed) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(tb.CA())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// TestGuarded tries the servers that want to know who asks, with and without
// what lets one in.
func TestGuarded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	tb := Start(t, Docker)
	image, err := tb.UnsignedImage(ctx, "app:1")
	if err != nil {
		t.Fatal(err)
	}
	_, digest, _ := strings.Cut(image.Digest, "@")
	if digest == "" {
		digest = image.Digest
	}
	tokens := NewTokens(t, tb, "alice", "wonderland", "identity")
	basic, err := tb.StartBasicRegistry(ctx, "alice", "wonderland")
	if err != nil {
		t.Fatal(err)
	}
	guarded, err := tb.StartTokenRegistry(ctx, tokens)
	if err != nil {
		t.Fatal(err)
	}
	notary, err := tb.StartTokenNotary(ctx, tokens)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tb.StartTokenNotary(ctx, tokens); err == nil {
		t.Error("a second one was started beside the first")
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: tb.pool(t), MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	bearer := func(scope string) http.Header {
		token := fetchToken(t, client, tokens.URL, scope)
		return http.Header{"Authorization": {"Bearer " + token}}
	}
	login := func(password string) http.Header {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth("alice", password)
		return r.Header
	}
	manifest, tuf := "/v2/app/manifests/"+digest, "/v2/registry.example.com/app/_trust/tuf/root.json"
	for name, test := range map[string]struct {
		url    string
		header http.Header
		want   int
	}{
		"basic: nobody":              {basic.URL + manifest, nil, http.StatusUnauthorized},
		"basic: wrong password":      {basic.URL + manifest, login("x"), http.StatusUnauthorized},
		"basic":                      {basic.URL + manifest, login("wonderland"), http.StatusOK},
		"token: nobody":              {guarded.URL + manifest, nil, http.StatusUnauthorized},
		"token: another repository":  {guarded.URL + manifest, bearer("repository:other:pull"), http.StatusUnauthorized},
		"token: forged":              {guarded.URL + manifest, http.Header{"Authorization": {"Bearer a.b.c"}}, http.StatusUnauthorized},
		"token":                      {guarded.URL + manifest, bearer("repository:app:pull"), http.StatusOK},
		"notary: nobody":             {notary.URL + tuf, nil, http.StatusUnauthorized},
		"notary: another repository": {notary.URL + tuf, bearer("repository:registry.example.com/other:pull"), http.StatusUnauthorized},
		"notary":                     {notary.URL + tuf, bearer("repository:registry.example.com/app:pull"), http.StatusNotFound}, // it is empty
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, test.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if test.header != nil {
			req.Header = test.header
		}
		req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s: got %s, want %d", name, resp.Status, test.want)
		}
	}
	asked := tokens.Requests()
	if len(asked) == 0 || !cmp.Equal(asked[0].User, "alice") {
		t.Errorf("the token server remembers %+v", asked)
	}
}

// fetchToken asks for a token as an old client does, and by its identity token.
func fetchToken(t *testing.T, client *http.Client, realm, scope string) string {
	t.Helper()
	var answer struct {
		Token        string `json:"token"`
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
	ask := func(req *http.Request, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("the token server answers %s: %v", resp.Status, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, realm+"?"+url.Values{"service": {tokenService}, "scope": {scope}, "offline_token": {"true"}}.Encode(), http.NoBody)
	if err == nil {
		req.SetBasicAuth("alice", "wonderland")
	}
	ask(req, err)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {answer.RefreshToken}, "service": {tokenService}, "scope": {scope}}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, realm, strings.NewReader(form.Encode()))
	if err == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	ask(req, err)
	return answer.AccessToken
}
