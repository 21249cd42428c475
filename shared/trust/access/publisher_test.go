package access_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/google/go-cmp/cmp"
)

func publisher(t *testing.T, c *access.Clients, base, gun string) http.RoundTripper {
	t.Helper()
	transport, err := c.Publisher(base, "", gun)
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

func post(t *testing.T, over http.RoundTripper, address string, body io.Reader) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := over.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// TestPublisher sends a body once more after the first 401, whole, with a
// token that is good for push. Who only reads has another.
func TestPublisher(t *testing.T) {
	t.Parallel()
	tokens := &tokenServer{}
	auth := newSite(t, newHost("auth"), tokens.ServeHTTP)
	var bodies []string
	guard := guarded(tokens.current, auth.url+"/token")
	dtr := newSite(t, newHost("dtr"), func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(raw))
		guard(w, r)
	})
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth)}})
	gun := dtr.host + "/app"
	over := publisher(t, c, dtr.url, gun)
	for range 2 {
		if code, err := post(t, over, dtr.url+"/v2/", strings.NewReader("signed")); err != nil || code != http.StatusOK {
			t.Fatalf("%d, %v", code, err)
		}
	}
	mustGet(t, trustServer(t, c, dtr.url, "", gun), dtr.url+"/v2/")
	if diff := cmp.Diff([]string{"signed", "signed", "signed"}, bodies[:3]); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	var scopes []string
	for _, form := range tokens.asked {
		scopes = append(scopes, form.Get("scope"))
	}
	if diff := cmp.Diff([]string{"repository:" + gun + ":push,pull", "repository:" + gun + ":pull"}, scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

// TestPublisherGoesNowhereElse wants no body and no login anywhere but on the
// server that was named, and no body that could not be sent twice.
func TestPublisherGoesNowhereElse(t *testing.T) {
	t.Parallel()
	other := newSite(t, newHost("other"), withBasic)
	dtr := newSite(t, newHost("dtr"), withBasic)
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, other)}})
	over := publisher(t, c, dtr.url, dtr.host+"/app")
	for address, body := range map[string]io.Reader{
		other.url + "/v2/":         strings.NewReader("signed"),
		"http://" + dtr.host + "/": strings.NewReader("signed"),
		dtr.url + "/v2/":           io.MultiReader(strings.NewReader("signed")),
	} {
		if code, err := post(t, over, address, body); err == nil {
			t.Errorf("%s answered %d", address, code)
		}
	}
	if _, err := post(t, trustServer(t, c, dtr.url, "", dtr.host+"/app").Transport, dtr.url+"/v2/", strings.NewReader("signed")); err == nil {
		t.Error("a client that only reads has sent a body")
	}
	if len(other.requests())+len(dtr.requests()) != 0 {
		t.Errorf("came to others: %v, to the server: %v", other.requests(), dtr.requests())
	}
}

// TestPublisherIsRefused says what was to be done, and shows the login once.
func TestPublisherIsRefused(t *testing.T) {
	t.Parallel()
	auth := newSite(t, newHost("auth"), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	dtr := newSite(t, newHost("dtr"), guarded(func() string { return "" }, auth.url+"/token"))
	c := access.New(access.Options{Credentials: only(dtr.host, alice), CertDirs: []string{certs(t, dtr, auth)}})
	over := publisher(t, c, dtr.url, dtr.host+"/app")
	for range 2 {
		if _, err := post(t, over, dtr.url+"/v2/", strings.NewReader("signed")); err == nil || !strings.Contains(err.Error(), "may it write to this repository?") {
			t.Errorf("%v", err)
		}
	}
	if shown := auth.requests(); len(shown) != 1 {
		t.Errorf("the login was shown %d times", len(shown))
	}
}
