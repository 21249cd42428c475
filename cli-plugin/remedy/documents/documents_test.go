package documents

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
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
	noSwap  bool // its kernel does not count swap
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
	set := func(limit *int64, to int64) {
		if to != 0 {
			*limit = to
		}
	}
	if o.Resources.Memory > e.host.MemorySwap && o.Resources.MemorySwap == 0 {
		return client.ContainerUpdateResult{}, errors.New("update the memoryswap at the same time")
	}
	set(&e.host.Memory, o.Resources.Memory)
	set(&e.host.CPUShares, o.Resources.CPUShares)
	set(&e.host.MemorySwap, o.Resources.MemorySwap)
	if e.noSwap && e.host.MemorySwap != 0 {
		e.host.MemorySwap = -1
	}
	if o.Resources.PidsLimit != nil {
		e.host.PidsLimit = o.Resources.PidsLimit
	}
	if o.RestartPolicy != nil {
		e.host.RestartPolicy = *o.RestartPolicy
	}
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
	shares, err := change.SetLimit("abc", "web", "CPUShares", 1024, 512, "A")
	if err != nil {
		t.Fatal(err)
	}
	forthAndBack(t, &fakeEngine{host: container.HostConfig{Resources: container.Resources{CPUShares: 1024}}}, shares)
}

// TestForGood sets what the engine does not take off again, with all else of
// the container as it was, and says so where it is tried.
func TestForGood(t *testing.T) {
	t.Parallel()
	policy := container.RestartPolicy{Name: container.RestartPolicyAlways}
	for name, c := range map[string]struct {
		limit  string
		value  any
		engine fakeEngine
		want   container.Resources
	}{
		"memory":             {"Memory", map[string]int64{"Memory": 64 << 20, "MemorySwap": 64 << 20}, fakeEngine{}, container.Resources{Memory: 64 << 20, MemorySwap: 64 << 20}},
		"no swap is counted": {"Memory", map[string]int64{"Memory": 64 << 20, "MemorySwap": 64 << 20}, fakeEngine{noSwap: true}, container.Resources{Memory: 64 << 20, MemorySwap: -1}},
		"shares":             {"CPUShares", 512, fakeEngine{}, container.Resources{CPUShares: 512}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.engine.host.RestartPolicy = policy
			set, err := change.SetLimit("abc", "web", c.limit, 0, c.value, "A")
			if err != nil || set.Irrevocable == "" {
				t.Fatalf("%+v, %v", set, err)
			}
			document, err := Places{Engine: &c.engine}.Open(set.Setting.Target)
			if err != nil {
				t.Fatal(err)
			}
			before, _ := document.Read(t.Context())
			after, err := document.Edit(before, []change.Setting{*set.Setting})
			if err != nil {
				t.Fatal(err)
			}
			if err := document.Put(t.Context(), before, after); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(container.HostConfig{Resources: c.want, RestartPolicy: policy}, c.engine.host); diff != "" {
				t.Error(diff)
			}
			if err := document.Put(t.Context(), after, before); err == nil || !strings.Contains(err.Error(), "kept its old configuration") {
				t.Errorf("taken off: %v", err)
			}
		})
	}
}

func TestPutSaysWhatItFound(t *testing.T) {
	t.Parallel()
	e := &fakeEngine{refuses: errors.New("no such limit")}
	document, err := Places{Engine: e}.Open(change.Container + "abc/PidsLimit")
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
	document, err := Places{Engine: &fakeEngine{gone: true}}.Open(change.Container + "abc/PidsLimit")
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
	for _, target := range []string{"nothing", change.Container + "abc", change.Container + "abc/Privileged"} {
		if _, err := (Places{Engine: &fakeEngine{}}).Open(target); err == nil || !strings.Contains(err.Error(), "cannot be changed from here") {
			t.Errorf("%s: %v", target, err)
		}
	}
}
