package policy

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Setting is a key of "protect" that an exception may open to an image.
type Setting string

// The settings of "protect".
const (
	SettingPrivileged      Setting = "privileged"
	SettingHostNamespaces  Setting = "host-namespaces"
	SettingDevices         Setting = "devices"
	SettingCapabilities    Setting = "capabilities"
	SettingRuntimes        Setting = "runtimes"
	SettingSecurityOptions Setting = "security-options"
	SettingPaths           Setting = "paths"
	SettingBinds           Setting = "binds"
	SettingExecPrivileged  Setting = "exec-privileged"
)

// Settings are all there are, as the manual lists them.
var Settings = []Setting{
	SettingPrivileged, SettingHostNamespaces, SettingDevices, SettingCapabilities, SettingRuntimes,
	SettingSecurityOptions, SettingPaths, SettingBinds, SettingExecPrivileged,
}

// defaultProtect refuses all that leads from a container to its host.
//
// The capabilities are those that act within the container's own namespaces
// or on its own memory. SYS_PTRACE is not among them: it reaches into what the
// runtime runs in the container on an administrator's behalf. Nor is
// SYS_RESOURCE, which lifts the limits that are set for the container.
func defaultProtect() Protect {
	return Protect{
		Privileged: Deny, HostNamespaces: Deny, Devices: Deny, SecurityOptions: Deny, ExecPrivileged: Deny,
		Capabilities: []string{"IPC_LOCK", "IPC_OWNER", "LEASE", "NET_ADMIN", "NET_BROADCAST", "SYS_NICE"},
		Runtimes:     []string{"runc", "io.containerd.runc.v2"},
	}
}

// capabilityName is how capabilities are spelled; which there are is the
// kernel's to say.
var capabilityName = regexp.MustCompile(`^[A-Z][A-Z0-9_]+$`)

func (d *decoder) validateProtect(p *Policy) error {
	lists := []struct {
		key  string
		list []string
		ok   func(string) bool
		want string
	}{
		{"capabilities", p.Protect.Capabilities, func(s string) bool { return capabilityName.MatchString(strings.ToUpper(s)) }, "a capability such as NET_ADMIN, or ALL"},
		{"runtimes", p.Protect.Runtimes, func(s string) bool { return s != "" && !strings.ContainsAny(s, " \t\r\n") }, "the name of a runtime such as runc"},
		{"paths", p.Protect.Paths, isCleanPath, "a full path such as /srv/keys"},
		{"binds", p.Protect.Binds, isCleanPath, "a full path such as /srv/data"},
	}
	for _, l := range lists {
		for i, entry := range l.list {
			if !l.ok(entry) {
				return d.errorf(d.at[fmt.Sprintf("/protect/%s/%d", l.key, i)], "protect/%s: %q: want %s", l.key, entry, l.want)
			}
		}
	}
	return d.validateExcept(p.Protect.Except)
}

func (d *decoder) validateExcept(except map[string][]Setting) error {
	for _, pattern := range keys(except) {
		at := "/protect/except/" + pattern
		for i, setting := range except[pattern] {
			if !slices.Contains(Settings, setting) {
				return d.errorf(d.at[fmt.Sprintf("%s/%d", at, i)], "%s%q is no setting of protect: the settings are %s", prefix(at), setting, settingNames())
			}
		}
	}
	return nil
}

func settingNames() string {
	var names []string
	for _, s := range Settings {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func isCleanPath(s string) bool {
	return path.IsAbs(s) && path.Clean(s) == s && !strings.ContainsRune(s, 0)
}
