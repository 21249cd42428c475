package rules

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// corrections are what becomes of a container that a rule finds open. A rule
// that is not here is met in the image, or in what runs.
var corrections = map[stig.ID]func(context.Context, *repair){
	"DKER-EE-001960": noPrivileges,
	"DKER-EE-001240": ownNamespace(pidNamespace, func(h *container.HostConfig) *container.PidMode { return &h.PidMode }),
	"DKER-EE-001250": func(_ context.Context, r *repair) {
		if r.c.HostConfig.IpcMode.IsContainer() {
			r.hint("it shares memory with another container, which shareable IPC namespaces alone allow: see whether both can do without")
		}
		r.c.HostConfig.IpcMode = container.IPCModePrivate
		r.withoutSecurity("label", "disable")
	},
	"DKER-EE-002000": ownNetwork,
	"DKER-EE-002060": func(_ context.Context, r *repair) { r.c.HostConfig.UTSMode = "" },
	"DKER-EE-002120": func(_ context.Context, r *repair) { r.c.HostConfig.UsernsMode = "" },
	"DKER-EE-002100": func(_ context.Context, r *repair) { r.c.HostConfig.CgroupParent = "" },

	"DKER-EE-001930": confined,
	"DKER-EE-001940": func(_ context.Context, r *repair) { r.withoutSecurity("label", "disable") },
	"DKER-EE-002070": func(ctx context.Context, r *repair) {
		if r.c.HostConfig.Privileged {
			noPrivileges(ctx, r)
		}
		r.withoutSecurity("seccomp", "unconfined")
	},
	"DKER-EE-002110": func(_ context.Context, r *repair) {
		r.withoutSecurity("no-new-privileges", "")
		r.c.HostConfig.SecurityOpt = append(r.c.HostConfig.SecurityOpt, "no-new-privileges")
	},
	"DKER-EE-001950": listedCapabilities,
	"DKER-EE-002040": listedDevices,
	"DKER-EE-004040": func(ctx context.Context, r *repair) {
		h := r.c.HostConfig
		h.Ulimits = slices.DeleteFunc(h.Ulimits, func(u *container.Ulimit) bool {
			return r.faulty(ctx, ownUlimits, container.HostConfig{Resources: container.Resources{Ulimits: []*container.Ulimit{u}}}, nil)
		})
	},

	"DKER-EE-001190": func(ctx context.Context, r *repair) { r.remount(ctx, sensitiveMounts, readOnly) },
	"DKER-EE-002050": func(ctx context.Context, r *repair) { r.remount(ctx, sharedPropagation, privately) },
	"DKER-EE-002130": func(ctx context.Context, r *repair) { r.remount(ctx, engineSocket, nil) },
	"DKER-EE-002030": func(_ context.Context, r *repair) {
		r.c.HostConfig.ReadonlyRootfs = true
		r.hint("where it has to write, add --tmpfs /tmp, --tmpfs /run or a volume: docker diff shows what it wrote so far")
	},
	"DKER-EE-003200": func(_ context.Context, r *repair) {
		r.c.Config.User = "UID:GID"
		r.hint("put a number above 0, such as 1000:1000, in the place of UID:GID: it has to be able to read and write what its program needs")
	},

	"DKER-EE-001990": listedPorts,
	"DKER-EE-002150": highPorts,
	"DKER-EE-002160": oneAddress,

	"DKER-EE-002010": func(_ context.Context, r *repair) {
		size := r.limit(r.h.Site.Containers.MemoryOf(namesOf(r.c)...), "SIZE", "--memory", "mem_limit", "--limit-memory",
			"put the most that it may use in the place of SIZE, such as 512m: docker stats shows what it uses")
		r.update, r.create = append(r.update, "--memory-swap", size), append(r.create, "--memory-swap", size)
		r.unset = append(r.unset, func(h *container.HostConfig) { h.Memory, h.MemorySwap = 0, 0 })
	},
	"DKER-EE-002020": func(_ context.Context, r *repair) {
		r.limit(r.h.Site.Containers.CPUSharesOf(namesOf(r.c)...), "SHARES", "--cpu-shares", "cpu_shares", "",
			"put its weight in the place of SHARES: 512 is half of what a container without any has, and 1024 counts as none")
		r.unset = append(r.unset, func(h *container.HostConfig) { h.CPUShares = 0 })
		if labelOf(r.c, serviceLabel) != "" {
			r.hint("a swarm service has no CPU shares: docker update --cpu-shares lasts until the swarm makes its containers anew")
		}
	},
	"DKER-EE-002780": func(_ context.Context, r *repair) {
		r.limit(r.h.Site.Containers.PidsLimitOf(namesOf(r.c)...), "COUNT", "--pids-limit", "pids_limit", "--limit-pids",
			"put the most processes and threads that it may have in the place of COUNT, such as 100: docker stats shows how many it has")
		r.unset = append(r.unset, func(h *container.HostConfig) { h.PidsLimit = nil })
	},
	"DKER-EE-004030": func(_ context.Context, r *repair) {
		r.update = append(r.update, "--restart", fmt.Sprintf("on-failure:%d", maxRestarts))
		r.options = append(r.options, "--restart-condition", "on-failure", "--restart-max-attempts", fmt.Sprint(maxRestarts))
		r.also = append(r.also, func(h *container.HostConfig) {
			h.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyOnFailure, MaximumRetryCount: maxRestarts}
		})
	},
	"DKER-EE-002770": func(_ context.Context, r *repair) {
		if healthOf(r.c) != container.NoHealthcheck {
			return // its check is there, and says what is wrong
		}
		r.c.Config.Healthcheck = &container.HealthConfig{Test: []string{"CMD-SHELL", "COMMAND"}}
		r.hint("put a command that fails where its program does not work in the place of COMMAND; a shell in the container runs it")
	},
}

// limit has docker update set a limit to the site's value, or to one that a
// person fills in, and gives it.
func (r *repair) limit(plan site.Limit, blank, flag, key, option, hint string) string {
	value := plan.Text
	if value == "" {
		value = blank
		r.hint(hint)
	}
	r.update, r.create = append(r.update, flag, value), append(r.create, flag, value)
	r.keys = append(r.keys, key+": "+value)
	if option != "" {
		r.options = append(r.options, option, value)
	}
	return value
}

// faulty asks a rule about a container that has nothing but what is given.
func (r *repair) faulty(ctx context.Context, judge containerJudge, config container.HostConfig, mounts []container.MountPoint) bool {
	alone := host.Container{InspectResponse: container.InspectResponse{ID: r.c.ID, Name: r.c.Name, Config: r.c.Config, HostConfig: &config, Mounts: mounts}}
	fault, err := judge(ctx, r.h, alone)
	return err == nil && fault != ""
}

type containerJudge func(context.Context, *host.Host, host.Container) (string, error)

func noPrivileges(_ context.Context, r *repair) {
	r.c.HostConfig.Privileged = false
	r.withoutSecurity("label", "disable") // the engine put it there
	r.hint("it had all capabilities and devices: add with --cap-add and --device the few that it needs and the security plan allows")
}

// ownNamespace takes a container out of the host's namespace. One that joins
// another container's joins the new one of the same name.
func ownNamespace[M ~string](n namespace, of func(*container.HostConfig) *M) func(context.Context, *repair) {
	return func(ctx context.Context, r *repair) {
		mode := of(r.c.HostConfig)
		name, joins := strings.CutPrefix(string(*mode), "container:")
		if !joins {
			*mode = ""
			r.withoutSecurity("label", "disable")
			return
		}
		next, err := r.h.NamedContainer(ctx, name)
		if err != nil || next == nil {
			return
		}
		*mode = M("container:" + next.Title())
		r.hint(fmt.Sprintf("make container %s anew first, whose %s namespace it joins", next.Title(), n.name))
	}
}

func ownNetwork(ctx context.Context, r *repair) {
	h := r.c.HostConfig
	host := h.NetworkMode.IsHost()
	ownNamespace(netNamespace, func(h *container.HostConfig) *container.NetworkMode { return &h.NetworkMode })(ctx, r)
	if !host {
		return
	}
	r.c.Config.Hostname = "" // it was the host's
	if r.c.NetworkSettings != nil {
		delete(r.c.NetworkSettings.Networks, network.NetworkHost)
	}
	r.hint("add --network and --publish ADDRESS:PORT:PORT for what others reach it by")
}

// withoutSecurity takes options out of SecurityOpt: those of a key with a value,
// or all of the key.
func (r *repair) withoutSecurity(key, value string) {
	h := r.c.HostConfig
	kept := []string{}
	for i, option := range securityOptions(r.c) {
		if option.key != key || value != "" && option.value != value {
			kept = append(kept, h.SecurityOpt[i])
		}
	}
	if len(kept) < len(h.SecurityOpt) {
		h.SecurityOpt = kept
	}
}

// confined puts a container below the engine's AppArmor profile, where the
// engine has one.
func confined(ctx context.Context, r *repair) {
	_, on, _, err := engineSecurity(ctx, r.h, "apparmor")
	if profile := r.c.AppArmorProfile; err != nil || !on || profile != "" && profile != "unconfined" {
		return // what the rule says is done on the host
	}
	if r.c.HostConfig.Privileged {
		noPrivileges(ctx, r)
	}
	r.withoutSecurity("apparmor", "")
	r.c.HostConfig.SecurityOpt = append(r.c.HostConfig.SecurityOpt, "apparmor=docker-default")
}

func listedCapabilities(ctx context.Context, r *repair) {
	h := r.c.HostConfig
	if h.Privileged {
		noPrivileges(ctx, r)
	}
	h.CapAdd = slices.DeleteFunc(h.CapAdd, func(name string) bool {
		return r.faulty(ctx, extraCapabilities, container.HostConfig{CapAdd: []string{name}}, nil)
	})
}

func listedDevices(ctx context.Context, r *repair) {
	h := r.c.HostConfig
	faulty := func(given container.Resources) bool {
		return r.faulty(ctx, hostDevices, container.HostConfig{Resources: given}, nil)
	}
	h.Devices = slices.DeleteFunc(h.Devices, func(d container.DeviceMapping) bool {
		return faulty(container.Resources{Devices: []container.DeviceMapping{d}})
	})
	h.DeviceRequests = slices.DeleteFunc(h.DeviceRequests, func(d container.DeviceRequest) bool {
		return faulty(container.Resources{DeviceRequests: []container.DeviceRequest{d}})
	})
	h.DeviceCgroupRules = slices.DeleteFunc(h.DeviceCgroupRules, func(rule string) bool {
		return faulty(container.Resources{DeviceCgroupRules: []string{rule}})
	})
}

// A remounting changes a bind's options, and a mount.
type remounting struct {
	bind  func(options []string) []string
	mount func(*mount.Mount)
}

var (
	readOnly = &remounting{
		func(options []string) []string {
			return append(slices.DeleteFunc(options, func(o string) bool { return o == "rw" || o == "ro" }), "ro")
		},
		func(m *mount.Mount) { m.ReadOnly = true },
	}
	privately = &remounting{
		func(options []string) []string {
			return append(slices.DeleteFunc(options, func(o string) bool { return o == "shared" || o == "rshared" }), string(mount.PropagationRPrivate))
		},
		func(m *mount.Mount) {
			if m.BindOptions == nil {
				m.BindOptions = &mount.BindOptions{}
			}
			m.BindOptions.Propagation = mount.PropagationRPrivate
		},
	}
)

// remount changes each mount that a rule finds fault with; nil takes it out.
func (r *repair) remount(ctx context.Context, judge containerJudge, how *remounting) {
	for _, m := range slices.Clone(r.c.Mounts) {
		if !r.faulty(ctx, judge, container.HostConfig{}, []container.MountPoint{m}) {
			continue
		}
		if !r.rebind(m.Destination, how) {
			r.hint(fmt.Sprintf("what is mounted at %s comes from another container (--volumes-from) or the image: change it there", m.Destination))
			continue
		}
		if how == nil {
			r.hint(fmt.Sprintf("it is without %s now: find another way for what it did with that", m.Destination))
		}
	}
}

// rebind changes what is mounted at a path, and reports whether it was asked
// for by this container.
func (r *repair) rebind(destination string, how *remounting) bool {
	h, found := r.c.HostConfig, false
	var binds []string
	for _, bind := range h.Binds {
		parts := strings.SplitN(bind, ":", 3)
		if len(parts) < 2 || path.Clean(parts[1]) != path.Clean(destination) {
			binds = append(binds, bind)
			continue
		}
		found = true
		if how == nil {
			continue
		}
		var options []string
		if len(parts) == 3 {
			options = strings.Split(parts[2], ",")
		}
		binds = append(binds, parts[0]+":"+parts[1]+":"+strings.Join(how.bind(options), ","))
	}
	h.Binds = binds
	there := func(m mount.Mount) bool { return path.Clean(m.Target) == path.Clean(destination) }
	if how == nil {
		before := len(h.Mounts)
		h.Mounts = slices.DeleteFunc(h.Mounts, there)
		return found || len(h.Mounts) < before
	}
	for i := range h.Mounts {
		if there(h.Mounts[i]) {
			found = true
			how.mount(&h.Mounts[i])
		}
	}
	return found
}

// listedPorts publishes what the site's list has, and nothing else.
func listedPorts(ctx context.Context, r *repair) {
	h := r.c.HostConfig
	if r.c.NetworkSettings == nil {
		return
	}
	for _, port := range inOrder(r.c.NetworkSettings.Ports) {
		alone := r.c
		alone.NetworkSettings = &container.NetworkSettings{Ports: network.PortMap{port: r.c.NetworkSettings.Ports[port]}}
		if fault, err := undocumentedPorts(ctx, r.h, alone); err != nil || fault == "" {
			continue
		}
		delete(h.PortBindings, port)
		if h.PublishAllPorts {
			h.PublishAllPorts = false
			r.hint("publish with --publish ADDRESS:PORT:PORT what the security plan allows of its ports")
		}
	}
}

// inOrder are the ports of a map.
func inOrder(m network.PortMap) []network.Port {
	return slices.SortedFunc(maps.Keys(m), func(a, b network.Port) int { return strings.Compare(a.String(), b.String()) })
}

// moved is how far a port is moved for one to propose: 80 becomes 8080, and
// 443 becomes 8443.
const moved = 8000

// highPorts proposes ports of the host that need no privileges.
func highPorts(_ context.Context, r *repair) {
	for _, into := range inOrder(r.c.HostConfig.PortBindings) {
		bindings := r.c.HostConfig.PortBindings[into]
		for i, binding := range bindings {
			ports, err := network.ParsePortRange(binding.HostPort + "/" + string(into.Proto()))
			if err != nil || ports.Start() == 0 || ports.Start() >= firstFreePort || int(ports.End())+moved > 1<<16-1 {
				continue
			}
			text := fmt.Sprint(ports.Start() + moved)
			if ports.End() != ports.Start() {
				text += fmt.Sprintf("-%d", ports.End()+moved)
			}
			bindings[i].HostPort = text
			r.hint(fmt.Sprintf("%s in the place of port %s is a proposal: see that it is free, and tell those who connect", text, binding.HostPort))
		}
	}
}

// oneAddress binds what is published to this host itself.
func oneAddress(_ context.Context, r *repair) {
	h := r.c.HostConfig
	here := netip.MustParseAddr("127.0.0.1")
	if h.PublishAllPorts {
		h.PublishAllPorts = false
		if h.PortBindings == nil {
			h.PortBindings = network.PortMap{}
		}
		for port := range r.c.Config.ExposedPorts {
			if len(h.PortBindings[port]) == 0 {
				h.PortBindings[port] = []network.PortBinding{{HostIP: here}}
			}
		}
	}
	for _, bindings := range h.PortBindings {
		for i, binding := range bindings {
			switch {
			case binding.HostIP.Is6() && binding.HostIP.IsUnspecified():
				bindings[i].HostIP = netip.IPv6Loopback()
			case !binding.HostIP.IsValid() || binding.HostIP.IsUnspecified():
				bindings[i].HostIP = here
			}
		}
	}
	r.hint("127.0.0.1 is reached from this host alone: put the address in its place that others are to reach")
}
