package hosttest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// Now is the time on every machine of this package.
var Now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A Machine is a host as files of these names:
//
//	engine/PATH      what the engine answers to GET /PATH. Containers are
//	                 written as engine/containers/NAME/json alone; the list of
//	                 them follows. Names that end in .404 or .500 are errors
//	                 of that status, with the content as their message; of
//	                 containers/NAME/json.raw every byte is the answer, JSON or
//	                 not.
//	root/PATH        a file of the host; one that ends in / is a directory.
//	                 root/proc/PID/cmdline has one argument a line, and
//	                 root/proc/PID/exe the target of that link.
//	modes            lines of OWNER:GROUP MODE PATH [KIND] for files that are
//	                 not root:root 0644 (0755 for directories); KIND is
//	                 socket, pipe, unreadable or link=TARGET. A path that
//	                 root/ does not have is made by its line.
//	times            lines of RFC 3339 time and PATH, for files that did not
//	                 change at Now minus a day.
//	run/COMMAND LINE what a program of the host says.
//	site.yaml        the site's values.
//	remote           the host's files and programs cannot be seen.
//	silent           the engine answers nothing.
//	api              the only version of its API that the engine speaks, such
//	                 as 1.40. Without it, it says 1.41 and takes any.
type Machine map[string]string

// Host makes a host of the machine. It ends with the test.
func (m Machine) Host(tb testing.TB) *host.Host {
	tb.Helper()
	values, err := site.Parse("site.yaml", []byte(m["site.yaml"]))
	if err != nil {
		tb.Fatal(err)
	}
	h := &host.Host{Site: values, Address: "unix:///var/run/docker.sock", Now: func() time.Time { return Now }, Engine: m.engine(tb)}
	if _, remote := m["remote"]; remote {
		h.Address = "ssh://elsewhere"
		return h
	}
	h.Files, h.Programs = newFiles(tb, m), programs(m.below("run/"))
	return h
}

// below gives the files in a folder.
func (m Machine) below(prefix string) Machine {
	found := Machine{}
	for name, content := range m {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			found[rest] = content
		}
	}
	return found
}

// engine serves the engine's files to docker's own client.
func (m Machine) engine(tb testing.TB) host.Engine {
	tb.Helper()
	answers := m.below("engine/")
	answers.list(tb)
	for name, otherwise := range map[string]string{"info": "{}", "version": "{}", "images/json": "[]", "networks": "[]", "volumes": "{}", "plugins": "[]"} {
		if _, ok := answers[name]; !ok {
			answers[name] = otherwise
		}
	}
	_, silent := m["silent"]
	only := strings.TrimSpace(m["api"])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		if rest, ok := strings.CutPrefix(name, "v1."); ok {
			_, name, _ = strings.Cut(rest, "/")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Api-Version", cmp.Or(only, "1.41"))
		if tooNew(r.URL.Path, only) {
			fail(w, http.StatusBadRequest, "client version is too new. Maximum supported API version is "+only)
			return
		}
		if silent {
			fail(w, http.StatusInternalServerError, "the engine is silent")
			return
		}
		for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError} {
			if said, ok := answers[fmt.Sprintf("%s.%d", name, status)]; ok {
				fail(w, status, strings.TrimSpace(said))
				return
			}
		}
		if raw, ok := answers[name+".raw"]; ok {
			_, _ = w.Write([]byte(raw))
			return
		}
		switch answer, ok := answers[name]; {
		case name == "_ping":
		case ok:
			_, _ = w.Write([]byte(answer))
		case name == "swarm" || name == "nodes" || name == "services" || name == "secrets":
			fail(w, http.StatusServiceUnavailable, "This node is not a swarm manager.")
		default:
			fail(w, http.StatusNotFound, "page not found")
		}
	}))
	tb.Cleanup(server.Close)
	api, err := client.New(client.WithHost("tcp://" + strings.TrimPrefix(server.URL, "http://")))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = api.Close() })
	return api
}

// tooNew reports whether a path is of another version than the only one.
func tooNew(path, only string) bool {
	return only != "" && strings.HasPrefix(path, "/v1.") && !strings.HasPrefix(path, "/v"+only+"/")
}

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// list writes the list of containers from their descriptions, which it gives
// what they leave out: an ID, a name, a configuration.
func (m Machine) list(tb testing.TB) {
	tb.Helper()
	type summary struct {
		ID      string `json:"Id"`
		Names   []string
		Image   string
		ImageID string
		State   string
		Labels  map[string]string
	}
	list := []summary{}
	for _, name := range m.names() {
		title, ok := strings.CutPrefix(path.Dir(name), "containers/")
		if !ok || !strings.HasPrefix(path.Base(name), "json") {
			continue
		}
		sum := sha256.Sum256([]byte(title))
		id := hex.EncodeToString(sum[:])
		full := map[string]any{"Id": id, "Name": "/" + title, "State": map[string]any{}, "Config": map[string]any{}, "HostConfig": map[string]any{}}
		var given struct {
			ID     string `json:"Id"`
			Image  string
			State  struct{ Status string }
			Config struct {
				Image  string
				Labels map[string]string
			}
		}
		if path.Base(name) == "json" {
			if err := json.Unmarshal([]byte(m[name]), &full); err != nil {
				tb.Fatalf("%s: %v", name, err)
			}
			if raw, err := json.Marshal(full); err == nil {
				_ = json.Unmarshal(raw, &given)
				m["containers/"+given.ID+"/json"] = string(raw)
			}
			id = given.ID
		} else {
			m["containers/"+id+"/"+path.Base(name)] = m[name] // an error, or no JSON
		}
		if top, ok := m["containers/"+title+"/top"]; ok {
			m["containers/"+id+"/top"] = top
		}
		list = append(list, summary{id, []string{"/" + title}, given.Config.Image, given.Image, given.State.Status, given.Config.Labels})
	}
	if _, ok := m["containers/json"]; ok {
		return
	}
	raw, err := json.Marshal(list)
	if err != nil {
		tb.Fatal(err)
	}
	m["containers/json"] = string(raw)
}

func (m Machine) names() []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// programs answer by their command line.
type programs Machine

// Run gives what a program says.
func (p programs) Run(_ context.Context, name string, args ...string) ([]byte, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	if said, ok := p[line]; ok {
		return []byte(said), nil
	}
	if said, ok := p[line+".failed"]; ok {
		return nil, fmt.Errorf("%s: exit status 1: %s", line, strings.TrimSpace(said))
	}
	return nil, fmt.Errorf("%s: %w", line, exec.ErrNotFound)
}

// files are a machine's files, with the owners and modes it says.
type files struct {
	content map[string]string // of regular files
	stat    map[string]host.File
	links   map[string]string
	denied  map[string]bool // not even root may read it here
}

func newFiles(tb testing.TB, m Machine) *files {
	tb.Helper()
	f := &files{content: map[string]string{}, stat: map[string]host.File{}, links: map[string]string{}, denied: map[string]bool{}}
	yesterday := Now.Add(-24 * time.Hour)
	add := func(name string, mode fs.FileMode) {
		f.stat[name] = host.File{Path: name, Mode: mode, Owner: "root", Group: "root", Modified: yesterday}
		for dir := path.Dir(name); f.stat[dir].Path == ""; dir = path.Dir(dir) {
			f.stat[dir] = host.File{Path: dir, Mode: fs.ModeDir | 0o755, Owner: "root", Group: "root", Modified: yesterday}
		}
	}
	for name, content := range m.below("root") {
		if strings.HasSuffix(name, "/") {
			add(path.Clean(name), fs.ModeDir|0o755)
			continue
		}
		if strings.HasPrefix(name, "/proc/") {
			switch path.Base(name) {
			case "cmdline":
				content = strings.ReplaceAll(content, "\n", "\x00")
			case "exe":
				f.links[name] = strings.TrimSpace(content)
			}
		}
		add(name, 0o644)
		f.content[name] = content
	}
	for line := range strings.Lines(m["modes"]) {
		f.mode(tb, line, add)
	}
	for line := range strings.Lines(m["times"]) {
		when, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, err := time.Parse(time.RFC3339, when)
		if err != nil {
			tb.Fatal(err)
		}
		file := f.stat[name]
		file.Modified = at
		f.stat[name] = file
	}
	return f
}

// mode reads one line of modes.
func (f *files) mode(tb testing.TB, line string, add func(string, fs.FileMode)) {
	tb.Helper()
	var owner, name, kind string
	var mode fs.FileMode
	if n, err := fmt.Sscanf(line, "%s %o %s %s", &owner, &mode, &name, &kind); n < 3 {
		tb.Fatalf("modes: %q: %v", line, err)
	}
	if _, there := f.stat[name]; !there {
		add(name, 0)
	}
	file := f.stat[name]
	user, group, _ := strings.Cut(owner, ":")
	file.Owner, file.Group, file.Mode = user, group, file.Mode.Type()|mode
	switch target, link := strings.CutPrefix(kind, "link="); {
	case link:
		f.links[name] = target
		delete(f.stat, name)
		return
	case kind == "socket":
		file.Mode |= fs.ModeSocket
	case kind == "pipe":
		file.Mode |= fs.ModeNamedPipe
	case kind == "unreadable":
		f.denied[name] = true
	case kind == "" && f.content[name] == "" && file.Mode.Type() == 0:
		f.content[name] = ""
	}
	f.stat[name] = file
}

// follow resolves links, those of folders too.
func (f *files) follow(name string) string {
	for range 16 {
		resolved := name
		for at := name; at != "/" && at != "."; at = path.Dir(at) {
			if target, ok := f.links[at]; ok {
				if !path.IsAbs(target) {
					target = path.Join(path.Dir(at), target)
				}
				resolved = path.Join(target, strings.TrimPrefix(name, at))
			}
		}
		if resolved == name {
			return name
		}
		name = resolved
	}
	return name
}

func (f *files) Stat(name string) (host.File, error) {
	file, ok := f.stat[f.follow(name)]
	if !ok {
		return host.File{}, &fs.PathError{Op: "lstat", Path: name, Err: fs.ErrNotExist}
	}
	file.Path = name
	return file, nil
}

func (f *files) Read(name string) ([]byte, error) {
	name = f.follow(name)
	file, ok := f.stat[name]
	switch {
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case f.denied[name]:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case !file.Mode.IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	return []byte(f.content[name]), nil
}

func (f *files) List(dir string) ([]string, error) {
	dir = f.follow(dir)
	file, ok := f.stat[dir]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	if !file.Mode.IsDir() {
		return nil, fmt.Errorf("%s is no directory", dir)
	}
	names := map[string]bool{}
	for name := range f.stat {
		if path.Dir(name) == dir && name != dir {
			names[path.Base(name)] = true
		}
	}
	for name := range f.links {
		if path.Dir(name) == dir {
			names[path.Base(name)] = true
		}
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted, nil
}

func (f *files) Link(name string) (string, error) {
	for _, at := range []string{name, path.Join(f.follow(path.Dir(name)), path.Base(name))} {
		if target, ok := f.links[at]; ok {
			return target, nil
		}
	}
	return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
}
