package documents

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
)

// fakeEngine has one container and one swarm, and updates them as an engine
// does: 0 is "as it is".
type fakeEngine struct {
	host    container.HostConfig
	swarm   swarm.Swarm
	refuses error
	gone    bool
}

func (e *fakeEngine) ContainerInspect(context.Context, string, client.ContainerInspectOptions) (client.ContainerInspectResult, error) {
	if e.gone {
		return client.ContainerInspectResult{}, cerrdefs.ErrNotFound
	}
	host := e.host
	return client.ContainerInspectResult{Container: container.InspectResponse{HostConfig: &host}}, nil
}

func (e *fakeEngine) ContainerUpdate(_ context.Context, _ string, o client.ContainerUpdateOptions) (client.ContainerUpdateResult, error) {
	if e.refuses != nil {
		return client.ContainerUpdateResult{}, e.refuses
	}
	if o.Resources.Memory != 0 {
		e.host.Memory = o.Resources.Memory
	}
	if o.Resources.PidsLimit != nil {
		e.host.PidsLimit = o.Resources.PidsLimit
	}
	e.host.RestartPolicy = *o.RestartPolicy
	return client.ContainerUpdateResult{}, nil
}

func (e *fakeEngine) SwarmInspect(context.Context, client.SwarmInspectOptions) (client.SwarmInspectResult, error) {
	return client.SwarmInspectResult{Swarm: e.swarm}, nil
}

func (e *fakeEngine) SwarmUpdate(_ context.Context, o client.SwarmUpdateOptions) (client.SwarmUpdateResult, error) {
	if o.Version != e.swarm.Version {
		return client.SwarmUpdateResult{}, errors.New("update out of sequence")
	}
	e.swarm.Spec = o.Spec
	e.swarm.Version.Index++
	return client.SwarmUpdateResult{}, e.refuses
}

// forthAndBack changes a setting, and takes it back.
func forthAndBack(t *testing.T, e *fakeEngine, c change.Change) {
	t.Helper()
	document, err := Places{Engine: e}.Open(c.Setting.Target)
	if err != nil {
		t.Fatal(err)
	}
	before, err := document.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := document.Edit(before, []change.Setting{*c.Setting})
	if err != nil || document.Same(before, after) {
		t.Fatalf("%s, %v", after, err)
	}
	for _, step := range []struct{ from, to []byte }{{before, after}, {after, before}} {
		if err := document.Put(t.Context(), step.from, step.to); err != nil {
			t.Fatal(err)
		}
		if now, err := document.Read(t.Context()); err != nil || !document.Same(now, step.to) {
			t.Errorf("it is %s, want %s (%v)", now, step.to, err)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	autolock, err := change.SetSetting(change.SwarmSpec, "the swarm", "/EncryptionConfig/AutoLockManagers", true, "A")
	if err != nil {
		t.Fatal(err)
	}
	forthAndBack(t, &fakeEngine{}, autolock)
	for name, value := range map[string]any{"PidsLimit": 100, "RestartPolicy": container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 5}} {
		limit, err := change.SetLimit("abc", "web", name, 0, value, "A")
		if err != nil {
			t.Fatal(err)
		}
		forthAndBack(t, &fakeEngine{}, limit)
	}
}

func TestPutSaysWhatItFound(t *testing.T) {
	t.Parallel()
	e := &fakeEngine{refuses: errors.New("no such limit")}
	document, err := Places{Engine: e}.Open(change.Container + "abc")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := document.Read(t.Context())
	after, err := document.Edit(before, []change.Setting{{Pointer: "/PidsLimit", Value: []byte("5")}})
	if err != nil {
		t.Fatal(err)
	}
	err = document.Put(t.Context(), before, after)
	if err == nil || !strings.Contains(err.Error(), "kept its old configuration, so nothing has changed: no such limit") {
		t.Errorf("got %v", err)
	}
}

// TestSwarmOfOthers: what somebody else has changed meanwhile is not
// overwritten.
func TestSwarmOfOthers(t *testing.T) {
	t.Parallel()
	e := &fakeEngine{}
	document, err := Places{Engine: e}.Open(change.SwarmSpec)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := document.Read(t.Context())
	after, err := document.Edit(before, []change.Setting{{Pointer: "/EncryptionConfig/AutoLockManagers", Value: []byte("true")}})
	if err != nil {
		t.Fatal(err)
	}
	e.swarm.Spec.Name = "another"
	if err := document.Put(t.Context(), before, after); err == nil || e.swarm.Spec.EncryptionConfig.AutoLockManagers {
		t.Errorf("it is overwritten: %v, %+v", err, e.swarm.Spec)
	}
}

func TestContainerIsGone(t *testing.T) {
	t.Parallel()
	document, err := Places{Engine: &fakeEngine{gone: true}}.Open(change.Container + "abc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := document.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{change.UCPConfig: "--ucp-url", change.DTRSettings: "--dtr-url", change.SwarmSpec: "cannot be asked"} {
		if _, err := (Places{}).Open(target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, err := (Places{Engine: &fakeEngine{}}).Open("nothing"); err == nil || !strings.Contains(err.Error(), "cannot be changed from here") {
		t.Errorf("what nobody knows: %v", err)
	}
}
