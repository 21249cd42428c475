package authz

import (
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

func TestCreateIsJudgedByNameWithoutAnInspect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, image string
		allow       bool
		say         string
	}{
		{"signed tag", app + ":v1", true, ""},
		{"signed digest", app + "@" + good.String(), true, ""},
		{"tag beside a digest is ignored", app + ":v2@" + good.String(), true, ""},
		{"unsigned tag", app + ":v2", false, "(unsigned)"},
		{"no tag is latest", app, false, app + ":latest"},
		{"unsigned digest", app + ":v1@" + evil.String(), false, "(unsigned)"},
		{"other repository", "localhost:5000/app2:v1", false, "(unsigned)"},
		{"no image", "", false, "names no image"},
		{"no reference", "a/UPPER", false, "must be lowercase"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, enginetest.Graphdriver())
			wantVerdict(t, r.ask(t, requestPath, post("/containers/create", `{"Image":"`+test.image+`"}`)), test.allow, test.say)
			for _, asked := range r.engine.Asked() {
				if asked != "HEAD /_ping" && asked != "GET /info" { // once, of what kind it is
					t.Errorf("the engine was asked: %s", asked)
				}
			}
		})
	}
}

func TestCreateByImageIDIsJudgedByContent(t *testing.T) {
	t.Parallel()
	images := []enginetest.Image{
		{ID: good.String(), RepoTags: []string{app + ":v1"}},
		{ID: evil.String(), RepoTags: []string{app + ":v9", "eeee:latest"}, RepoDigests: []string{app + "@" + good.String()}},
	}
	tests := []struct {
		image string
		allow bool
	}{
		{good.String(), true},
		{good.Encoded(), true},
		{"sha256:1111", true},
		{"1111", true},
		{"1", true},
		{evil.String(), false},
		{evil.Encoded(), false},
		{"sha256:e", false},
		{"eeee", false},                             // a repository of that name as well
		{"dead", false},                             // not held, and not signed as a name either
		{"sha256:" + strings.Repeat("9", 64), true}, // not held: the engine will say so
	}
	for _, test := range tests {
		t.Run(test.image, func(t *testing.T) {
			t.Parallel()
			engine := enginetest.Containerd()
			engine.Images = images
			r := newRig(t, engine)
			wantVerdict(t, r.ask(t, requestPath, post("/containers/create", `{"Image":"`+test.image+`"}`)), test.allow, "")
		})
	}
}

func TestCreateBodyIsReadAsTheEngineReadsIt(t *testing.T) {
	t.Parallel()
	signed := `"Image":"` + app + `:v1"`
	denied := map[string]string{
		"image twice":             `{"Image":"evil",` + signed + `}`,
		"image twice, folded":     `{` + signed + `,"image":"evil"}`,
		"long s folds":            `{"HostConfig":{"Mounts":[],"Mount\u017f":[]},` + signed + `}`,
		"Kelvin sign folds":       `{"HostConfig":{"Networ\u212aMode":"a","NetworkMode":"b"},` + signed + `}`,
		"data after the object":   `{` + signed + `}{"Image":"evil"}`,
		"no object":               `[{` + signed + `}]`,
		"null":                    `null`,
		"invalid UTF-8":           "{" + signed + ",\"Labels\":{\"a\":\"\xff\"}}",
		"privileged on top level": `{` + signed + `,"Privileged":true}`,
		"binds on top level":      `{` + signed + `,"binds":["/:/h"]}`,
		"host config twice":       `{` + signed + `,"HostConfig":{},"hostconfig":{"Privileged":true}}`,
		"deep duplicate":          `{` + signed + `,"HostConfig":{"Mounts":[{"Type":"bind","type":"image"}]}}`,
		"longer than allowed":     `{` + signed + `,"Env":["` + strings.Repeat("x", 4<<20) + `"]}`,
		"image is no string":      `{"Image":["` + app + `:v1"]}`,
		"image is null":           `{"Image":null}`,
	}
	allowed := map[string]string{
		"plain":                        `{` + signed + `}`,
		"lower case":                   `{"image":"` + app + `:v1"}`,
		"escaped":                      `{"Im\u0061ge":"` + app + `:v1"}`,
		"labels differ by case":        `{` + signed + `,"Labels":{"a":"1","A":"2"}}`,
		"command as a string":          `{` + signed + `,"Cmd":"sh","Entrypoint":"/bin/sh"}`,
		"what old clients send":        `{` + signed + `,"Runtime":null,"Memory":0,"MacAddress":"","VolumeDriver":""}`,
		"keys that nobody knows":       `{` + signed + `,"FromTheFuture":{"a":1}}`,
		"host config, ports, networks": `{` + signed + `,"ExposedPorts":{"80/tcp":{}},"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},"LogConfig":{"Type":"","Config":{}}},"NetworkingConfig":{"EndpointsConfig":{"a":{"MacAddress":"","IPAddress":""},"A":{}}}}`,
	}
	r := newRig(t, enginetest.Containerd())
	for name, body := range denied {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, r.ask(t, requestPath, post("/containers/create", body)), false, "")
		})
	}
	for name, body := range allowed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantVerdict(t, r.ask(t, requestPath, post("/containers/create", body)), true, "")
		})
	}
}

func TestCreateIsFoundHoweverTheAddressIsWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	for _, uri := range []string{
		"/containers/create", "/v1.41/containers/create", "/v0/containers/create", "/v...../containers/create",
		"/%63ontainers/create", "/containers%2fcreate", "/v1%2e41/containers/create?name=x", "/containers/create?",
		"http://anywhere/v1.41/containers/create", "http://a:b@anywhere/containers/create",
	} {
		wantVerdict(t, r.ask(t, requestPath, post(uri, `{"Image":"`+app+`:v2"}`)), false, "")
		wantVerdict(t, r.ask(t, requestPath, post(uri, `{"Image":"`+app+`:v1"}`)), true, "")
	}
}

func TestImageMountsAreJudgedAndPinned(t *testing.T) {
	t.Parallel()
	tests := []struct {
		source string
		allow  bool
		say    string
	}{
		{app + "@" + good.String(), true, ""},
		{good.String(), true, ""},
		{app + "@" + evil.String(), false, "(unsigned)"},
		{app + ":v1", false, "name it by digest"},
		{evil.String(), false, "digest-mismatch"},
		{"1111", false, "name it by digest"},
		{"sha256:" + strings.Repeat("9", 64), false, "No such image"},
		{"", false, "names no image"},
	}
	for _, test := range tests {
		t.Run(test.source, func(t *testing.T) {
			t.Parallel()
			engine := enginetest.Containerd()
			engine.Images = []enginetest.Image{{ID: good.String(), RepoTags: []string{app + ":v1"}}, {ID: evil.String(), RepoTags: []string{app + ":v9"}}}
			r := newRig(t, engine)
			body := `{"Image":"` + app + `:v1","HostConfig":{"Mounts":[{"Type":"image","Source":"` + test.source + `","Target":"/m"}]}}`
			wantVerdict(t, r.ask(t, requestPath, post("/v1.48/containers/create", body)), test.allow, test.say)

			engine.Add(made, "x", good.String(), app+":v1", enginetest.Mount{Type: "image", Source: test.source, Target: "/m"})
			wantVerdict(t, r.ask(t, requestPath, post("/containers/x/start", "")), test.allow, test.say)
		})
	}
}

func TestAnswerToCreateIsJudgedByContent(t *testing.T) {
	t.Parallel()
	held := []enginetest.Image{
		{ID: good.String(), RepoTags: []string{app + ":v1"}, RepoDigests: []string{app + "@" + good.String()}},
		{ID: evil.String(), RepoTags: []string{app + ":v9"}, RepoDigests: []string{app + "@" + good.String()}},
	}
	containerd, graphdriver, unknown := enginetest.Containerd, enginetest.Graphdriver, func() *enginetest.Engine { return &enginetest.Engine{Driver: "new"} }
	tests := []struct {
		name         string
		engine       func() *enginetest.Engine
		image, named string
		allow        bool
	}{
		{"signed tag, its content", containerd, good.String(), app + ":v1", true},
		{"signed tag moved to other content", containerd, evil.String(), app + ":v1", false},
		{"signed digest, its content", containerd, good.String(), app + "@" + good.String(), true},
		{"signed digest, other content", containerd, evil.String(), app + "@" + good.String(), false},
		{"image ID, its content", containerd, good.String(), good.String(), true},
		{"image ID of other content", containerd, evil.String(), evil.Encoded(), false},
		{"prefix of an image ID", containerd, evil.String(), "eeee", false},
		{"RepoDigests name a digest the content does not have", containerd, evil.String(), app + ":v1", false},
		{"graphdriver believes RepoDigests", graphdriver, good.String(), app + ":v1", true},
		{"unknown store believes nothing", unknown, good.String(), app + ":v1", false},
		{"no image", containerd, "", app + ":v1", false},
		{"image gone since", graphdriver, "sha256:" + strings.Repeat("7", 64), app + ":v1", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			engine := test.engine()
			engine.Images = held
			r := newRig(t, engine)
			engine.Add(made, "x", test.image, test.named)
			req := answerTo(post("/v1.41/containers/create?name=x", `{"Image":"`+app+`:v1"}`), 201, `{"Id":"`+made+`","Warnings":[]}`)
			wantVerdict(t, r.ask(t, responsePath, req), test.allow, "")
			if engine.Holds(made) != test.allow {
				t.Errorf("the container exists: %v, want %v", engine.Holds(made), test.allow)
			}
		})
	}
}

func TestFirstRunNeedsNoImageInspectOnContainerd(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	r := newRig(t, engine)
	create := post("/v1.41/containers/create", `{"Image":"`+app+`:v1"}`)
	wantVerdict(t, r.ask(t, requestPath, create), true, "")
	engine.Add(made, "x", good.String(), app+":v1")
	wantVerdict(t, r.ask(t, responsePath, answerTo(create, 201, `{"Id":"`+made+`"}`)), true, "")
	wantVerdict(t, r.ask(t, requestPath, post("/v1.41/containers/"+made+"/start", "")), true, "")
	for _, asked := range engine.Asked() {
		if strings.Contains(asked, "/images/") {
			t.Errorf("the engine was asked %s", asked)
		}
	}
}

func TestAnswerToCreateWithoutAnID(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"none": "", "cut": `{"Id":"` + made[:20], "not an ID": `{"Id":"../x"}`, "null": "null", "HTML": "<html>", "other object": `{"Id":"` + other + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := enginetest.Containerd()
			r := newRig(t, engine)
			engine.Add(made, "x", good.String(), app+":v1")
			req := answerTo(post("/containers/create?name=x", `{"Image":"`+app+`:v1"}`), 201, answer)
			wantVerdict(t, r.ask(t, responsePath, req), false, "")
			if name != "other object" && engine.Holds(made) {
				t.Error("the container is still there, though it has a name to find it by")
			}
		})
	}
}

func TestOtherAnswersPass(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	r := newRig(t, engine)
	create := post("/containers/create", `{"Image":"`+app+`:v1"}`)
	for _, status := range []int{200, 304, 400, 404, 409, 500} {
		wantVerdict(t, r.ask(t, responsePath, answerTo(create, status, `{"message":"no"}`)), true, "")
	}
	wantVerdict(t, r.ask(t, responsePath, answerTo(post("/networks/create", "{}"), 201, `{"Id":"n"}`)), true, "")
	if asked := engine.Asked(); len(asked) != 0 {
		t.Errorf("the engine was asked: %v", asked)
	}
}
