// Package enginetest is a fake of the engine's API on a unix socket, for
// tests of what asks it. It answers inspects as moby does and remembers what
// it was asked. Claims about real engines rest on the real ones.
package enginetest

import (
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// An Image is an image the fake holds.
type Image struct {
	ID          string   `json:"Id"`
	RepoTags    []string `json:"RepoTags"`
	RepoDigests []string `json:"RepoDigests"`
}

// A Container is a container the fake holds.
type Container struct {
	ID     string `json:"Id"`
	Name   string // with the slash in front
	Image  string // the image's ID
	Config struct {
		Image string
	}
	HostConfig struct {
		Privileged bool
		Mounts     []Mount `json:",omitempty"`
	}
}

// A Mount is a mount of a container.
type Mount struct{ Type, Source, Target string }

// An Engine is a fake engine. Its fields are set before it is asked; what
// changes later goes through its methods.
type Engine struct {
	API          string // the newest version it speaks; "" is 1.55
	Driver       string
	DriverStatus [][2]string
	Images       []Image
	Services     map[string]any // answers to GET /services/ID
	Volumes      map[string]any // answers to GET /volumes/NAME
	Execs        map[string]any // answers to GET /exec/ID/json
	Before       func(r *http.Request)

	mu         sync.Mutex
	containers []Container
	asked      []string
	url        string
}

// Containerd says that the engine has the containerd image store.
func Containerd() *Engine {
	return &Engine{Driver: "overlayfs", DriverStatus: [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}}
}

// Graphdriver says that the engine has a graphdriver image store.
func Graphdriver() *Engine {
	return &Engine{Driver: "overlay2", DriverStatus: [][2]string{{"Backing Filesystem", "extfs"}}}
}

// Start serves the engine until the test ends.
func (e *Engine) Start(tb testing.TB) *Engine {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "e")
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: e}}
	server.Start()
	tb.Cleanup(server.Close)
	e.url = "unix://" + path
	return e
}

// URL is where the engine listens.
func (e *Engine) URL() string { return e.url }

// Add makes a container of an image under a name.
func (e *Engine) Add(id, name, imageID, imageName string, mounts ...Mount) {
	c := Container{ID: id, Name: "/" + name, Image: imageID}
	c.Config.Image = imageName
	c.HostConfig.Mounts = mounts
	e.mu.Lock()
	defer e.mu.Unlock()
	e.containers = append(e.containers, c)
}

// Privilege gives a container of the fake the host.
func (e *Engine) Privilege(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.containers {
		if e.containers[i].ID == id {
			e.containers[i].HostConfig.Privileged = true
		}
	}
}

// Holds reports whether a container exists.
func (e *Engine) Holds(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.containers, func(c Container) bool { return c.ID == id })
}

// Asked lists the requests so far, as "GET /containers/ID/json", without
// version and query.
func (e *Engine) Asked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.asked)
}

// ServeHTTP answers one request.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.Before != nil {
		e.Before(r)
	}
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v1."); ok {
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, r.Method+" "+path)
	w.Header().Set("Api-Version", cmp.Or(e.API, "1.55"))
	if path == "/_ping" {
		return
	}
	if answer, ok := e.answer(r.Method, path); ok {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": "No such object: " + path})
}

func (e *Engine) answer(method, path string) (any, bool) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	name, inspect := strings.CutSuffix(rest, "/json")
	switch {
	case method == http.MethodDelete && kind == "containers":
		before := len(e.containers)
		e.containers = slices.DeleteFunc(e.containers, func(c Container) bool { return c.ID == name || c.Name == "/"+name })
		return map[string]string{}, len(e.containers) < before
	case method != http.MethodGet:
		return nil, false
	case kind == "info":
		return map[string]any{"Driver": e.Driver, "DriverStatus": e.DriverStatus}, true
	case kind == "containers" && rest == "json":
		return e.list(), true
	case kind == "containers" && inspect:
		return e.container(name)
	case kind == "images" && inspect:
		return e.image(name)
	case kind == "services":
		answer, ok := e.Services[rest]
		return answer, ok
	case kind == "volumes":
		answer, ok := e.Volumes[rest]
		return answer, ok
	case kind == "exec" && inspect:
		answer, ok := e.Execs[name]
		return answer, ok
	default:
		return nil, false
	}
}

// list is what docker ps --all shows: here all of them run.
func (e *Engine) list() []map[string]any {
	list := make([]map[string]any, 0, len(e.containers))
	for i := range e.containers {
		c := &e.containers[i]
		list = append(list, map[string]any{"Id": c.ID, "Names": []string{c.Name}, "Image": c.Config.Image, "State": "running"})
	}
	return list
}

// container looks by ID, then by name, then by a prefix that only one ID has.
func (e *Engine) container(name string) (Container, bool) {
	for _, c := range e.containers {
		if c.ID == name {
			return c, true
		}
	}
	for _, c := range e.containers {
		if c.Name == "/"+name {
			return c, true
		}
	}
	var found []Container
	for _, c := range e.containers {
		if strings.HasPrefix(c.ID, name) {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		return Container{}, false
	}
	return found[0], true
}

// image looks by name, then by a prefix of the ID.
func (e *Engine) image(name string) (Image, bool) {
	for _, i := range e.Images {
		if slices.Contains(i.RepoTags, name) || slices.Contains(i.RepoTags, name+":latest") || slices.Contains(i.RepoDigests, name) {
			return i, true
		}
	}
	hex := strings.TrimPrefix(name, "sha256:")
	for _, i := range e.Images {
		if strings.HasPrefix(strings.TrimPrefix(i.ID, "sha256:"), hex) {
			return i, true
		}
	}
	return Image{}, false
}
