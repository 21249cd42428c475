package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/network"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// portRules want the ports of the host that lead into containers to be few,
// known and bound to one address.
//
// https://docs.docker.com/engine/network/port-publishing/
var portRules = []Rule{
	// V-235804 and V-235837, CAT II: published ports are the plan's.
	containerRule{
		id: "DKER-EE-001990", also: "DKER-EE-003560", running: true, judge: undocumentedPorts, list: allowedPorts,
		asked: "NetworkSettings.Ports", answer: shownPorts, aside: onHostNetwork,
	}.rule([]Step{
		{"NetworkSettings.Ports of a running container maps no port to the host", "undocumentedPorts"},
		{"or the security plan has each: containers.ports in site.yaml", "undocumentedPorts"},
	}, everyReading,
		"The port compared is the host's, which others reach; a port that the image exposes and nobody publishes is none.",
		restartReading,
		"A container on the host's network maps no port, although all it opens are the host's: DKER-EE-002000 judges that, and such containers are counted.",
		"Ports that a swarm publishes through its routing mesh belong to no container, and NetworkSettings.Ports does not have them."),
	// V-235819, CAT I: no port of the host below 1024 leads into a container.
	containerRule{
		id: "DKER-EE-002150", judge: privilegedPorts,
		asked: "NetworkSettings.Ports and HostConfig.PortBindings", answer: shownPorts, aside: onHostNetwork,
	}.rule([]Step{{"no HostPort in NetworkSettings.Ports of a container is below 1024", "privilegedPorts"}}, everyReading,
		"A container that does not run, or is between two starts, has nothing in NetworkSettings.Ports: what it would publish is read from HostConfig.PortBindings.",
		"A port that the engine chooses at the start is above 1023, and none of a stopped container; of a range the lowest counts."),
	// V-235820, CAT II: published ports are bound to one address of the host.
	containerRule{
		id: "DKER-EE-002160", running: true, judge: wildcardPorts,
		asked: "NetworkSettings.Ports", answer: shownPorts, aside: onHostNetwork,
	}.rule([]Step{{"no HostIp in NetworkSettings.Ports of a running container is 0.0.0.0", "wildcardPorts"}}, everyReading,
		":: and an empty address are all addresses too.",
		restartReading),
}

// restartReading is that of rules about the ports of running containers.
const restartReading = "A container between two starts has nothing in NetworkSettings.Ports: the ports it was made with (HostConfig.PortBindings) are judged."

// firstFreePort is the first that a program without privileges may open.
const firstFreePort = 1024

// A publication is a port of the host that leads, or would lead, into a
// container.
type publication struct {
	addr  netip.Addr // unspecified: all of the host's
	ports network.PortRange
	into  network.Port
}

// String is as docker ps writes it.
func (p publication) String() string {
	number := fmt.Sprint(p.ports.Start())
	if p.ports.End() != p.ports.Start() {
		number += fmt.Sprintf("-%d", p.ports.End())
	}
	addr := "0.0.0.0"
	if p.addr.IsValid() {
		addr = p.addr.String()
	}
	return fmt.Sprintf("%s->%v", net.JoinHostPort(addr, number), p.into)
}

// everywhere reports whether it is bound to all addresses of the host.
func (p publication) everywhere() bool { return !p.addr.IsValid() || p.addr.Unmap().IsUnspecified() }

// publications reads a map of ports. Those the engine has yet to choose are
// left out.
func publications(m network.PortMap) ([]publication, error) {
	var all []publication
	for into, bindings := range m {
		for _, binding := range bindings {
			if binding.HostPort == "" || binding.HostPort == "0" {
				continue
			}
			ports, err := network.ParsePortRange(binding.HostPort + "/" + string(into.Proto()))
			if err != nil {
				return nil, fmt.Errorf("its port %v is published on %q, which is no port: look at docker inspect: %w", into, binding.HostPort, err)
			}
			all = append(all, publication{binding.HostIP, ports, into})
		}
	}
	slices.SortFunc(all, func(a, b publication) int {
		return cmp.Or(cmp.Compare(a.ports.Start(), b.ports.Start()), cmp.Compare(a.ports.Proto(), b.ports.Proto()), a.addr.Compare(b.addr), strings.Compare(a.String(), b.String()))
	})
	return all, nil
}

// published are the ports that lead into a running container. Between two
// starts it has none, and will have those it was made with.
func published(c host.Container) ([]publication, error) {
	if c.NetworkSettings == nil {
		return nil, errors.New("the engine's answer has no network settings: look at docker inspect")
	}
	if c.NetworkSettings.Ports == nil || c.State.Restarting {
		if to, err := toPublish(c); err != nil || len(to) > 0 {
			return to, err
		}
	}
	return publications(c.NetworkSettings.Ports)
}

// toPublish are the ports that will lead into a container once it runs. One
// that has no network of its own, or another's, publishes nothing.
func toPublish(c host.Container) ([]publication, error) {
	mode := c.HostConfig.NetworkMode
	if mode.IsHost() || mode.IsNone() || mode.IsContainer() {
		return nil, nil
	}
	return publications(c.HostConfig.PortBindings)
}

// shownPorts are a container's ports for evidence.
func shownPorts(c host.Container) any {
	shown := map[string]any{"HostConfig.PortBindings": c.HostConfig.PortBindings}
	if c.NetworkSettings != nil {
		shown["NetworkSettings.Ports"] = c.NetworkSettings.Ports
	}
	return shown
}

func onHostNetwork(c host.Container) string {
	if c.HostConfig.NetworkMode.IsHost() {
		return "on the host's network, whose ports the engine does not map: DKER-EE-002000 judges that"
	}
	return ""
}

// portProtocols are those that the engine maps ports of.
var portProtocols = []network.IPProtocol{network.TCP, network.UDP, network.SCTP}

var allowedPorts = &siteList{
	key: "containers.ports", want: `a port of the host with its protocol, such as "443/tcp" or "8000-8010/tcp"`,
	from: func(c site.Containers) []string { return c.Ports },
	is: func(entry string) bool {
		_, ok := parsePorts(entry)
		return ok
	},
}

// parsePorts reads "443/tcp" and "8000-8010/udp"; tcp may be left out.
func parsePorts(entry string) (network.PortRange, bool) {
	listed, err := network.ParsePortRange(entry)
	return listed, err == nil && listed.Start() > 0 && slices.Contains(portProtocols, listed.Proto())
}

func undocumentedPorts(_ context.Context, h *host.Host, c host.Container) (string, error) {
	open, err := published(c)
	if err != nil {
		return "", err
	}
	var things []thing
	for _, p := range open {
		things = append(things, thing{"published port " + p.String(), func(entry string) bool {
			listed, ok := parsePorts(entry)
			return ok && listed.Proto() == p.ports.Proto() && listed.Start() <= p.ports.Start() && p.ports.End() <= listed.End()
		}})
	}
	missing, err := allowedPorts.beyond(h, c, things)
	if err != nil || len(missing) == 0 {
		return "", err
	}
	return fmt.Sprintf("it has %s, which %s in site.yaml does not list: make it anew without --publish for it and without --publish-all, or enter it there and in the security plan", strings.Join(missing, ", "), allowedPorts.key), nil
}

func privilegedPorts(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	ask, does := toPublish, "would publish"
	if c.Runs() && !c.State.Restarting {
		ask, does = published, "publishes"
	}
	all, err := ask(c)
	if err != nil {
		return "", err
	}
	var low []string
	for _, p := range all {
		if p.ports.Start() < firstFreePort {
			low = append(low, p.String())
		}
	}
	if len(low) == 0 {
		return "", nil
	}
	return fmt.Sprintf("it %s ports of the host below %d: %s: make it anew with a higher port", does, firstFreePort, strings.Join(low, ", ")), nil
}

func wildcardPorts(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	all, err := published(c)
	if err != nil {
		return "", err
	}
	var wide []string
	for _, p := range all {
		if p.everywhere() {
			wide = append(wide, p.String())
		}
	}
	if len(wide) == 0 {
		return "", nil
	}
	return "it publishes ports on all addresses of the host: " + strings.Join(wide, ", ") + ": make it anew with --publish ADDRESS:PORT:PORT, or give the engine an address for all with ip in daemon.json", nil
}
