package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/shared/logtest"
)

// A fleet is an engine whose containers run an image that no policy covers.
type fleet struct {
	host string

	mu      sync.Mutex
	ids     []string
	stopped int
	onStop  func() // is called while a container is being stopped
}

func newFleet(t *testing.T, ids ...string) *fleet {
	t.Helper()
	f := &fleet{ids: ids}
	path := filepath.Join(t.TempDir(), "e")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: f}}
	server.Start()
	t.Cleanup(server.Close)
	f.host = "unix://" + path
	return f
}

func (f *fleet) has(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = ids
}

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	last, image := parts[len(parts)-1], "sha256:"+strings.Repeat("a", 64)
	switch {
	case last == "stop":
		f.stop()
		w.WriteHeader(http.StatusNoContent)
	case last == "info":
		_, _ = fmt.Fprint(w, `{"Driver":"overlay2","DockerRootDir":"/var/lib/docker","DefaultRuntime":"runc","CgroupVersion":"2"}`)
	case strings.HasSuffix(r.URL.Path, "/containers/json"):
		_ = json.NewEncoder(w).Encode(f.list())
	case slices.Contains(parts, "containers"):
		id := parts[len(parts)-2]
		_ = json.NewEncoder(w).Encode(container.InspectResponse{
			ID: id, Name: "/" + id[:6], Image: image, Config: &container.Config{Image: "example.com/app:1"},
			State: &container.State{Running: true, Status: "running"}, HostConfig: &container.HostConfig{},
		})
	case slices.Contains(parts, "images"):
		_, _ = fmt.Fprintf(w, `{"Id":%q,"RepoTags":["example.com/app:1"]}`, image)
	}
}

func (f *fleet) list() []map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []map[string]string
	for _, id := range f.ids {
		list = append(list, map[string]string{"Id": id})
	}
	return list
}

func (f *fleet) stop() {
	f.mu.Lock()
	f.stopped++
	onStop := f.onStop
	f.mu.Unlock()
	if onStop != nil {
		onStop()
	}
}

func containerID(i int) string { return fmt.Sprintf("%064x", i) }

// policy is one for the fleet's engine.
func (f *fleet) policy(mode, action string) string {
	return fmt.Sprintf(`{"content-trust": {"mode": %q}, "engine": %q, "sweep": {"every": "0s", "action": %q}}`, mode, f.host, action)
}

// loaded is a loader with a policy in force, and the handler it is for.
func loaded(t *testing.T, text string, log *slog.Logger) (*loader, *authz.Handler) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLoader(serveOptions{policy: path, state: filepath.Join(dir, "state"), records: filepath.Join(dir, "log")}, log)
	t.Cleanup(func() { l.close(context.WithoutCancel(t.Context())) })
	return l, authz.NewHandler(l.loadOrFault(t.Context()), l.records, l.log)
}

// TestSweepEndsWithItsPolicy: once another policy is in force, nothing is
// stopped by the one before.
func TestSweepEndsWithItsPolicy(t *testing.T) {
	f := newFleet(t, containerID(1), containerID(2), containerID(3), containerID(4))
	log := &logtest.Log{}
	l, handler := loaded(t, f.policy("enforced", "stop"), log.Logger())
	f.onStop = func() {
		if err := os.WriteFile(l.path, []byte(f.policy("permissive", "log")), 0o600); err != nil {
			t.Error(err)
		}
		reloadPolicy(t.Context(), handler, l, l.log)
	}
	if ok := l.sweep(t.Context(), map[string]string{}); !ok || f.stopped != 1 {
		t.Errorf("%d containers were stopped, one of them before the policy changed:\n%s", f.stopped, log)
	}
	if ok := l.sweep(t.Context(), map[string]string{}); !ok || f.stopped != 1 || l.swept.Load().Refused != 4 {
		t.Errorf("%d containers were stopped; the sweep of the new policy found %+v", f.stopped, l.swept.Load())
	}
}

// TestSweepEndsWhileItJudges, and starts no question about another container.
func TestSweepEndsWhileItJudges(t *testing.T) {
	f := newFleet(t, containerID(1))
	l, _ := loaded(t, f.policy("enforced", "stop"), slog.New(slog.DiscardHandler))
	l.end() // as put does before the next policy is in force
	if ok := l.sweep(t.Context(), map[string]string{}); !ok || f.stopped != 0 || l.swept.Load().OK {
		t.Errorf("got %v, %d stopped, %+v", ok, f.stopped, l.swept.Load())
	}
}

// TestSweepForgetsWhatIsGone: what was told of containers goes with them.
func TestSweepForgetsWhatIsGone(t *testing.T) {
	f := newFleet(t)
	l, _ := loaded(t, f.policy("permissive", "log"), slog.New(slog.DiscardHandler))
	known := map[string]string{}
	for i := range 5 {
		f.has(containerID(i))
		if l.sweep(t.Context(), known); len(known) != 1 || known[containerID(i)] == "" {
			t.Errorf("after container %d, known are %v", i, known)
		}
	}
}
