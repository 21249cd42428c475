package rules

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// powerRules want what a container may do to the kernel and to devices to be
// what the site's plan says.
var powerRules = []Rule{
	// V-235801, CAT II: capabilities stay within the plan's.
	// https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
	containerRule{
		id: "DKER-EE-001950", judge: extraCapabilities, list: allowedCapabilities,
		asked: "HostConfig.Privileged, CapAdd and CapDrop", answer: shownCapabilities,
	}.rule([]Step{
		{"HostConfig.CapAdd and CapDrop of a container give no capability beyond the engine's default set", "extraCapabilities"},
		{"or the security plan names it: containers.capabilities in site.yaml", "extraCapabilities"},
	}, everyReading,
		"Those of the engine's default set need no entry: a container that nothing was added to has them.",
		"A privileged container has all capabilities, whatever CapAdd says.",
		"Engines of API 1.40 take a list in place of the default set (HostConfig.Capabilities), which the command does not print: it is judged like CapAdd."),
	// V-235809, CAT I: devices of the host are given as the plan says.
	// https://docs.docker.com/reference/cli/docker/container/run/#device
	containerRule{
		id: "DKER-EE-002040", judge: hostDevices, list: allowedDevices,
		asked: "HostConfig.Devices, DeviceRequests and DeviceCgroupRules",
		answer: func(c host.Container) any {
			return map[string]any{"Devices": c.HostConfig.Devices, "DeviceRequests": c.HostConfig.DeviceRequests, "DeviceCgroupRules": c.HostConfig.DeviceCgroupRules}
		},
		aside: func(c host.Container) string {
			if c.HostConfig.Privileged {
				return "privileged, with all devices of the host: DKER-EE-001960 judges that"
			}
			return ""
		},
	}.rule([]Step{
		{"HostConfig.Devices of a container is empty", "hostDevices"},
		{"or the security plan names each device, and its permissions: containers.devices in site.yaml", "hostDevices"},
	}, everyReading,
		"DeviceRequests (--gpus, CDI) and DeviceCgroupRules give devices too, and did not exist or were rare when the check was written: they are judged like Devices.",
		"A privileged container lists no device, which the check calls no finding, although it has them all: such containers are counted."),
}

// defaultCapabilities are what the engine gives a container that asks for
// nothing.
var defaultCapabilities = strings.Fields("AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT")

// capabilityName is what a capability looks like to docker run.
var capabilityName = regexp.MustCompile(`^(?i:CAP_)?[A-Za-z][A-Za-z_]+$`)

var allowedCapabilities = &siteList{
	key: "containers.capabilities", want: `the name of a capability, such as "NET_ADMIN"`,
	from: func(c site.Containers) []string { return c.Capabilities },
	is:   capabilityName.MatchString,
}

// capabilityOf is a capability as the kernel calls it, without CAP_.
func capabilityOf(text string) string {
	return strings.TrimPrefix(strings.ToUpper(text), "CAP_")
}

// shownCapabilities are a container's capabilities for evidence.
func shownCapabilities(c host.Container) any {
	shown := map[string]any{"Privileged": c.HostConfig.Privileged, "CapAdd": c.HostConfig.CapAdd, "CapDrop": c.HostConfig.CapDrop}
	if len(c.Capabilities) > 0 {
		shown["Capabilities"] = c.Capabilities
	}
	return shown
}

func extraCapabilities(_ context.Context, h *host.Host, c host.Container) (string, error) {
	added := slices.Concat(c.HostConfig.CapAdd, c.Capabilities)
	if c.HostConfig.Privileged {
		added = []string{"ALL"}
	}
	var extra []thing
	for _, text := range added {
		name := capabilityOf(text)
		if !slices.Contains(defaultCapabilities, name) {
			extra = append(extra, thing{"capability " + name, func(entry string) bool { return capabilityOf(entry) == name || capabilityOf(entry) == "ALL" }})
		}
	}
	missing, err := allowedCapabilities.beyond(h, c, extra)
	if err != nil || len(missing) == 0 {
		return "", err
	}
	return fmt.Sprintf("it has %s, which %s in site.yaml does not list: make it anew without --cap-add for it, or enter it there and in the security plan", strings.Join(missing, ", "), allowedCapabilities.key), nil
}

// What an entry of containers.devices may be beside a path: a rule for the
// device cgroup, a device of the CDI, the capabilities of a request.
var (
	cgroupRule   = regexp.MustCompile(`^[abc] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$`)
	cdiDevice    = regexp.MustCompile(`^[A-Za-z0-9.-]+/[A-Za-z0-9_.-]+=[A-Za-z0-9_.:-]+$`)
	requestedSet = regexp.MustCompile(`^[a-z0-9]+(,[a-z0-9]+)*$`)
)

var allowedDevices = &siteList{
	key:  "containers.devices",
	want: `a device such as "/dev/fuse" or "/dev/fuse:rw", a cgroup rule such as "c 189:* rw", a CDI device such as "nvidia.com/gpu=0", or the capabilities of a request such as "gpu"`,
	from: func(c site.Containers) []string { return c.Devices },
	is: func(entry string) bool {
		_, _, isPath := splitDevice(entry)
		return isPath || cgroupRule.MatchString(entry) || cdiDevice.MatchString(entry) || requestedSet.MatchString(entry)
	},
}

// everyPermission is what a device is given without a word.
const everyPermission = "rwm"

// splitDevice reads "/dev/fuse:rw"; without permissions all are meant.
func splitDevice(entry string) (device, permissions string, ok bool) {
	device, permissions, said := strings.Cut(entry, ":")
	if !said {
		permissions = everyPermission
	}
	ok = path.IsAbs(device) && permissions != "" && strings.Trim(permissions, everyPermission) == ""
	return path.Clean(device), permissions, ok
}

func hostDevices(_ context.Context, h *host.Host, c host.Container) (string, error) {
	var given []thing
	for _, device := range c.HostConfig.Devices {
		given = append(given, deviceThing(device))
	}
	for _, request := range c.HostConfig.DeviceRequests {
		for _, name := range requestNames(request) {
			given = append(given, thing{"device request " + name, func(entry string) bool { return entry == name }})
		}
	}
	for _, rule := range c.HostConfig.DeviceCgroupRules {
		given = append(given, thing{"device rule " + rule, func(entry string) bool { return entry == rule }})
	}
	missing, err := allowedDevices.beyond(h, c, given)
	if err != nil || len(missing) == 0 {
		return "", err
	}
	return fmt.Sprintf("it has %s, which %s in site.yaml does not list: make it anew without, or enter it there and in the security plan with the fewest permissions that do", strings.Join(missing, ", "), allowedDevices.key), nil
}

// deviceThing is listed by an entry for its path with all its permissions.
func deviceThing(d container.DeviceMapping) thing {
	permissions := d.CgroupPermissions
	if permissions == "" {
		permissions = everyPermission
	}
	return thing{fmt.Sprintf("device %s (%s)", d.PathOnHost, permissions), func(entry string) bool {
		device, allowed, ok := splitDevice(entry)
		return ok && device == path.Clean(d.PathOnHost) && strings.Trim(permissions, allowed) == ""
	}}
}

// requestNames are how a request for devices is entered in site.yaml: by the
// devices of the CDI, by each set of capabilities that it wants, or by its driver.
func requestNames(r container.DeviceRequest) []string {
	if r.Driver == "cdi" {
		return r.DeviceIDs
	}
	var names []string
	for _, set := range r.Capabilities {
		names = append(names, strings.Join(set, ","))
	}
	if len(names) == 0 {
		names = append(names, cmp.Or(r.Driver, "devices"))
	}
	return names
}
