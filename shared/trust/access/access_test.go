package access_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/google/go-cmp/cmp"
)

func TestTokenIsAskedForOnce(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth)}, UserAgent: "docker-stig/test"})
	base, client := registry(t, c, dtr.host+"/prod/app")
	mustGet(t, client, base+"/v2/prod/app/manifests/v1")
	mustGet(t, client, base+"/v2/prod/app/manifests/v2")
	_, second := registry(t, c, dtr.host+"/prod/app")
	mustGet(t, second, base+"/v2/prod/app/manifests/v3")
	bearer := "Bearer " + token + "-1"
	if diff := cmp.Diff([]string{"", bearer, bearer, bearer}, dtr.requests()); diff != "" {
		t.Errorf("shown to the registry (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{basicOf}, auth.requests()); diff != "" {
		t.Errorf("shown to the token server (-want +got):\n%s", diff)
	}
	want := []url.Values{{"service": {"the registry"}, "scope": {"repository:prod/app:pull"}, "account": {"alice"}}}
	if diff := cmp.Diff(want, tokens.asked); diff != "" {
		t.Errorf("asked of the token server (-want +got):\n%s", diff)
	}
	if dtr.agents[0] != "docker-stig/test" || auth.agents[0] != "docker-stig/test" {
		t.Errorf("user agents %q, %q", dtr.agents[0], auth.agents[0])
	}
}

func TestHubNames(t *testing.T) {
	tokens := &tokenServer{}
	auth := newSite(t, "auth.docker.io", tokens.ServeHTTP)
	hub := newSite(t, "registry-1.docker.io", guarded(tokens.current, auth.url+"/token"))
	notary := newSite(t, "notary.docker.io", guarded(tokens.current, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only("docker.io", alice), CertDirs: []string{certs(t, auth, hub, notary)}})
	base, client := registry(t, c, "alpine")
	mustGet(t, client, base+"/v2/library/alpine/manifests/3")
	mustGet(t, trustServer(t, c, notary.url, "", "docker.io/library/alpine"), notary.url+"/v2/docker.io/library/alpine/_trust/tuf/root.json")
	var scopes []string
	for _, form := range tokens.asked {
		scopes = append(scopes, form.Get("scope"))
	}
	want := []string{"repository:library/alpine:pull", "repository:docker.io/library/alpine:pull"}
	if diff := cmp.Diff(want, scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

func TestIdentityTokenIsPosted(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only(dtr.host, access.Login{IdentityToken: identity}), CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/v2/")
	want := []url.Values{{
		"service": {"the registry"}, "scope": {"repository:app:pull"},
		"grant_type": {"refresh_token"}, "refresh_token": {identity}, "client_id": {"docker"},
	}}
	if diff := cmp.Diff(want, tokens.asked); diff != "" {
		t.Errorf("asked of the token server (-want +got):\n%s", diff)
	}
}

func TestBasicOverHTTP2(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "want HTTP/2", http.StatusHTTPVersionNotSupported)
			return
		}
		withBasic(w, r)
	})
	c := access.New(access.Options{Credentials: only(dtr.host, alice)})
	client := trustServer(t, c, dtr.url, dtr.ca, dtr.host+"/app")
	mustGet(t, client, dtr.url+"/v2/")
	mustGet(t, client, dtr.url+"/v2/")
	if diff := cmp.Diff([]string{"", basicOf, basicOf}, dtr.requests()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestBearerIsPreferredToBasic(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("WWW-Authenticate", `Basic realm="here"`)
		if r.Header.Get("Authorization") == "Bearer "+tokens.current() {
			fmt.Fprint(w, "content")
			return
		}
		w.Header().Add("WWW-Authenticate", `Bearer realm="`+auth.url+`/token"`)
		w.Header().Add("WWW-Authenticate", `Basic realm="there"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/v2/")
}

func TestManyRequestsOneToken(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if got, err := get(t, client, base+"/v2/"); err != nil || got != "content" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	group.Wait()
	if tokens.issued != 1 {
		t.Errorf("%d tokens were asked for, want 1", tokens.issued)
	}
}

func TestForgottenTokenIsRenewed(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/v2/")
	tokens.expire()
	mustGet(t, client, base+"/v2/")
	if tokens.issued != 2 {
		t.Errorf("%d tokens, want 2", tokens.issued)
	}
}

func TestLogoutHoldsAtOnce(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	creds := only(dtr.host, alice)
	c := access.New(access.Options{Credentials: creds, CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/v2/")
	creds.set(dtr.host, access.Login{})
	if _, err := get(t, client, base+"/v2/"); !errors.Is(err, access.ErrNoLogin) {
		t.Fatalf("after the logout: %v", err)
	}
	creds.set(dtr.host, alice)
	mustGet(t, client, base+"/v2/")
}

func TestNobodyMayReadPublicImages(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{anonymous: true}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	dtr := newSite(t, newHost("dtr"), guarded(tokens.current, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only("elsewhere.example.com", alice), CertDirs: []string{certs(t, dtr, auth)}})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/v2/")
	if diff := cmp.Diff([]string{""}, auth.requests()); diff != "" {
		t.Errorf("shown to the token server (-want +got):\n%s", diff)
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	store := newSite(t, newHost("store"), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "content") })
	greedy := newSite(t, newHost("greedy"), withBasic)
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != basicOf {
			withBasic(w, r)
			return
		}
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, store, greedy)}})
	base, client := registry(t, c, dtr.host+"/app")
	mustGet(t, client, base+"/v2/?to="+store.url)
	if _, err := get(t, client, base+"/v2/?to="+greedy.url); err == nil || !strings.Contains(err.Error(), "status 401") {
		t.Errorf("a store that asks for the login: %v", err)
	}
	for _, other := range []*site{store, greedy} {
		if diff := cmp.Diff([]string{""}, other.requests()); diff != "" {
			t.Errorf("shown to %s (-want +got):\n%s", other.host, diff)
		}
	}
	trusted := trustServer(t, c, dtr.url, dtr.ca, dtr.host+"/app")
	for name, test := range map[string]struct {
		client   *http.Client
		to, want string
	}{
		"registry to plain HTTP":          {client, "http://" + store.host, "which is not https"},
		"registry in a circle":            {client, "?to=", "redirects more than 3 times"},
		"trust server to another host":    {trusted, store.url, "which the policy does not name"},
		"trust server to plain HTTP":      {trusted, "http://" + dtr.host, "which the policy does not name"},
		"trust server in a circle":        {trusted, "?to=", "redirects more than 3 times"},
		"trust server to another's login": {trusted, greedy.url, "which the policy does not name"},
	} {
		if _, err := get(t, test.client, base+"/v2/?to="+url.QueryEscape(test.to)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if shown := append(store.requests(), greedy.requests()...); len(shown) > 0 {
		t.Errorf("hosts were asked that are not to be: %q", shown)
	}
}

func TestOneHostsLoginIsNotAnothers(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), withBasic)
	c := access.New(access.Options{Credentials: only("other.example.com", alice), CertDirs: []string{certs(t, dtr)}})
	base, client := registry(t, c, dtr.host+"/app")
	if _, err := get(t, client, base+"/v2/"); !errors.Is(err, access.ErrNoLogin) {
		t.Errorf("want no login: %v", err)
	}
	if diff := cmp.Diff([]string{""}, dtr.requests()); diff != "" {
		t.Error(diff)
	}
}

func TestClientsOnlyRead(t *testing.T) {
	t.Parallel()
	dtr := newSite(t, newHost("dtr"), withBasic)
	client := trustServer(t, access.New(access.Options{}), dtr.url, dtr.ca, dtr.host+"/app")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, dtr.url, strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Do(req); err == nil || !strings.Contains(err.Error(), "only reads") {
		t.Error(err)
	}
}

func TestAskingAPersonIsNotTheServersTime(t *testing.T) {
	t.Parallel()
	const limit = 3 * time.Second // of which the server needs little, on a busy machine too
	dtr := newSite(t, newHost("dtr"), withBasic)
	creds := only(dtr.host, alice)
	creds.before = func() { <-time.After(limit + limit/4) } // a person, who is slower than the server may be
	client := trustServer(t, access.New(access.Options{Credentials: creds, Timeout: limit}), dtr.url, dtr.ca, dtr.host+"/app")
	mustGet(t, client, dtr.url+"/v2/")
}

func TestTokenServerThatMoves(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	gone := newSite(t, newHost("gone"), says(503, "", ""))
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	var realm atomic.Value
	realm.Store(gone.url)
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		guarded(tokens.current, realm.Load().(string)+"/token")(w, r)
	})
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth, gone)}})
	base, client := registry(t, c, dtr.host+"/app")
	_, err := get(t, client, base+"/v2/")
	told(t, err, "token server "+gone.url+": it answers 503")
	realm.Store(auth.url)
	mustGet(t, client, base+"/v2/")
}

// realmOf puts a host into the challenge.
type realmOf struct {
	http.ResponseWriter
	host string
}

func (w realmOf) WriteHeader(code int) {
	header := w.Header()
	header.Set("WWW-Authenticate", strings.ReplaceAll(header.Get("WWW-Authenticate"), "REALM", w.host))
	w.ResponseWriter.WriteHeader(code)
}
