package rerun

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// Labels by which compose names what a container is of.
const (
	composeService = "com.docker.compose.service"
	composeFiles   = "com.docker.compose.project.config_files"
)

// A key is one of a service in a compose file. Its entries are JSON, which is
// YAML too; a key with one value has one.
//
// https://docs.docker.com/reference/compose-file/services/
type key struct {
	name    string
	kind    keyKind
	entries func(*container.Config, *container.HostConfig) []string
}

type keyKind int

const (
	scalar keyKind = iota
	list
	mapping
)

var composeKeys = []key{
	{"privileged", scalar, host(func(h *container.HostConfig) bool { return h.Privileged })},
	{"pid", scalar, host(func(h *container.HostConfig) container.PidMode { return h.PidMode })},
	{"ipc", scalar, host(func(h *container.HostConfig) container.IpcMode { return h.IpcMode })},
	{"uts", scalar, host(func(h *container.HostConfig) container.UTSMode { return h.UTSMode })},
	{"userns_mode", scalar, host(func(h *container.HostConfig) container.UsernsMode { return h.UsernsMode })},
	{"network_mode", scalar, host(networkMode)},
	{"cgroup_parent", scalar, host(func(h *container.HostConfig) string { return h.CgroupParent })},
	{"read_only", scalar, host(func(h *container.HostConfig) bool { return h.ReadonlyRootfs })},
	{"user", scalar, func(c *container.Config, _ *container.HostConfig) []string { return one(c.User) }},
	{"mem_limit", scalar, host(func(h *container.HostConfig) int64 { return h.Memory })},
	{"cpu_shares", scalar, host(func(h *container.HostConfig) int64 { return h.CPUShares })},
	{"pids_limit", scalar, host(func(h *container.HostConfig) int64 { return pointed(h.PidsLimit, 0) })},
	{"restart", scalar, host(restart)},
	{"healthcheck", scalar, healthcheck},
	{"cap_add", list, texts(func(h *container.HostConfig) []string { return h.CapAdd })},
	{"security_opt", list, texts(shownSecurity)},
	{"devices", list, texts(deviceTexts)},
	{"device_cgroup_rules", list, texts(func(h *container.HostConfig) []string { return h.DeviceCgroupRules })},
	{"gpus", list, gpuEntries},
	{"ulimits", mapping, ulimitEntries},
	{"ports", list, texts(publications)},
	{"volumes", list, volumeEntries},
}

// Compose gives what has to be written in the compose file of a container's
// project for it to come out changed: the keys of its service that differ. What
// is to go stands behind #, and more are keys that a person has to fill in. Nil:
// there is nothing to write.
func Compose(before, after container.InspectResponse, more ...string) []string {
	if before.Config == nil || before.HostConfig == nil || after.Config == nil || after.HostConfig == nil {
		return nil
	}
	var lines []string
	for _, k := range composeKeys {
		lines = append(lines, k.difference(k.entries(before.Config, before.HostConfig), k.entries(after.Config, after.HostConfig))...)
	}
	for _, line := range more {
		lines = append(lines, "    "+line)
	}
	if len(lines) == 0 {
		return nil
	}
	head := []string{}
	if files := before.Config.Labels[composeFiles]; files != "" {
		head = append(head, "# "+Plain(files))
	}
	return slices.Concat(append(head, "services:", "  "+asJSON(before.Config.Labels[composeService])+":"), lines)
}

// difference is what becomes of one key.
func (k key) difference(before, after []string) []string {
	const indent = "    "
	if slices.Equal(before, after) {
		return nil
	}
	if len(after) == 0 {
		return []string{indent + "# without " + k.name}
	}
	if k.kind == scalar {
		return []string{indent + k.name + ": " + after[0]}
	}
	lines := []string{indent + k.name + ":"}
	for _, entry := range before {
		if !slices.Contains(after, entry) {
			lines = append(lines, indent+"  # without "+entry)
		}
	}
	mark := map[keyKind]string{list: "- "}[k.kind]
	added := false
	for _, entry := range after {
		if !slices.Contains(before, entry) {
			lines, added = append(lines, indent+"  "+mark+entry), true
		}
	}
	if !added {
		lines[0] = indent + "# " + k.name + ":" // a key without a value would be null
	}
	return lines
}

// asJSON writes a value on one line. Compose takes $ for a variable.
func asJSON(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return `""`
	}
	return strings.ReplaceAll(Plain(strings.TrimSpace(out.String())), "$", "$$")
}

// one is the entry of a key with one value, none if it is the zero value.
func one[T comparable](value T) []string {
	var zero T
	if value == zero {
		return nil
	}
	return []string{asJSON(value)}
}

func host[T comparable](of func(*container.HostConfig) T) func(*container.Config, *container.HostConfig) []string {
	return func(_ *container.Config, h *container.HostConfig) []string { return one(of(h)) }
}

func texts(of func(*container.HostConfig) []string) func(*container.Config, *container.HostConfig) []string {
	return func(_ *container.Config, h *container.HostConfig) []string {
		var entries []string
		for _, text := range of(h) {
			entries = append(entries, asJSON(text))
		}
		return entries
	}
}

func networkMode(h *container.HostConfig) string {
	if h.NetworkMode.IsDefault() {
		return ""
	}
	return string(h.NetworkMode)
}

func restart(h *container.HostConfig) string {
	switch {
	case h.RestartPolicy.IsNone():
		return ""
	case h.RestartPolicy.MaximumRetryCount > 0:
		return fmt.Sprintf("%s:%d", h.RestartPolicy.Name, h.RestartPolicy.MaximumRetryCount)
	}
	return string(h.RestartPolicy.Name)
}

func healthcheck(c *container.Config, _ *container.HostConfig) []string {
	if c.Healthcheck == nil {
		return nil
	}
	test := []string{}
	for _, word := range c.Healthcheck.Test {
		test = append(test, withoutSecrets(word))
	}
	return []string{asJSON(map[string]any{"test": test})}
}

// shownSecurity are the options but for the text of a seccomp profile.
func shownSecurity(h *container.HostConfig) []string {
	var shown []string
	for _, option := range h.SecurityOpt {
		if !strings.HasPrefix(option, "seccomp={") && !strings.HasPrefix(option, "seccomp:{") {
			shown = append(shown, option)
		}
	}
	return shown
}

func deviceTexts(h *container.HostConfig) []string {
	var all []string
	for _, d := range h.Devices {
		all = append(all, deviceText(d))
	}
	for _, request := range h.DeviceRequests {
		if request.Driver == "cdi" {
			all = append(all, request.DeviceIDs...)
		}
	}
	return all
}

// gpuEntries are requests for devices; those of the CDI are devices.
func gpuEntries(_ *container.Config, h *container.HostConfig) []string {
	var all []string
	for _, r := range h.DeviceRequests {
		if r.Driver == "cdi" {
			continue
		}
		entry := map[string]any{"capabilities": slices.Concat(r.Capabilities...)}
		if r.Driver != "" {
			entry["driver"] = r.Driver
		}
		if len(r.DeviceIDs) > 0 {
			entry["device_ids"] = r.DeviceIDs
		} else {
			entry["count"] = r.Count
		}
		all = append(all, asJSON(entry))
	}
	return all
}

func ulimitEntries(_ *container.Config, h *container.HostConfig) []string {
	var all []string
	for _, u := range h.Ulimits {
		if u != nil {
			all = append(all, fmt.Sprintf(`%s: {"soft": %d, "hard": %d}`, asJSON(u.Name), u.Soft, u.Hard))
		}
	}
	return all
}

func publications(h *container.HostConfig) []string {
	var all []string
	for _, port := range sortedPorts(h.PortBindings) {
		for _, binding := range h.PortBindings[port] {
			all = append(all, publication(port, binding))
		}
	}
	return all
}

// volumeEntries are binds and volumes in the short form, and mounts in the long
// one.
func volumeEntries(_ *container.Config, h *container.HostConfig) []string {
	var all []string
	for _, bind := range h.Binds {
		all = append(all, asJSON(bind))
	}
	for _, m := range h.Mounts {
		entry := map[string]any{"type": m.Type, "target": m.Target}
		if m.Source != "" {
			entry["source"] = m.Source
		}
		if m.ReadOnly {
			entry["read_only"] = true
		}
		if m.Type == mount.TypeBind && m.BindOptions != nil && m.BindOptions.Propagation != "" {
			entry["bind"] = map[string]any{"propagation": m.BindOptions.Propagation}
		}
		all = append(all, asJSON(entry))
	}
	return all
}
