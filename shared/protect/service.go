package protect

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/swarm"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// Service judges the tasks of a swarm service. They may run on other nodes,
// whose folders and volumes cannot be seen from here: this node's stand for
// theirs.
func (r *Rules) Service(ctx context.Context, spec swarm.TaskSpec, image reference.Named, ask Lookup) error {
	j := r.judge(image, ask)
	j.service = true
	if err := j.networks(ctx, spec.Networks); err != nil {
		return err
	}
	if spec.LogDriver != nil {
		if err := j.logs(container.LogConfig{Type: spec.LogDriver.Name, Config: spec.LogDriver.Options}); err != nil {
			return err
		}
	}
	if spec.ContainerSpec == nil {
		return nil
	}
	if err := templates(spec.ContainerSpec.Mounts); err != nil {
		return err
	}
	return j.container(ctx, Subject{Host: asHost(spec.ContainerSpec)}, 0)
}

// asHost gives what a task's container would have, as the engine's executor
// makes it (moby, daemon/cluster/executor/container).
func asHost(spec *swarm.ContainerSpec) *container.HostConfig {
	h := &container.HostConfig{CapAdd: spec.CapabilityAdd, Sysctls: spec.Sysctls, Mounts: spec.Mounts}
	p := spec.Privileges
	if p == nil {
		return h
	}
	add := func(option string) { h.SecurityOpt = append(h.SecurityOpt, option) }
	if p.Seccomp != nil && p.Seccomp.Mode != "" && p.Seccomp.Mode != swarm.SeccompModeDefault {
		add("seccomp=" + string(p.Seccomp.Mode))
	}
	if p.AppArmor != nil && p.AppArmor.Mode != "" && p.AppArmor.Mode != swarm.AppArmorModeDefault {
		add("apparmor=" + string(p.AppArmor.Mode))
	}
	if s := p.SELinuxContext; s != nil && s.Disable {
		add("label=disable")
	}
	if s := p.SELinuxContext; s != nil && s.Type != "" {
		add("label=type:" + s.Type)
	}
	return h
}

// networks refuses a service on the host's network, which may be called by its
// name or by its ID.
func (j *judgement) networks(ctx context.Context, list []swarm.NetworkAttachmentConfig) error {
	if len(list) == 0 || j.allows(policy.SettingHostNamespaces, j.policy.HostNamespaces) {
		return nil
	}
	for _, n := range list {
		host, err := j.isHostNetwork(ctx, n.Target)
		if err != nil {
			return err
		}
		if host {
			return j.refuse(policy.SettingHostNamespaces, "the network "+quote(n.Target), "is the host's, with what listens there for the host alone")
		}
	}
	return nil
}

func (j *judgement) isHostNetwork(ctx context.Context, name string) (bool, error) {
	if name == "host" {
		return true, nil
	}
	if j.ask == nil {
		return false, fmt.Errorf("network %s: there is nobody to ask about it", quote(name))
	}
	driver, err := j.ask.Network(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return false, nil // the engine will say so itself
	}
	if err != nil {
		return false, fmt.Errorf("asking the engine for network %s: %w", quote(name), err)
	}
	return driver == "host", Driver(driver)
}
