package rules

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// isolationRules want containers kept apart from their host: its privileges,
// its namespaces and its tree of cgroups.
//
// https://docs.docker.com/engine/containers/run/
var isolationRules = []Rule{
	// V-235802, CAT II: no container is privileged.
	// https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
	containerRule{
		id: "DKER-EE-001960", filtered: true, judge: privileged,
		asked: "HostConfig.Privileged", answer: func(c host.Container) any { return c.HostConfig.Privileged },
	}.rule([]Step{{"HostConfig.Privileged of a container is not true", "privileged"}}),
	// V-235784, CAT II: none is in the host's PID namespace.
	pidNamespace.rule(containerRule{id: "DKER-EE-001240", filtered: true}),
	// V-235785, CAT II: none is in the host's IPC namespace, or offers its own.
	containerRule{
		id: "DKER-EE-001250", filtered: true, judge: sharesIPC, asked: ipcNamespace.asked, answer: ipcNamespace.answer,
	}.rule([]Step{{"HostConfig.IpcMode of a container is not shareable", "sharesIPC"}},
		"The check calls the value shareable a finding, and the fix forbids the value host: both are findings here.",
		"An empty value, which containers of old engines have, is a finding: the engine starts those as shareable.",
		joinedReading),
	// V-235805, CAT I: none is in the host's network namespace.
	netNamespace.rule(containerRule{id: "DKER-EE-002000", filtered: true}),
	// V-235811, CAT II: none is in the host's UTS namespace.
	containerRule{
		id: "DKER-EE-002060", judge: sharesUTS,
		asked: "HostConfig.UTSMode", answer: func(c host.Container) any { return c.HostConfig.UTSMode },
	}.rule([]Step{{"HostConfig.UTSMode of a container is not host", "sharesUTS"}}, everyReading),
	// V-235817, CAT I: none opts out of the engine's user namespaces.
	// https://docs.docker.com/engine/security/userns-remap/
	containerRule{
		id: "DKER-EE-002120", judge: sharesUsers,
		asked: "HostConfig.UsernsMode", answer: func(c host.Container) any { return c.HostConfig.UsernsMode },
	}.rule([]Step{{"HostConfig.UsernsMode of a container is empty; host is a finding", "sharesUsers"}}, everyReading,
		"The text speaks of a limit of processes, which is the subject of DKER-EE-002780; its command and its finding are about the user namespace, and so is the rule.",
		"Whether the engine maps users at all is not asked: a container without an option of its own passes."),
	// V-235815, CAT II: none is put below another cgroup than the plan says.
	containerRule{
		id: "DKER-EE-002100", judge: cgroupParent, list: allowedParents,
		asked: "HostConfig.CgroupParent", answer: func(c host.Container) any { return c.HostConfig.CgroupParent },
	}.rule([]Step{
		{"HostConfig.CgroupParent of a container is blank", "cgroupParent"},
		{"or it is one that the security plan names: containers.cgroup-parents in site.yaml", "cgroupParent"},
	}, everyReading),
}

// everyReading is that of rules whose check filters nothing.
const everyReading = "The text exempts no container, so those of UCP and DTR are judged too; containers.system: skip in site.yaml leaves them out."

// joinedReading is that of namespaces which one container can take from another.
const joinedReading = "A container that joins the namespace of another one (container:ID) is followed to the end: it is a finding where that one is in the host's."

func privileged(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	if c.HostConfig.Privileged {
		return "it is privileged (Privileged is true): make it anew without --privileged, with the devices and capabilities it needs", nil
	}
	return "", nil
}

// A namespace is one that a container may share with its host, or take from
// another container.
type namespace struct {
	name   string   // "PID"
	flag   string   // of docker run
	own    []string // modes in which it has its own; nil: any other than the host's, as of networks
	asked  string
	mode   func(*container.HostConfig) string
	answer func(host.Container) any
}

func newNamespace(name, flag, field string, own []string, mode func(*container.HostConfig) string) namespace {
	return namespace{name, flag, own, "HostConfig." + field, mode, func(c host.Container) any { return mode(c.HostConfig) }}
}

var (
	pidNamespace = newNamespace("PID", "--pid", "PidMode", []string{"", "private"}, func(c *container.HostConfig) string { return string(c.PidMode) })
	ipcNamespace = newNamespace("IPC", "--ipc", "IpcMode", []string{"", "private", "shareable", "none"}, func(c *container.HostConfig) string { return string(c.IpcMode) })
	netNamespace = newNamespace("network", "--network", "NetworkMode", nil, func(c *container.HostConfig) string { return string(c.NetworkMode) })
)

// rule is that of a namespace where only the host's is a finding.
func (n namespace) rule(r containerRule) Rule {
	r.asked, r.answer = n.asked, n.answer
	r.judge = func(ctx context.Context, h *host.Host, c host.Container) (string, error) {
		return sharesHost(ctx, h, c, n)
	}
	return r.rule([]Step{{n.asked + " of a container is not host", "sharesHost"}}, joinedReading)
}

// sharesHost follows a container to the one whose namespace it is in.
func sharesHost(ctx context.Context, h *host.Host, c host.Container, n namespace) (string, error) {
	through, seen := "", map[string]bool{}
	for at := &c; !seen[at.ID]; {
		seen[at.ID] = true
		mode := n.mode(at.HostConfig)
		if mode == "host" {
			return fmt.Sprintf("it is in the host's %s namespace%s: make %s anew without %s=host", n.name, through, at.Title(), n.flag), nil
		}
		name, joins := strings.CutPrefix(mode, "container:")
		if !joins && n.own != nil && !slices.Contains(n.own, mode) {
			return "", unknownMode(n.asked, mode)
		}
		if !joins {
			return "", nil
		}
		next, err := h.NamedContainer(ctx, name)
		if err != nil {
			return "", fmt.Errorf("it joins the %s namespace of another container: %w", n.name, err)
		}
		if next == nil {
			return "", fmt.Errorf("it joins the %s namespace of container %s, which the engine does not have any more: remove it, or make it anew", n.name, name)
		}
		at, through = next, through+" through container "+next.Title()
	}
	return "", fmt.Errorf("it joins the %s namespace of a container that joins its own: remove them", n.name)
}

func sharesIPC(ctx context.Context, h *host.Host, c host.Container) (string, error) {
	switch mode := c.HostConfig.IpcMode; {
	case mode.IsShareable():
		return "other containers may join its IPC namespace (IpcMode is shareable): make it anew with --ipc=private, and set default-ipc-mode to private for new ones", nil
	case mode.IsEmpty():
		return "other containers may join its IPC namespace (IpcMode is empty, which is shareable): make it anew with --ipc=private", nil
	default:
		return sharesHost(ctx, h, c, ipcNamespace)
	}
}

func sharesUTS(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	switch mode := c.HostConfig.UTSMode; mode {
	case "", "private":
		return "", nil
	case "host":
		return "it is in the host's UTS namespace (UTSMode is host), and can change the host's name: make it anew without --uts=host", nil
	default:
		return "", unknownMode("HostConfig.UTSMode", string(mode))
	}
}

func sharesUsers(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	switch mode := c.HostConfig.UsernsMode; mode {
	case "":
		return "", nil
	case "host":
		return "it is in the host's user namespace (UsernsMode is host), and its root is the host's: make it anew without --userns=host", nil
	default:
		return "", unknownMode("HostConfig.UsernsMode", string(mode))
	}
}

// unknownMode is said of a namespace that no engine of Docker's knows: another
// engine behind Docker's API may mean the host's by it.
func unknownMode(field, mode string) error {
	return fmt.Errorf("its %s is %q, which is none of Docker's: look at docker inspect, and whose namespace that is", field, mode)
}

// allowedParents are the cgroups that the site's plan names.
var allowedParents = &siteList{
	key: "containers.cgroup-parents", want: `a cgroup as --cgroup-parent takes it, such as "/shop" or "shop.slice"`,
	from: func(c site.Containers) []string { return c.CgroupParents },
	is:   func(entry string) bool { return entry != "" && !strings.ContainsAny(entry, ": ") },
}

func cgroupParent(_ context.Context, h *host.Host, c host.Container) (string, error) {
	parent := c.HostConfig.CgroupParent
	if parent == "" {
		return "", nil
	}
	same := func(entry string) bool { return path.Clean(entry) == path.Clean(parent) }
	missing, err := allowedParents.beyond(h, c, []thing{{"cgroup parent " + parent, same}})
	if err != nil || len(missing) == 0 {
		return "", err
	}
	return fmt.Sprintf("it is below cgroup %s, which %s in site.yaml does not list: make it anew without --cgroup-parent, or enter it there and in the security plan", parent, allowedParents.key), nil
}
