package cli

import (
	"os"
	"strings"
	"sync"

	"github.com/moby/moby/api/types/container"
	"github.com/rogpeppe/go-internal/testscript"
)

// containers are those of the fake engine.
type containers struct {
	mu   sync.Mutex
	list []container.InspectResponse
}

// answer answers GET /containers/json and /containers/ID/json, and POST
// /containers/ID/stop. A nil answer has no body.
func (c *containers) answer(path string) (any, bool) {
	rest, ok := strings.CutPrefix(path, "containers/")
	if !ok {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if rest == "json" {
		listed := []container.Summary{}
		for _, one := range c.list {
			listed = append(listed, container.Summary{ID: one.ID})
		}
		return listed, true
	}
	id, action, _ := strings.Cut(rest, "/")
	for i := range c.list {
		one := &c.list[i]
		switch {
		case one.ID != id:
		case action == "json":
			return *one, true
		case action == "stop" && one.Name != "/stubborn":
			one.State = &container.State{}
			return nil, true
		}
	}
	return nil, false
}

// contains ID NAME IMAGE-ID IMAGE STATE RESTART [SERVICE] gives the engine a
// container.
func contains(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 6 {
		ts.Fatalf("usage: contains ID NAME IMAGE-ID IMAGE STATE RESTART [SERVICE]")
	}
	one := container.InspectResponse{
		ID: strings.Repeat(args[0], 64), Name: "/" + args[1], Image: args[2],
		Config:     &container.Config{Image: args[3]},
		HostConfig: &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyMode(args[5])}},
		State:      &container.State{Running: args[4] == "running", StartedAt: "2026-11-22T06:00:00.5Z"},
	}
	if len(args) > 6 {
		one.Config.Labels = map[string]string{"com.docker.swarm.service.name": args[6]}
	}
	c := &ts.Value(stageKey{}).(*stage).containers
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, one)
}

// condition knows who runs the tests: only root has the daemon's state.
func condition(name string) (bool, error) { return name == "root" && os.Geteuid() == 0, nil }
