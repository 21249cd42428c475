package rerun

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// swarmService is the label by which a swarm names the service of a container.
const swarmService = "com.docker.swarm.service.name"

// Service gives the options of docker service update that change what a swarm
// makes a container of, with more that a person has to fill in. Argv is nil if
// there are none.
func Service(before, after container.InspectResponse, more ...string) Line {
	if before.Config == nil || before.HostConfig == nil || after.Config == nil || after.HostConfig == nil {
		return Line{}
	}
	u := &update{was: before.HostConfig, is: after.HostConfig}
	if before.Config.User != after.Config.User {
		u.flag("user", after.Config.User)
	}
	if u.was.ReadonlyRootfs != u.is.ReadonlyRootfs {
		u.argv = append(u.argv, "--read-only="+strconv.FormatBool(u.is.ReadonlyRootfs))
	}
	for _, name := range u.was.CapAdd {
		if !slices.Contains(u.is.CapAdd, name) {
			u.flag("cap-drop", name)
		}
	}
	if u.was.Memory != u.is.Memory {
		u.flag("limit-memory", strconv.FormatInt(u.is.Memory, 10))
	}
	if is := pointed(u.is.PidsLimit, 0); pointed(u.was.PidsLimit, 0) != is {
		u.flag("limit-pids", strconv.FormatInt(is, 10))
	}
	if check := after.Config.Healthcheck; before.Config.Healthcheck == nil && check != nil && len(check.Test) == 2 {
		u.flag("health-cmd", withoutSecrets(check.Test[1]))
	}
	if u.was.NetworkMode.IsHost() && !u.is.NetworkMode.IsHost() {
		u.flag("network-rm", "host")
	}
	u.mounts()
	u.ulimits()
	u.ports()
	u.unsaid()
	u.argv = append(u.argv, more...)
	if len(u.argv) == 0 {
		return Line{Notes: u.notes}
	}
	argv := append([]string{"docker", "service", "update"}, u.argv...)
	return Line{Argv: append(argv, before.Config.Labels[swarmService]), Notes: u.notes}
}

// An update collects options of docker service update.
type update struct {
	was, is *container.HostConfig
	argv    []string
	notes   []string
}

func (u *update) flag(name, value string) { u.argv = append(u.argv, "--"+name, value) }

// mounts changes by target: a mount that is added takes the place of another.
func (u *update) mounts() {
	find := func(all []mount.Mount, target string) (string, bool) {
		at := slices.IndexFunc(all, func(m mount.Mount) bool { return m.Target == target })
		if at < 0 {
			return "", false
		}
		return joined(mountFields(all[at])), true
	}
	for _, m := range u.was.Mounts {
		is, there := find(u.is.Mounts, m.Target)
		switch {
		case !there:
			u.flag("mount-rm", m.Target)
		case is != joined(mountFields(m)):
			u.flag("mount-add", is)
		}
	}
}

func (u *update) ulimits() {
	for _, limit := range u.was.Ulimits {
		kept := func(l *container.Ulimit) bool { return l != nil && l.Name == limit.Name }
		if limit != nil && !slices.ContainsFunc(u.is.Ulimits, kept) {
			u.flag("ulimit-rm", limit.Name)
		}
	}
}

// ports changes those that each node publishes for its own tasks. A swarm knows
// no address.
func (u *update) ports() {
	for _, port := range sortedPorts(u.was.PortBindings) {
		was, is := u.was.PortBindings[port], u.is.PortBindings[port]
		if slices.Equal(was, is) {
			continue
		}
		u.flag("publish-rm", port.String())
		for _, binding := range is {
			text := fmt.Sprintf("mode=host,target=%s,protocol=%s", port.Port(), port.Proto())
			if binding.HostPort != "" {
				text += ",published=" + binding.HostPort
			}
			u.flag("publish-add", text)
			if binding.HostIP.IsValid() {
				u.notes = append(u.notes, fmt.Sprintf("a swarm publishes %s on all addresses of a node: leave out --publish-add and reach it over an overlay network, or have a firewall keep others away", port))
			}
		}
	}
}

// unsaid notes what docker service update has no option for.
func (u *update) unsaid() {
	for _, name := range []string{"privileged", "pid", "ipc", "uts", "userns_mode", "cgroup_parent", "cpu_shares", "security_opt", "devices", "device_cgroup_rules", "gpus"} {
		at := slices.IndexFunc(composeKeys, func(k key) bool { return k.name == name })
		k := composeKeys[at]
		if !slices.Equal(k.entries(nil, u.was), k.entries(nil, u.is)) {
			u.notes = append(u.notes, "docker service update has no option for "+name+": give it to all containers of the engine with daemon.json where that has one (no-new-privileges, default-ipc-mode), or run the service as containers of its own")
		}
	}
}
