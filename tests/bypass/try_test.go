package bypass

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// An attempt is one way around the plugin.
type attempt struct {
	name   string
	on     []testbed.Engine // empty: all
	moot   need             // why it would be no success here
	needs  need             // of the machine
	before func(ctx context.Context, a *try) error
	do     func(ctx context.Context, a *try) error
	late   bool                              // shows only when the engine has restarted
	slow   bool                              // shows some time after its last request
	after  func(ctx context.Context, a *try) // removes what is no container
	proof  shown                             // nil: the file
	silent string                            // why it ends without the plugin's no, where it does
	about  func(a *try) string               // what the no has to name: one to something else proves nothing
}

// A shown tells, where no program runs that could leave a file, what the
// success of an attempt left; nothing when it did not succeed.
type shown func(ctx context.Context, a *try) string

// A need tells what the machine lacks for an attempt, if anything.
type need func(*bed) string

var (
	docker = []testbed.Engine{testbed.Docker}
	moby   = []testbed.Engine{testbed.Moby}
)

// A try is an attempt at work.
type try struct {
	*bed
	attempt
	nonce   string            // names what belongs to it; never hexadecimal, as an ID is
	denials []string          // what the plugin said
	made    map[string]string // what before has made, by any key
	kept    map[string]bool   // the containers that were there when it began
	acted   bool              // it is no attempt that was left out of this run
	through bool
}

func (b *bed) try(a attempt) *try {
	return &try{bed: b, attempt: a, nonce: "w" + strings.ToLower(rand.Text()[:10]), made: map[string]string{}}
}

// each says what the refusal of each of a list has to contain, but for those
// that say it themselves.
func each(text string, list []attempt) []attempt {
	for i := range list {
		if list[i].about == nil {
			list[i].about = says(text)
		}
	}
	return list
}

// says is what a refusal has to contain.
func says(text string) func(*try) string { return func(*try) string { return text } }

// prepare does what is done while no plugin is there.
func (a *try) prepare(t *testing.T, p phase) {
	t.Helper()
	if a.before == nil {
		return
	}
	err := a.before(t.Context(), a)
	if err != nil && (p == succeeds || a.lacks(a.bed) == "") {
		t.Fatalf("%s: what comes before it failed: %v", a.name, err)
	}
}

func (a *try) act(t *testing.T, p phase) {
	t.Helper()
	if p == succeeds {
		if reason := a.lacks(a.bed); reason != "" {
			t.Skipf("unsupported here, so judged by the plugin's no alone: %s", reason)
		}
	}
	a.kept = a.containers(t)
	if p == succeeds {
		a.prepare(t, p)
	}
	a.denials = nil
	a.acted = true
	if err := a.do(t.Context(), a); err != nil {
		t.Logf("ended with: %v", err)
	}
}

func (a *attempt) lacks(b *bed) string {
	if a.needs == nil {
		return ""
	}
	return a.needs(b)
}

// judge looks what the attempt came to.
func (a *try) judge(t *testing.T, p phase) {
	t.Helper()
	if p == succeeds {
		if a.lacks(a.bed) == "" && !a.shows(t, a.within()) {
			t.Errorf("does not succeed without the plugin")
		}
		return
	}
	a.through = a.shows(t, 0)
	if a.through {
		t.Error("GOT THROUGH")
	}
	if started := a.strangers(t); len(started) != 0 {
		t.Errorf("the engine started %s", strings.Join(started, "; "))
		a.enforced = time.Now() // each is told once
	}
	if a.silent == "" {
		a.refused(t)
	}
	for _, denial := range a.denials {
		t.Logf("refused: %.300s", denial)
	}
}

// refused wants the plugin to have said no, and to what the attempt is about.
func (a *try) refused(t *testing.T) {
	t.Helper()
	if len(a.denials) == 0 {
		t.Error("the plugin refused nothing of it")
		return
	}
	about := a.about(a)
	if !slices.ContainsFunc(a.denials, func(denial string) bool { return strings.Contains(denial, about) }) {
		t.Errorf("the plugin's no is not about %s: %q", about, a.denials)
	}
}

// within is how long a success may take to show.
func (a *attempt) within() time.Duration {
	if a.slow || a.late {
		return patience
	}
	return 2 * time.Second // of an exec or an unpause, whose end is not waited for
}

// shows looks for the proof, for some time.
func (a *try) shows(t *testing.T, within time.Duration) bool {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		if a.proof != nil {
			if text := a.proof(t.Context(), a); text != "" {
				return true
			}
		} else if _, ok := a.proofs(t)[a.nonce]; ok {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
	}
}

// clean removes the containers that the attempt has made and gives the tag
// back.
func (a *try) clean(t *testing.T) {
	t.Helper()
	if a.after != nil {
		a.after(t.Context(), a)
	}
	for id := range a.containers(t) {
		if a.kept == nil || a.kept[id] {
			continue
		}
		if _, err := a.bed.call(t.Context(), http.MethodDelete, "/containers/"+id+"?force=1&v=1", nil); err != nil && !strings.Contains(err.Error(), ": 404 ") && !strings.Contains(err.Error(), ": 409 ") {
			t.Error(err)
		}
	}
	if err := a.restore(t.Context()); err != nil {
		t.Error(err)
	}
}

func (b *bed) containers(t *testing.T) map[string]bool {
	t.Helper()
	got, err := b.call(t.Context(), http.MethodGet, "/containers/json?all=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ ID string }
	if err := json.Unmarshal(got.body, &list); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, c := range list {
		ids[c.ID] = true
	}
	return ids
}

// call is the bed's, and remembers who said no.
func (a *try) call(ctx context.Context, method, target string, body any) (answer, error) {
	got, err := a.bed.call(ctx, method, target, body)
	return got, a.heard(got, err)
}

// raw is call for a request that no client makes.
func (a *try) raw(ctx context.Context, q ask) (answer, error) {
	got, err := a.send(ctx, q)
	return got, a.heard(got, told(q, got, err))
}

func (a *try) heard(got answer, err error) error {
	if !got.denied() {
		return err
	}
	said := struct{ Message string }{strings.TrimSpace(string(got.body))} // old versions of the API answer in plain text
	_ = json.Unmarshal(got.body, &said)
	a.denials = append(a.denials, said.Message)
	return err
}

// client is heard for what the docker client was answered.
func (a *try) client(err error) error {
	if err != nil && strings.Contains(err.Error(), "denied by plugin docker-stig-authz") {
		a.denials = append(a.denials, err.Error())
	}
	return err
}

// called is a name for something of the attempt's.
func (a *try) called(what string) string { return a.nonce + "-" + what }

// program leaves the marker of the image that it is of.
func (a *try) program() []string { return a.script("cat /marker >/proof-" + a.nonce) }

// reach leaves word of it when a test in the shell holds.
func (a *try) reach(test string) []string {
	return a.script("if " + test + "; then echo reached >/proof-" + a.nonce + "; fi")
}

func (*try) script(text string) []string { return []string{"/bin/sh", "-c", text} }

// container is the body of a create. StopSignal is for those that stay: an
// engine that stops does not wait for them.
func container(image string, program []string, host object) object {
	config := object{"NetworkMode": "none"}
	maps.Copy(config, host)
	return object{"Image": image, "Cmd": program, "StopSignal": "SIGKILL", "HostConfig": config}
}

// create makes a container and returns its ID.
func (a *try) create(ctx context.Context, name string, body any) (string, error) {
	got, err := a.call(ctx, http.MethodPost, "/containers/create?name="+a.called(name), body)
	if err != nil {
		return "", err
	}
	return idIn(got)
}

func idIn(got answer) (string, error) {
	var made struct{ ID string }
	if err := json.Unmarshal(got.body, &made); err != nil || made.ID == "" {
		return "", fmt.Errorf("no ID in %.100s", got.body)
	}
	return made.ID, nil
}

// start starts a container by whatever names it, and waits for its program.
func (a *try) start(ctx context.Context, name string) error {
	if _, err := a.call(ctx, http.MethodPost, "/containers/"+name+"/start", nil); err != nil {
		return err
	}
	return a.wait(ctx, name)
}

func (a *try) wait(ctx context.Context, name string) error {
	got, err := a.call(ctx, http.MethodPost, "/containers/"+name+"/wait", nil)
	if err != nil {
		return err
	}
	var ended struct{ StatusCode int }
	if err := json.Unmarshal(got.body, &ended); err != nil || ended.StatusCode == 0 {
		return err
	}
	logs, _ := a.call(ctx, http.MethodGet, "/containers/"+name+"/logs?stderr=1&stdout=1", nil)
	return fmt.Errorf("the program ended with %d: %.300q", ended.StatusCode, logs.body)
}

// run is create and start.
func (a *try) run(ctx context.Context, body any) error {
	id, err := a.create(ctx, "run", body)
	if err != nil {
		return err
	}
	return a.start(ctx, id)
}
