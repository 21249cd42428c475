package engine

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/docker-stig/docker-stig/tests/testbed"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	tnotary "github.com/theupdateframework/notary"
	"github.com/theupdateframework/notary/client"
	"github.com/theupdateframework/notary/client/changelist"
	"github.com/theupdateframework/notary/cryptoservice"
	"github.com/theupdateframework/notary/passphrase"
	"github.com/theupdateframework/notary/storage"
	"github.com/theupdateframework/notary/trustmanager"
	"github.com/theupdateframework/notary/trustpinning"
	"github.com/theupdateframework/notary/tuf/data"
)

// The one user that guarded servers know.
const (
	user          = "alice"
	password      = "open-sesame-of-the-tests"
	wrongPassword = "barley-of-the-tests"
	identity      = "identity-token-of-the-tests"
)

// sign signs tags on a trust server, in this process, with keys of their own.
// The transport knows how to get in.
func sign(t *testing.T, server string, transport http.RoundTripper, gun string, tags map[string]string) (rootKeyID string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keys := cryptoservice.NewCryptoService(trustmanager.NewKeyMemoryStore(passphrase.ConstantRetriever("")))
	root, err := keys.Create(data.CanonicalRootRole, "", data.ECDSAKey)
	must(err)
	remote, err := storage.NewNotaryServerStore(server, data.GUN(gun), transport)
	must(err)
	repo, err := client.NewRepository(data.GUN(gun), server, remote, storage.NewMemoryStore(nil), trustpinning.TrustPinConfig{}, keys, changelist.NewMemChangelist())
	must(err)
	must(repo.Initialize([]string{root.ID()}, data.CanonicalSnapshotRole))
	for tag, dgst := range tags {
		sum, err := hex.DecodeString(digest.Digest(dgst).Encoded())
		must(err)
		must(repo.AddTarget(&client.Target{Name: tag, Hashes: data.Hashes{tnotary.SHA256: sum}, Length: 528}))
	}
	must(repo.Publish())
	return root.ID()
}

// trusting is a transport that trusts the testbed's authority.
func (b *bed) trusting(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusttest.Pool(t, b.CA()), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// A bearer is a transport with a token for one repository.
type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(req)
}

// guardedTrust signs an image on a trust server that wants tokens, and makes
// it the only one of the policy.
func (b *bed) guardedTrust(t *testing.T) (testbed.Image, *testbed.Tokens) {
	t.Helper()
	tokens := testbed.NewTokens(t, b.Testbed, user, password, identity)
	notary, err := b.StartTokenNotary(t.Context(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	image := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:1"))
	gun := b.image("prod/app")
	token, err := tokens.Issue(user, time.Now(), "repository:"+gun+":pull,push")
	if err != nil {
		t.Fatal(err)
	}
	key := sign(t, notary.URL, bearer{b.trusting(t), token}, gun, map[string]string{"1": image.Digest})
	b.pin(t, map[string]string{gun: key}, map[string]string{b.Registry(): notary.URL})
	return image, tokens
}

// pin writes a policy that trusts root keys by repository, on servers by host.
func (b *bed) pin(t *testing.T, keys, servers map[string]string) {
	t.Helper()
	pins, addresses, authorities := map[string][]string{}, map[string][]string{}, map[string]string{}
	for gun, key := range keys {
		pins[gun] = []string{key}
	}
	for host, url := range servers {
		addresses[host], authorities[host] = []string{url}, b.CA()
	}
	err := b.WritePolicy(map[string]any{
		"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": pins}},
		"notary":        map[string]any{"servers": addresses, "ca": authorities, "refresh": "1s"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// config replaces the docker client's configuration.
func (b *bed) config(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.variable("DOCKER_CONFIG"), "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secret makes sure that a text holds no password.
func secret(t *testing.T, text string) {
	t.Helper()
	for _, word := range []string{password, wrongPassword, identity} {
		for _, form := range []string{word, base64.StdEncoding.EncodeToString([]byte(user + ":" + word))} {
			if strings.Contains(text, form) {
				t.Errorf("%q is told to everybody:\n%s", form, text)
			}
		}
	}
}

// TestVerifyWithLogin asks a real trust server behind a token server, with
// logins as docker login leaves them.
func TestVerifyWithLogin(t *testing.T) {
	b := newBed(t, testbed.Docker)
	image, tokens := b.guardedTrust(t)
	host, scope := b.Registry(), "repository:"+b.image("prod/app")+":pull"
	helpers := t.TempDir()
	for name, script := range map[string]string{
		"good":  fmt.Sprintf(`echo '{"ServerURL":"%s","Username":"%s","Secret":"%s"}'`, host, user, password),
		"token": fmt.Sprintf(`echo '{"ServerURL":"%s","Username":"<token>","Secret":"%s"}'`, host, identity),
		"bad":   `echo "cannot decrypt ` + wrongPassword + `"; exit 1`,
	} {
		path := filepath.Join(helpers, "docker-credential-stig-"+name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	helper := func(name string) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); b.config(t, `{"credHelpers":{"`+host+`":"stig-`+name+`"}}`) }
	}
	login := func(secret string) func(*testing.T) {
		return func(t *testing.T) { t.Helper(); b.ok(t, "login", "--username", user, "--password", secret, host) }
	}
	once := func(method, user string) []testbed.TokenRequest {
		return []testbed.TokenRequest{{Method: method, User: user, Scopes: []string{scope}}}
	}
	nobody, byName, byToken := once(http.MethodGet, ""), once(http.MethodGet, user), once(http.MethodPost, user)
	for name, test := range map[string]struct {
		prepare func(t *testing.T)
		code    int
		want    string
		asked   []testbed.TokenRequest
	}{
		"nobody":                 {nil, 3, "there is none here for " + host + "; run: docker login " + host, nobody},
		"docker login":           {login(password), 0, image.Digest, byName},
		"wrong password":         {login(wrongPassword), 3, "it refuses the login for " + host + " (401): is the password still right? run: docker login " + host, byName},
		"credential helper":      {helper("good"), 0, image.Digest, byName},
		"identity token":         {helper("token"), 0, image.Digest, byToken},
		"helper that fails":      {helper("bad"), 3, "docker's credential helper", nil},
		"login for another host": {func(t *testing.T) { t.Helper(); b.config(t, `{"auths":{"example.com":{"auth":"YTpi"}}}`) }, 3, "there is none here for " + host, nobody},
	} {
		t.Run(name, func(t *testing.T) {
			b.config(t, "{}")
			b.env = []string{"PATH=" + helpers + string(os.PathListSeparator) + os.Getenv("PATH"), "STIG_STATE=" + t.TempDir()}
			if test.prepare != nil {
				test.prepare(t)
			}
			tokens.Requests()
			out := b.stig(t, test.code, "trust", "verify", image.Ref)
			if !strings.Contains(out.stdout, test.want) {
				t.Errorf("want %q in\n%s%s", test.want, out.stdout, out.stderr)
			}
			secret(t, out.stdout+out.stderr)
			if diff := cmp.Diff(test.asked, tokens.Requests()); diff != "" {
				t.Errorf("asked of the token server (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAuthzWithLogin gives the daemon a login of its own.
func TestAuthzWithLogin(t *testing.T) {
	b := newBed(t, testbed.Docker)
	image, tokens := b.guardedTrust(t)
	host, dir := b.Registry(), t.TempDir()
	file := filepath.Join(dir, "auth.json")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir) // as systemd tells the daemon
	b.enforce(t)
	if err := os.Unsetenv("CREDENTIALS_DIRECTORY"); err != nil { // and nobody else
		t.Fatal(err)
	}
	denied := func(want string) {
		t.Helper()
		b.untouched(t, func() {
			eventually(t, want, func() string {
				out := b.docker(t, "run", "--network", "none", image.Ref)
				if out.code == 0 || !strings.Contains(out.stderr, "denied by plugin docker-stig-authz") || !strings.Contains(out.stderr, "(unreachable)") {
					t.Errorf("exit code %d, %s", out.code, out.stderr)
				}
				secret(t, out.stderr)
				return out.stderr
			})
		})
	}
	denied("there is none here for " + host + "; run: docker stig authz login " + host)

	tokens.Requests()
	if err := access.OpenFile(file).Set(host, access.Login{Username: user, Password: wrongPassword}); err != nil {
		t.Fatal(err)
	}
	// However often the daemon asks, the account does not get locked.
	denied("and is not shown this login again before")
	if asked := byUser(tokens); asked != 1 {
		t.Errorf("the daemon showed a wrong password %d times", asked)
	}

	if err := access.OpenFile(file).Set(host, access.Login{Username: user, Password: password}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "prod/app:1", func() string {
		return b.docker(t, "run", "--rm", "--network", "none", image.Ref).stdout
	})
}

// byUser counts the requests for a token since the last look that came with a
// login.
func byUser(tokens *testbed.Tokens) int {
	return len(slices.DeleteFunc(tokens.Requests(), func(r testbed.TokenRequest) bool { return r.User == "" }))
}

// eventually asks until an answer has the words wanted: the daemon does not
// ask a server anew at each question.
func eventually(t *testing.T, want string, ask func() string) {
	t.Helper()
	answer := ""
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if answer = ask(); strings.Contains(answer, want) || t.Failed() {
			return
		}
	}
	t.Errorf("want %q in\n%s", want, answer)
}
