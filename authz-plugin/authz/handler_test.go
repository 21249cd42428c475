package authz

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

func TestActivateNeedsNoEngine(t *testing.T) {
	t.Parallel()
	h := NewHandler(Settings{}, nil, nil)
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/Plugin.Activate", nil))
	if got := strings.TrimSpace(recorder.Body.String()); got != `{"Implements":["authz"]}` {
		t.Fatalf("got %q", got)
	}
	if got := recorder.Header().Get("Content-Type"); got != "application/vnd.docker.plugins.v1.1+json" {
		t.Fatalf("content type %q", got)
	}
}

func TestUnreadableQuestionIsDenied(t *testing.T) {
	t.Parallel()
	questions := map[string]string{
		"empty, as after a dropped connection": "",
		"no JSON":                              "GET /_ping",
		"cut off":                              `{"RequestMethod":"GET","RequestUri":"/_p`,
		"not an object":                        `["GET"]`,
		"null":                                 "null",
		"zero request":                         "{}",
		"no method":                            `{"RequestUri":"/_ping"}`,
		"no address":                           `{"RequestMethod":"GET"}`,
		"body not base64":                      `{"RequestMethod":"GET","RequestUri":"/_ping","RequestBody":"*"}`,
		"two values":                           `{"RequestMethod":"GET","RequestUri":"/_ping"} {}`,
		"longer than ever":                     `{"RequestMethod":"GET","RequestUri":"/_ping","User":"` + strings.Repeat("x", maxResponse) + `"}`,
		"address unparsed":                     `{"RequestMethod":"POST","RequestUri":"containers/create"}`,
		"address malformed":                    `{"RequestMethod":"POST","RequestUri":"/containers/%zz/start"}`,
	}
	for name, body := range questions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, enginetest.Containerd())
			for _, path := range []string{requestPath, responsePath} {
				if got := r.askRaw(t, path, []byte(body)); got.Allow {
					t.Errorf("%s allowed it", path)
				}
			}
		})
	}
}

func TestZeroDecisionDenies(t *testing.T) {
	t.Parallel()
	if (Decision{}).Allow || (verdict{}).Allow || (verdict{}).pass {
		t.Fatal("a zero value allows")
	}
	recorder := httptest.NewRecorder()
	respond(recorder, Decision{})
	if strings.TrimSpace(recorder.Body.String()) != `{"Allow":false}` {
		t.Fatalf("got %s", recorder.Body)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	unsigned := post("/v1.41/containers/create", `{"Image":"localhost:5000/app:unsigned"}`)
	build := post("/v1.41/build", "")
	tests := []struct {
		mode         policy.Mode
		fault        error
		allow        bool
		outcome, say string
	}{
		{policy.Enforced, nil, false, `"decision":"deny"`, "DKER-EE-004370"},
		{policy.Permissive, nil, true, `"decision":"would-deny"`, ""},
		{policy.Disabled, nil, true, "", ""},
		{"", nil, false, `"decision":"deny"`, "DKER-EE-004370"},
		{policy.Permissive, errors.New("policy.json:3:1: no"), false, `"reason":"no-policy"`, "policy.json:3:1"},
		{policy.Disabled, errors.New("policy.json:3:1: no"), false, `"reason":"no-policy"`, "policy.json:3:1"},
	}
	for _, test := range tests {
		name := string(test.mode)
		if test.fault != nil {
			name += " with a fault"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, enginetest.Containerd(), func(s *Settings) { s.Mode, s.Fault = test.mode, test.fault })
			wantVerdict(t, r.ask(t, requestPath, unsigned), test.allow, test.say)
			wantVerdict(t, r.ask(t, requestPath, build), test.allow, test.say)
			if !strings.Contains(r.records.String(), test.outcome) {
				t.Errorf("the log does not say %s:\n%s", test.outcome, r.records)
			}
			for _, harmless := range []string{"/containers/json", "/_ping", "/info"} {
				get := Request{RequestMethod: http.MethodGet, RequestURI: harmless}
				wantVerdict(t, r.ask(t, requestPath, get), true, "")
				wantVerdict(t, r.ask(t, responsePath, answerTo(get, 200, "[]")), true, "")
			}
			wantVerdict(t, r.ask(t, requestPath, post("/containers/x/stop", "")), true, "")
		})
	}
}

func TestPermissiveRemovesNothing(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	r := newRig(t, engine, func(s *Settings) { s.Mode = policy.Permissive })
	engine.Add(made, "x", evil.String(), app+":v1")
	create := post("/containers/create?name=x", `{"Image":"`+app+`:v1"}`)
	wantVerdict(t, r.ask(t, responsePath, answerTo(create, 201, `{"Id":"`+made+`"}`)), true, "")
	if !engine.Holds(made) {
		t.Fatal("permissive mode removed a container")
	}
	if !strings.Contains(r.records.String(), `"decision":"would-deny"`) {
		t.Fatal("and did not log what it would have denied")
	}
}

// A blocked verifier neither answers nor looks at its context.
type blocked struct {
	signers
	until chan struct{}
}

func (b blocked) Verify(context.Context, trust.Question) (trust.Signed, error) {
	<-b.until
	return trust.Signed{}, nil
}

func TestDeadlineDeniesAndHarmlessCallsGoOn(t *testing.T) {
	t.Parallel()
	b := blocked{until: make(chan struct{})}
	r := newRig(t, enginetest.Containerd(), func(s *Settings) { s.Judge.Verifier = b })
	r.timeout = 500 * time.Millisecond
	// Over a connection, as the engine asks: the answer has to be there while
	// the handler is held up.
	server := httptest.NewServer(r.Handler)
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(b.until) })
	create, err := json.Marshal(post("/containers/create", `{"Image":"`+app+`:v1"}`))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+requestPath, bytes.NewReader(create))
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			var answer Response
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Allow || !strings.Contains(answer.Msg, "no decision within 500ms") {
				t.Errorf("answer %+v, %v", answer, err)
			}
			if !resp.Close {
				t.Error("the connection stays open, and the next question on it would wait")
			}
		})
	}
	wantVerdict(t, r.ask(t, requestPath, Request{RequestMethod: http.MethodGet, RequestURI: "/containers/json"}), true, "")
	group.Wait()
	if !strings.Contains(r.records.String(), `"reason":"deadline"`) {
		t.Fatalf("no record of the deadline:\n%s", r.records)
	}
}

type panicking struct{ signers }

func (panicking) Verify(context.Context, trust.Question) (trust.Signed, error) { panic("ouch") }

func TestPanicDenies(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd(), func(s *Settings) { s.Judge.Verifier = panicking{} })
	wantVerdict(t, r.ask(t, requestPath, post("/containers/create", `{"Image":"`+app+`:v1"}`)), false, "internal error")
	if !strings.Contains(r.records.String(), "ouch") {
		t.Fatal("the log does not explain it")
	}
	none := newRig(t, enginetest.Containerd())
	none.settings.Store(nil) // a fault outside of a decision
	wantVerdict(t, none.ask(t, requestPath, post("/containers/create", "{}")), false, "internal error")
}

func TestSettingsAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	signed := post("/containers/create", `{"Image":"`+app+`:v1"}`)
	unsigned := post("/containers/create", `{"Image":"`+app+`:v2"}`)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 100 {
				if !r.ask(t, requestPath, signed).Allow || r.ask(t, requestPath, unsigned).Allow {
					t.Error("a verdict changed while the settings were replaced by their like")
					return
				}
			}
		})
	}
	for range 1000 {
		s := *r.settings.Load()
		r.Use(s)
	}
	group.Wait()
}

func TestDenialTellsAPersonWhatToDo(t *testing.T) {
	t.Parallel()
	engine := enginetest.Containerd()
	engine.Images = []enginetest.Image{{ID: evil.String(), RepoTags: []string{app + ":v1"}}}
	r := newRig(t, engine)
	msg := r.ask(t, requestPath, post("/containers/create", `{"Image":"`+evil.String()+`"}`)).Msg
	for _, part := range []string{evil.String(), "digest-mismatch", "DKER-EE-004370 (V-235847)", "Use the digest that is signed", "docker stig trust verify"} {
		if !strings.Contains(msg, part) {
			t.Errorf("message %q does not say %q", msg, part)
		}
	}
	hostile := r.ask(t, requestPath, post("/containers/create", `{"Image":"a\u001b[2Jb\n`+strings.Repeat("x", 5000)+`"}`)).Msg
	if strings.ContainsAny(hostile, "\x1b\n") || len(hostile) > maxMessage+len("…") {
		t.Errorf("a hostile name reaches the terminal: %q", hostile)
	}
}

func TestRecordHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	req := post("/containers/create?name=hidden-name", `{"Image":"`+app+`:v1","Env":["PASSWORD=hunter2"]}`)
	req.RequestHeaders["X-Secret"] = "hunter2"
	req.User = "alice"
	wantVerdict(t, r.ask(t, requestPath, req), true, "")
	log := r.records.String()
	for _, part := range []string{`"decision":"allow"`, `"user":"alice"`, `"route":"/containers/create"`, `"image":"` + app + `:v1"`, `"digest":"` + good.String(), `"signers":["targets/releases"]`, `"how":"dct"`, `"duration_us":`} {
		if !strings.Contains(log, part) {
			t.Errorf("the record lacks %s:\n%s", part, log)
		}
	}
	if strings.Contains(log, "hunter2") || strings.Contains(log, "hidden-name") {
		t.Errorf("the record holds what it must not:\n%s", log)
	}
}

// FuzzQuestion sends anything as the engine's question: what is allowed is a
// question that decodes, and asks for nothing that would have to be judged.
func FuzzQuestion(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"RequestMethod":"GET","RequestUri":"/_ping"}`, `{"RequestMethod":"POST","RequestUri":"/containers/x/stop"}`,
		`{"RequestMethod":"POST","RequestUri":"/containers/create","RequestBody":"e30="}`, `{"RequestMethod":"POST","RequestUri":"/containers/create","ResponseStatusCode":201}`,
	} {
		f.Add([]byte(seed))
	}
	r := newRig(f, enginetest.Containerd(), func(s *Settings) { s.Judge.Verifier = signers{} })
	f.Fuzz(func(t *testing.T, question []byte) {
		if !r.askRaw(t, requestPath, question).Allow {
			return
		}
		var req Request
		if err := json.Unmarshal(question, &req); err != nil {
			t.Fatalf("a question that does not decode is allowed: %v", err)
		}
		target, err := engineapi.Parse(req.RequestMethod, req.RequestURI)
		if err != nil {
			t.Fatalf("an address that does not parse is allowed: %v", err)
		}
		// Alter: no such container; Pull: an import; Create: an ID not held.
		may := []engineapi.Use{engineapi.Pass, engineapi.Alter, engineapi.Pull, engineapi.Create}
		if !slices.Contains(may, target.Route.Use) {
			t.Fatalf("%s %s is allowed, and nothing is signed", req.RequestMethod, req.RequestURI)
		}
	})
}

// TestFloodOfLargeRequests fills all the room there is for questions. What is
// small, and what is about an answer, is heard all the same.
func TestFloodOfLargeRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, enginetest.Containerd())
	if !r.asked.TryAcquire(maxRoom) {
		t.Fatal("there is less room than said")
	}
	r.timeout = 50 * time.Millisecond
	large := post("/containers/create", `{"Image":"`+app+`:v1","Labels":{"x":"`+strings.Repeat("x", small)+`"}}`)
	wantVerdict(t, r.ask(t, requestPath, large), false, "too many large requests")
	r.timeout = DecisionTimeout
	wantVerdict(t, r.ask(t, requestPath, post("/containers/web/stop", "")), true, "")
	wantVerdict(t, r.ask(t, responsePath, failed(large)), true, "")
	r.asked.Release(maxRoom)
	wantVerdict(t, r.ask(t, requestPath, large), true, "")
	if !r.answered.TryAcquire(maxRoom) {
		t.Error("a question about an answer did not give its room back")
	}
}
