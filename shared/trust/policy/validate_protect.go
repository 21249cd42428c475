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
		{"binds", p.Protect.Binds, isBind, "a full path such as /srv/data, or /srv/data/** for all below it too"},
	}
	for _, l := range lists {
		for i, entry := range l.list {
			if !l.ok(entry) {
				return d.errorf(d.at[fmt.Sprintf("/protect/%s/%d", l.key, i)], "protect/%s: %q: want %s", l.key, entry, l.want)
			}
		}
	}
	if err := d.validateNested(p.Protect.Binds); err != nil {
		return err
	}
	return d.validateExcept(p.Protect.Except)
}

// Below ends an entry of protect.binds that means what lies below it, too.
const Below = "/**"

// isBind takes a star for nothing but the end: an entry is no pattern.
func isBind(s string) bool {
	folder := strings.TrimSuffix(s, Below)
	return isCleanPath(folder) && folder != "/" && !strings.Contains(folder, "*")
}

// validateNested finds entries that a container of another entry can replace.
func (d *decoder) validateNested(binds []string) error {
	for i, entry := range binds {
		for _, folder := range binds {
			if strings.HasPrefix(entry, folder+"/") && entry != folder+Below {
				return d.errorf(d.at[fmt.Sprintf("/protect/binds/%d", i)], "protect/binds: %q: whoever has %s can put something else there; list %[2]s%s in its place if those containers may have the host", entry, folder, Below)
			}
		}
	}
	return nil
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
