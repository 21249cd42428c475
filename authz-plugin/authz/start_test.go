package authz

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

func TestContainerIsJudgedByItsContent(t *testing.T) {
	t.Parallel()
	held := []enginetest.Image{
		{ID: good.String(), RepoTags: []string{app + ":v1"}, RepoDigests: []string{app + "@" + good.String()}},
		{ID: evil.String(), RepoTags: []string{app + ":v1-copy"}},
	}
	tests := []struct {
		name         string
		engine       func() *enginetest.Engine
		image, named string
		allow        bool
	}{
		{"signed", enginetest.Containerd, good.String(), app + ":v1", true},
		{"signed, its tag moved on since", enginetest.Containerd, good.String(), app + ":gone", true},
		{"signed, named by image ID", enginetest.Containerd, good.String(), good.String(), true},
		{"signed, named by another repository", enginetest.Containerd, good.String(), "elsewhere/app:v1", true},
		{"unsigned under a signed name", enginetest.Containerd, evil.String(), app + ":v1", false},
		{"unsigned, by image ID", enginetest.Containerd, evil.String(), evil.String(), false},
		{"made from nothing", enginetest.Containerd, "", "", false},
		{"signed, graphdriver", enginetest.Graphdriver, good.String(), app + ":v1", true},
		{"unsigned, graphdriver", enginetest.Graphdriver, evil.String(), app + ":v1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			engine := test.engine()
			engine.Images = held
			r := newRig(t, engine)
			engine.Add(made, "x", test.image, test.named)
			for _, uri := range []string{
				"/containers/x/start", "/containers/" + made + "/start", "/containers/aaaa/start", "/v1.41/containers/x/restart?t=1",
				"/containers/x/unpause", "/containers/x/rename?name=y", "/%63ontainers/x/start", "/containers%2Fx%2Fstart",
			} {
				wantVerdict(t, r.ask(t, requestPath, post(uri, "")), test.allow, "")
			}
			wantVerdict(t, r.ask(t, requestPath, post("/containers/x/update", `{"RestartPolicy":{"Name":"always"}}`)), test.allow, "")
			wantVerdict(t, r.ask(t, requestPath, post("/containers/x/update", `{"RestartPolicy":{"Name":"no"},"Memory":1}`)), test.allow, "")
			wantVerdict(t, r.ask(t, requestPath, post("/containers/x/update", `{"RestartPolicy":{"Name":"no"},"CpuShares":0,"Devices":null}`)), true, "")
		})
	}
}

func TestStartByOtherMeansIsDenied(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	r := newRig(t, engine)
	engine.Add(made, "x", good.String(), app+":v1")
	hidden := func(headers map[string]string) Request {
		return Request{RequestMethod: http.MethodPost, RequestURI: "/containers/x/start", RequestHeaders: headers}
	}
	denied := map[string]Request{
		"host configuration":      post("/v1.23/containers/x/start", `{"Privileged":true}`),
		"checkpoint":              post("/containers/x/start?checkpoint=c", ""),
		"checkpoint folder":       post("/containers/x/start?checkpoint-dir=/tmp", ""),
		"checkpoint twice":        post("/containers/x/start?checkpoint=&checkpoint=c", ""),
		"parameters do not parse": post("/containers/x/start?checkpoint=%zz", ""),
		"semicolon":               post("/containers/x/start?a=1;checkpoint=c", ""),
		"form":                    hidden(map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "7"}),
		"form behind another":     hidden(map[string]string{"Content-Type": "application/json", "Content-Length": "7"}),
		"form behind an empty":    hidden(map[string]string{"Content-Type": ""}),
		"length unknown":          hidden(map[string]string{"Content-Type": "text/plain"}),
		"name of no container":    post("/containers/a%00b/start", ""),
		"name goes up":            post("/containers/y%2F..%2Fx/start", ""),
		"no name":                 post("/containers//start", ""),
	}
	for name, req := range denied {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, r.ask(t, requestPath, req), false, "")
		})
	}
	allowed := map[string]Request{
		"no headers":      hidden(nil),
		"an old client":   hidden(map[string]string{"Content-Type": "text/plain", "Content-Length": "0"}),
		"an empty object": post("/containers/x/start", "{}"),
		"detach keys":     post("/containers/x/start?detachKeys=ctrl-p", ""),
	}
	for name, req := range allowed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, r.ask(t, requestPath, req), true, "")
		})
	}
}

func TestContainerThatDoesNotExist(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	for _, uri := range []string{"/containers/x/start", "/containers/x/restart", "/containers/x/unpause"} {
		wantVerdict(t, r.ask(t, requestPath, post(uri, "")), false, "No such container: x")
	}
	wantVerdict(t, r.ask(t, requestPath, post("/containers/x/rename?name=y", "")), true, "")
	wantVerdict(t, r.ask(t, requestPath, post("/containers/x/update", "{}")), true, "")
}

func TestNameThatBeginsAnotherID(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	r := newRig(t, engine)
	engine.Add(made, "bbbb", good.String(), app+":v1")
	engine.Add(other, "y", evil.String(), app+":v1")
	for _, uri := range []string{"/containers/bbbb/start", "/containers/bbbb/restart", "/containers/bbbb/unpause"} {
		wantVerdict(t, r.ask(t, requestPath, post(uri, "")), false, "use the ID "+made)
	}
	wantVerdict(t, r.ask(t, requestPath, post("/containers/"+made+"/start", "")), true, "")
	wantVerdict(t, r.ask(t, requestPath, post("/containers/aaaa/start", "")), true, "")
	wantVerdict(t, r.ask(t, requestPath, post("/containers/bb/start", "")), false, "digest-mismatch")
}

func TestEngineThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd(), func(s *Settings) {
		s.Judge.Engine = engine.NewClient("unix:///nonexistent/docker.sock", time.Now)
	})
	wantVerdict(t, r.ask(t, requestPath, post("/containers/x/start", "")), false, "cannot tell what would run")
	if !strings.Contains(r.records.String(), `"reason":"engine-unreachable"`) {
		t.Errorf("no record:\n%s", r.records)
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	tests := []struct {
		query string
		allow bool
		say   string
	}{
		{"fromImage=" + app + "&tag=v1", true, ""},
		{"fromImage=" + app + ":v1", true, ""},
		{"fromImage=" + app + "&tag=" + good.String(), true, ""},
		{"fromImage=" + app + "@" + good.String(), true, ""},
		{"fromImage=" + app + ":v2&tag=v1", true, ""},
		{"fromImage=" + app + ":v1&tag=v2", false, "(unsigned)"},
		{"fromImage=" + app + "&tag=v2", false, "(unsigned)"},
		{"fromImage=" + app + "&tag=" + evil.String(), false, "(unsigned)"},
		{"fromImage=" + app, false, "every tag"},
		{"fromImage=" + app + ":", false, "every tag"},
		{"fromImage=" + app + "&tag=v1&tag=v2", false, "2 times"},
		{"fromImage=" + app + "&fromImage=evil&tag=v1", false, "2 times"},
		{"fromImage=UPPER&tag=v1", false, "lowercase"},
		{"fromImage=" + app + "&tag=no%20tag", false, "no tag"},
		{"fromImage=" + app + "&tag=v1&fromSrc=-", true, ""},
		{"fromSrc=-&repo=" + app + "&tag=v1", true, ""},
		{"fromSrc=-&changes=a&changes=b", true, ""},
	}
	for _, test := range tests {
		t.Run(test.query, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, r.ask(t, requestPath, post("/v1.41/images/create?"+test.query, "")), test.allow, test.say)
		})
	}
	form := post("/images/create?fromImage="+app+"&tag=v1", "")
	form.RequestHeaders = map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "14"}
	wantVerdict(t, r.ask(t, requestPath, form), false, "did not show")
}

func TestServices(t *testing.T) {
	t.Parallel()
	spec := func(image string) map[string]any {
		return map[string]any{"TaskTemplate": map[string]any{"ContainerSpec": map[string]any{"Image": image}}}
	}
	engine := enginetest.Containerd()
	engine.Services = map[string]any{
		"back":  map[string]any{"ID": "back", "Version": map[string]any{"Index": 7}, "PreviousSpec": spec(app + ":v1@" + good.String())},
		"evil":  map[string]any{"ID": "evil", "Version": map[string]any{"Index": 7}, "PreviousSpec": spec(app + "@" + evil.String())},
		"falls": map[string]any{"ID": "falls", "Version": map[string]any{"Index": 7}, "Spec": spec(app + "@" + evil.String())},
		"holds": map[string]any{"ID": "holds", "Version": map[string]any{"Index": 7}, "Spec": spec(app + "@" + good.String())},
		"loose": map[string]any{"ID": "loose", "Version": map[string]any{"Index": 7}, "Spec": spec(app + ":v1")},
		"first": map[string]any{"ID": "first", "Version": map[string]any{"Index": 7}},
	}
	r := newRig(t, engine)
	signed := `{"Name":"s","TaskTemplate":{"ContainerSpec":{"Image":"` + app + `:v1@` + good.String() + `"}}}`
	unsigned := strings.ReplaceAll(signed, good.String(), evil.String())
	falling := `{"UpdateConfig":{"FailureAction":"rollback"},` + signed[1:]
	tests := []struct {
		name, uri, body string
		allow           bool
		say             string
	}{
		{"signed", "/services/create", signed, true, ""},
		{"unsigned", "/services/create", unsigned, false, "(unsigned)"},
		{"signed tag is not enough", "/services/create", `{"TaskTemplate":{"ContainerSpec":{"Image":"` + app + `:v1"}}}`, false, "by digest"},
		{"no image", "/services/create", `{"TaskTemplate":{}}`, false, "names no image"},
		{"empty image", "/services/create", `{"TaskTemplate":{"ContainerSpec":{}}}`, false, "names no image"},
		{"plugin", "/services/create", `{"TaskTemplate":{"Runtime":"plugin","PluginSpec":{"name":"p","remote":"r"}}}`, false, "does not run containers"},
		{"plugin beside a container", "/services/create", `{"TaskTemplate":{"PluginSpec":{},"ContainerSpec":{"Image":"` + app + `@` + good.String() + `"}}}`, false, "does not run containers"},
		{"image twice", "/services/create", `{"TaskTemplate":{"ContainerSpec":{"Image":"` + app + `@` + good.String() + `","image":"x"}}}`, false, "twice"},
		{"image mount", "/services/create", `{"TaskTemplate":{"ContainerSpec":{"Image":"` + app + `@` + good.String() + `","Mounts":[{"Type":"image","Source":"` + app + `@` + evil.String() + `"}]}}}`, false, "(unsigned)"},
		{"update", "/services/back/update?version=7", signed, true, ""},
		{"update to unsigned", "/services/back/update?version=7", unsigned, false, "(unsigned)"},
		{"rollback to signed", "/services/back/update?version=7&rollback=previous", unsigned, true, ""},
		{"rollback to unsigned", "/services/evil/update?version=7&rollback=previous", signed, false, "(unsigned)"},
		{"rollback, version moved on", "/services/back/update?version=6&rollback=previous", signed, false, "try again"},
		{"rollback, no version", "/services/back/update?rollback=previous", signed, false, "no service version"},
		{"rollback to nothing", "/services/first/update?version=7&rollback=previous", signed, false, "no previous"},
		{"rollback of nothing", "/services/none/update?version=7&rollback=previous", signed, false, "cannot tell"},
		{"rollback twice", "/services/evil/update?version=7&rollback=none&rollback=previous", signed, false, "2 times"},
		{"failure returns to signed", "/services/holds/update?version=7", falling, true, ""},
		{"failure returns to unsigned", "/services/falls/update?version=7", falling, false, "(unsigned)"},
		{"failure returns to a tag", "/services/loose/update?version=7", falling, false, "by digest"},
		{"failure leaves unsigned behind", "/services/falls/update?version=7", signed, true, ""},
		{"failure, version moved on", "/services/holds/update?version=6", falling, false, "try again"},
		{"update that may fail, to unsigned", "/services/holds/update?version=7", strings.ReplaceAll(falling, good.String(), evil.String()), false, "(unsigned)"},
		{"rollback unknown", "/services/evil/update?version=7&rollback=later", signed, false, "(unsigned)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, r.ask(t, requestPath, post(test.uri, test.body)), test.allow, test.say)
		})
	}
}

// TestPullRepeatsNoLogin: a login before a registry's name gets neither into
// the answer nor into the record.
func TestPullRepeatsNoLogin(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	d := r.ask(t, requestPath, post("/images/create?fromImage=u:PASSWORD@h/x&tag=v1", ""))
	wantVerdict(t, d, false, "names no image")
	if all := d.Msg + r.records.String(); strings.Contains(all, "PASSWORD") || !strings.Contains(all, `@h/x`) {
		t.Errorf("answer and record:\n%s", all)
	}
}
