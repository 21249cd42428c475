package engineapi

import (
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method, uri, pattern, name string
		use                        Use
	}{
		{"POST", "/containers/create", "/containers/create", "", Create},
		{"POST", "/v1.41/containers/create?name=x", "/containers/create", "", Create},
		{"POST", "/v1.41/containers/a/b/start", "/containers/{name:.*}/start", "a/b", Start},
		{"POST", "/v1.41/%63ontainers/x/start", "/containers/{name:.*}/start", "x", Start},
		{"POST", "/containers%2Fx%2Fstart", "/containers/{name:.*}/start", "x", Start},
		{"POST", "http://h/v1/containers/x/start", "/containers/{name:.*}/start", "x", Start},
		{"POST", "/containers/x/start/restart", "/containers/{name:.*}/restart", "x/start", Revive},
		{"POST", "/containers/create/start", "/containers/{name:.*}/start", "create", Start},
		{"POST", "/images/create/tag", "/images/{name:.*}/tag", "create", Pass},
		{"POST", "/plugins/a/b:c/enable", "/plugins/{name:.*}/enable", "a/b:c", Plugins},
		{"POST", "/services/a/b/update", "/services/a/b/update", "", Unknown},
		{"POST", "/containers/x%0ay/start", "/containers/x\ny/start", "", Unknown},
		{"POST", "/v/containers/create", "/v/containers/create", "", Unknown},
		{"POST", "/volumes/create", "/volumes/create", "", Volume},
		{"POST", "", "", "", Unknown},
		{"DELETE", "/plugins/x", "/plugins/{name:.*}", "x", Plugins},
		{"DELETE", "/containers/x", "/containers/{name:.*}", "x", Pass},
		{"DELETE", "/nothing/x", "/nothing/x", "", Unknown},
		{"GET", "/containers/json", "", "", Pass},
		{"GET", "/v1.41/containers/a/b/archive?path=/etc", "/containers/{name:.*}/archive", "a/b", Read},
		{"HEAD", "/containers/x/archive", "/containers/{name:.*}/archive", "x", Read},
		{"GET", "/containers/x/archives", "", "", Pass},
		{"GET", "/swarm", "/swarm", "", Swarm},
		{"GET", "/v1.56/swarm/unlockkey", "/swarm/unlockkey", "", Swarm},
		{"DELETE", "/containers/x/checkpoints/c?dir=/d", "/containers/{name}/checkpoints/{checkpoint}", "x", Checkpoint},
	}
	for _, test := range tests {
		got, err := Parse(test.method, test.uri)
		if test.uri == "" {
			if err == nil {
				t.Errorf("%s %q parses", test.method, test.uri)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %q: %v", test.method, test.uri, err)
			continue
		}
		if got.Route.Use != test.use || got.Route.Pattern != test.pattern || got.Name != test.name {
			t.Errorf("%s %q: got use %d, %q, name %q", test.method, test.uri, got.Route.Use, got.Route.Pattern, got.Name)
		}
	}
}

// mobyMux routes our table as moby's server.CreateMux routes its own.
func mobyMux() *mux.Router {
	m := mux.NewRouter()
	for _, route := range Routes() {
		handler := http.NotFoundHandler()
		m.Path("/v{version:[0-9.]+}" + route.Pattern).Methods(route.Method).Handler(handler)
		m.Path(route.Pattern).Methods(route.Method).Handler(handler)
	}
	return m
}

// FuzzParse holds Parse against gorilla/mux, which is what moby routes with:
// wherever moby would find a handler, we find the route, and no other.
func FuzzParse(f *testing.F) {
	for _, uri := range []string{
		"/v1.41/containers/create", "/containers/a/b/start?x=y", "/%63ontainers/x/start", "http://h/v1/containers/x/start",
		"/v1.1/services/x/update", "/containers/x%0ay/start", "/v1./v2/build", "*", "", "//", "/v..../session", "/images/create/tag",
	} {
		f.Add("POST", uri)
		f.Add("DELETE", uri)
	}
	router := mobyMux()
	f.Fuzz(func(t *testing.T, method, uri string) {
		got, err := Parse(method, uri)
		if method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions {
			return
		}
		u, urlErr := url.ParseRequestURI(uri)
		if (err == nil) != (urlErr == nil) {
			t.Fatalf("our error is %v, net/url's %v", err, urlErr)
		}
		if urlErr != nil || clean(u.Path) != u.Path {
			return // the router redirects before it matches
		}
		var match mux.RouteMatch
		found := router.Match(&http.Request{Method: method, URL: u}, &match) && match.MatchErr == nil
		if found != (got.Route.Use != Unknown) {
			t.Fatalf("%s %q: moby finds a handler: %v, and we route to %q", method, uri, found, got.Route.Pattern)
		}
		if !found {
			return
		}
		pattern, err := match.Route.GetPathTemplate()
		if err != nil {
			t.Fatal(err)
		}
		if pattern = strings.TrimPrefix(pattern, "/v{version:[0-9.]+}"); pattern != got.Route.Pattern {
			t.Fatalf("%s %q: moby routes to %q, we to %q", method, uri, pattern, got.Route.Pattern)
		}
		if name := firstVariable(pattern, match.Vars); name != got.Name {
			t.Fatalf("%s %q: moby reads %q, we %q", method, uri, name, got.Name)
		}
	})
}

// clean is gorilla/mux's cleanPath, which is not exported.
func clean(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	cleaned := path.Clean(p)
	if p[len(p)-1] == '/' && cleaned != "/" {
		cleaned += "/"
	}
	return cleaned
}

var variableName = regexp.MustCompile(`\{([a-z]+)`)

func firstVariable(pattern string, vars map[string]string) string {
	if m := variableName.FindStringSubmatch(pattern); m != nil {
		return vars[m[1]]
	}
	return ""
}

func TestParam(t *testing.T) {
	t.Parallel()
	tests := []struct {
		uri, want string
		fails     bool
	}{
		{"/containers/x/start", "", false},
		{"/containers/x/start?checkpoint=c", "c", false},
		{"/containers/x/start?Checkpoint=c", "", false},
		{"/containers/x/start?checkpoint=c&checkpoint=", "", true},
		{"/containers/x/start?a=%zz", "", true},
		{"/containers/x/start?a;checkpoint=c", "", true},
	}
	for _, test := range tests {
		target, err := Parse("POST", test.uri)
		if err != nil {
			t.Fatal(err)
		}
		got, err := target.param("checkpoint")
		if got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: got %q, %v", test.uri, got, err)
		}
	}
}

func TestCreateName(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"/containers/create?name=web":  "web",
		"/containers/create?name=/web": "web",
		"/containers/create":           "",
		"/containers/create?name=":     "",
	} {
		target, err := Parse("POST", uri)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := target.CreateName(); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", uri, got, err, want)
		}
	}
	for _, uri := range []string{
		"/containers/create?name=a&name=b", "/containers/create?name=..%2f..%2fx", "/containers/create?name=web%3Fforce",
		"/containers/create?name=a/b", "/containers/create?name=two%20words%",
	} {
		target, err := Parse("POST", uri)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := target.CreateName(); err == nil {
			t.Errorf("%s: taken for %q", uri, name)
		}
	}
}
