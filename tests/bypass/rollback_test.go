package bypass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// rollbackAttempts have a swarm go back to what a service was before the
// plugin. What that is stands in no request: each says what is signed.
var rollbackAttempts = []attempt{
	{name: "service rolled back to the unsigned", slow: true, about: unsignedDigest, after: endServices, before: func(ctx context.Context, a *try) error {
		return errors.Join(wasUnsigned(ctx, a), a.update(ctx, a.admissible("exec sleep 1000"), ""))
	}, do: func(ctx context.Context, a *try) error {
		return a.update(ctx, a.admissible("exec sleep 1000"), "&rollback=previous")
	}},
	{name: "service rolled back to the unsigned by an update that fails", slow: true, about: unsignedDigest, after: endServices, before: wasUnsigned, do: func(ctx context.Context, a *try) error {
		spec := a.admissible("exit 1")
		spec["UpdateConfig"] = object{"Parallelism": 1, "FailureAction": "rollback", "Monitor": (5 * time.Second).Nanoseconds()}
		return a.update(ctx, spec, "")
	}},
	{name: "service rolled back to the root of the host", slow: true, about: func(*try) string { return "protect.paths" }, after: endServices, before: func(ctx context.Context, a *try) error {
		old := a.second(a.repository()+"@"+a.signed.Digest, a.reach(inHost(a)))
		mounts := inTask(old)["Mounts"].([]object)
		inTask(old)["Mounts"] = append(mounts, object{"Type": "bind", "Source": "/", "Target": "/h"})
		return errors.Join(a.was(ctx, old), a.update(ctx, a.admissible("exec sleep 1000"), ""))
	}, do: func(ctx context.Context, a *try) error {
		return a.update(ctx, a.admissible("exec sleep 1000"), "&rollback=previous")
	}},
}

func unsignedDigest(a *try) string { return a.unsigned.Digest }

// admissible is a service that the plugin has nothing against.
func (a *try) admissible(script string) object {
	spec := a.spec(a.repository()+"@"+a.signed.Digest, a.script(script))
	delete(spec["TaskTemplate"].(object), "Networks")
	return spec
}

// second is a service whose program does what it is there for when it runs
// again: a volume tells it.
func (a *try) second(image string, program []string) object {
	spec := a.spec(image, a.script("[ -e /v/ran ] || { : >/v/ran; exit; }; "+program[2]))
	delete(spec["TaskTemplate"].(object), "Networks")
	inTask(spec)["Mounts"] = []object{{"Type": "volume", "Source": a.called("volume"), "Target": "/v"}}
	return spec
}

func wasUnsigned(ctx context.Context, a *try) error {
	return a.was(ctx, a.second(a.repository()+"@"+a.unsigned.Digest, a.program()))
}

// was leaves a service that has run once.
func (a *try) was(ctx context.Context, spec object) error {
	if err := errors.Join(inSwarm(ctx, a), a.service(ctx, spec)); err != nil {
		return err
	}
	ran := filepath.Join(a.data(), "volumes", a.called("volume"), "_data", "ran")
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ran); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the service has not run within %v", patience)
		}
	}
}
