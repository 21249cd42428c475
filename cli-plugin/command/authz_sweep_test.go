package command

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/cli/cli"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust"
)

var (
	errUnsigned = &admission.Unvouched{Err: &trust.Error{Reason: trust.Unsigned}}
	errSilent   = &admission.Unvouched{Err: &trust.Error{Reason: trust.Unreachable}}
)

// shownContainers are containers as the engine shows them; others are gone.
type shownContainers map[string]container.InspectResponse

func (s shownContainers) ContainerInspect(_ context.Context, id string, _ client.ContainerInspectOptions) (client.ContainerInspectResult, error) {
	got, ok := s[id]
	if !ok {
		return client.ContainerInspectResult{}, cerrdefs.ErrNotFound
	}
	return client.ContainerInspectResult{Container: got}, nil
}

func judged(id string, running bool, err error) admission.Judged {
	return admission.Judged{Container: engine.Container{ID: id, Name: id, Running: running, Host: new(container.HostConfig)}, Err: err}
}

// TestSweptPutsEachWhereItBelongs.
func TestSweptPutsEachWhereItBelongs(t *testing.T) {
	t.Parallel()
	byGlass := judged("glass", true, nil)
	byGlass.Admitted.Allowance = new(admission.Allowance)
	glassIdle := byGlass
	glassIdle.Container.Running = false
	all := []admission.Judged{
		judged("good", true, nil),
		byGlass, glassIdle,
		judged("refused", true, errUnsigned),
		judged("gone", true, errUnsigned),
		judged("silent", true, errSilent),
		judged("idle", false, errUnsigned),
		judged("idle-silent", false, errSilent),
		{Container: engine.Container{ID: "unseen"}, Err: errors.New("the engine is busy")},
		{Container: engine.Container{ID: "unseen-gone"}, Err: errors.New("the engine is busy")},
	}
	api := shownContainers{"unseen": {Name: "/later"}, "refused": {}, "silent": {}, "idle": {}}
	found, err := newSwept(t.Context(), api, all)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		got  []*sweptContainer
		want string
	}{
		"refused":    {found.refused, "refused"},
		"unanswered": {found.unanswered, "silent later"},
		"waiting":    {found.waiting, "idle"},
	} {
		var names []string
		for _, c := range test.got {
			names = append(names, c.name)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	if found.judged != len(all) || found.allowed != 1 {
		t.Errorf("judged %d, allowed %d", found.judged, found.allowed)
	}
}

func TestSweptExitCode(t *testing.T) {
	t.Parallel()
	runs, stopped, task := &sweptContainer{}, &sweptContainer{stopped: true}, &sweptContainer{stopped: true, service: "web"}
	silent, idle := []*sweptContainer{{}}, []*sweptContainer{{}}
	for name, test := range map[string]struct {
		found swept
		want  int
	}{
		"nothing":                     {swept{}, 0},
		"what does not run":           {swept{waiting: idle}, 0},
		"one runs":                    {swept{refused: []*sweptContainer{stopped, runs}, unanswered: silent}, 2},
		"all stopped":                 {swept{refused: []*sweptContainer{stopped}}, 0},
		"a swarm starts it again":     {swept{refused: []*sweptContainer{stopped, task}}, 2},
		"unanswered":                  {swept{unanswered: silent}, 3},
		"stopped, others unanswered":  {swept{refused: []*sweptContainer{stopped}, unanswered: silent}, 3},
		"nothing runs, some would no": {swept{waiting: idle, unanswered: silent}, 3},
	} {
		code, status := 0, cli.StatusError{}
		if err := test.found.exitCode(); errors.As(err, &status) {
			code = status.StatusCode
		} else if err != nil {
			t.Errorf("%s: got %v", name, err)
		}
		if code != test.want {
			t.Errorf("%s: exit code %d, want %d", name, code, test.want)
		}
	}
}

// stoppable is an engine on which containers stop as they are told to.
type stoppable struct {
	engine.Engine
	stops map[string]func() (engine.Container, error) // what there is after a stop
}

func (s stoppable) StopContainer(_ context.Context, id string) error {
	if s.stops[id] == nil {
		return engine.ErrNotFound
	}
	if id == "stubborn" {
		return errors.New("it does not end")
	}
	return nil
}

func (s stoppable) Container(_ context.Context, id string) (engine.Container, error) {
	if after := s.stops[id]; after != nil {
		return after()
	}
	return engine.Container{}, engine.ErrNotFound
}

// TestStopAllBelievesWhatItSees, and not that the engine said yes.
func TestStopAllBelievesWhatItSees(t *testing.T) {
	t.Parallel()
	is := func(id string, running bool) func() (engine.Container, error) {
		return func() (engine.Container, error) { return engine.Container{ID: id, Running: running}, nil }
	}
	e := stoppable{stops: map[string]func() (engine.Container, error){
		"ends": is("ends", false), "again": is("again", true), "stubborn": is("stubborn", true),
		"removed": func() (engine.Container, error) { return engine.Container{}, engine.ErrNotFound },
		"unseen":  func() (engine.Container, error) { return engine.Container{}, errors.New("the engine is away") },
	}}
	want := map[string]bool{"ends": true, "again": false, "stubborn": false, "removed": true, "unseen": false, "gone": true}
	var list []*sweptContainer
	for id := range want {
		list = append(list, &sweptContainer{id: id})
	}
	stopAll(t.Context(), e, list)
	for _, c := range list {
		if c.stopped != want[c.id] || (c.stopErr == nil) != want[c.id] {
			t.Errorf("%s: stopped is %v, %v", c.id, c.stopped, c.stopErr)
		}
	}
}

func TestAgainIsWhatAPersonCanDo(t *testing.T) {
	t.Parallel()
	for restart, comes := range map[container.RestartPolicyMode]bool{"": false, "no": false, "unless-stopped": false, "always": true, "on-failure": true} {
		c := sweptContainer{name: "web", restart: restart}
		if text := c.again(); strings.Contains(text, "docker update --restart=no web, or docker rm web") != comes {
			t.Errorf("%q: %q", restart, text)
		}
	}
}

func TestEverywhere(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 8, 1, 10, 0, 0, 0, time.UTC)
	if got := everywhere(now.Add(2*time.Hour), now); !strings.HasPrefix(got, "2026-08-01 12:00 UTC") || !strings.HasSuffix(got, "(in 2 hours)") {
		t.Errorf("got %q", got)
	}
}
