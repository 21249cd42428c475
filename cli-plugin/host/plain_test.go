package host_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// engineOf serves an engine of some API version that answers GET /version.
func engineOf(t *testing.T, api, version string) *host.Host {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", api)
		switch r.URL.Path {
		case "/_ping":
		case "/version":
			_, _ = w.Write([]byte(version))
		default:
			http.Error(w, `{"message": "client version 1.52 is too new. Maximum supported API version is 1.39"}`, http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	engine, err := client.New(client.WithHost("tcp://" + strings.TrimPrefix(server.URL, "http://")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return &host.Host{Engine: engine}
}

// TestVersionOfOldEngine: docker's client does not speak to engines of Docker
// Enterprise 2.x, and that such a one runs is what has to be told.
func TestVersionOfOldEngine(t *testing.T) {
	t.Parallel()
	h := engineOf(t, "1.39", `{"Version": "18.09.11", "Platform": {"Name": "Docker Engine - Enterprise"}}`)
	got, err := h.Version(t.Context())
	if err != nil || got.Version != "18.09.11" || got.Platform.Name != "Docker Engine - Enterprise" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := h.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "too new") {
		t.Errorf("info: %v", err)
	}
	for name, answer := range map[string]string{"no JSON": "{", "wrong shape": "[]"} {
		if _, err := engineOf(t, "1.39", answer).Version(t.Context()); err == nil || !strings.Contains(err.Error(), "too new") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
