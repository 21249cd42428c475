package cli

import (
	"strings"
	"sync"

	"github.com/moby/moby/api/types/image"
	"github.com/rogpeppe/go-internal/testscript"
)

// images are those of the fake engine, by the names they are asked for by.
type images struct {
	mu   sync.Mutex
	held map[string]image.InspectResponse
}

// inspect answers GET /images/NAME/json.
func (i *images) inspect(path string) (any, bool) {
	name, ok := strings.CutPrefix(path, "images/")
	name, whole := strings.CutSuffix(name, "/json")
	if !ok || !whole {
		return nil, false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	answer, ok := i.held[name]
	return answer, ok
}

// holds NAME ID [REPOSITORY@DIGEST...] gives the engine an image.
func holds(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: holds NAME ID [REPOSITORY@DIGEST...]")
	}
	i := &ts.Value(stageKey{}).(*stage).images
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.held == nil {
		i.held = map[string]image.InspectResponse{}
	}
	answer := image.InspectResponse{ID: args[1], RepoTags: args[:1], RepoDigests: args[2:]}
	i.held[args[0]], i.held[args[1]] = answer, answer
}
