package protect

import (
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// engineCapabilities are those the engine gives to every container, and that
// may be added again after all were dropped (moby, daemon/pkg/oci/caps).
var engineCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
	"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

const allCapabilities = "ALL"

// capability is a capability's full name, spelled as the engine reads it.
func capability(name string) string {
	name = strings.ToUpper(name)
	if name != allCapabilities && !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	return name
}

// powers judges what a container may do, as against what it sees. A container
// that may be privileged has devices, capabilities and freedom from profiles
// by that.
func (j *judgement) powers(h *container.HostConfig) error {
	if h.Privileged && !j.allows(policy.SettingPrivileged, j.policy.Privileged) {
		return j.refuse(policy.SettingPrivileged, "a privileged container", "has every device and capability, and with them the host")
	}
	if err := j.runtime(h); err != nil {
		return err
	}
	if err := j.sysctls(h.Sysctls); err != nil {
		return err
	}
	if h.Privileged {
		return nil
	}
	if err := j.devices(h); err != nil {
		return err
	}
	if err := j.added(h.CapAdd); err != nil {
		return err
	}
	return j.security(h)
}

func (j *judgement) devices(h *container.HostConfig) error {
	if len(h.Devices)+len(h.DeviceCgroupRules)+len(h.DeviceRequests) == 0 || j.allows(policy.SettingDevices, j.policy.Devices) {
		return nil
	}
	asked := "a request for devices"
	if len(h.DeviceCgroupRules) > 0 {
		asked = "the device rule " + quote(h.DeviceCgroupRules[0])
	}
	if len(h.Devices) > 0 {
		asked = "the device " + quote(h.Devices[0].PathOnHost)
	}
	return j.refuse(policy.SettingDevices, asked, "opens the host's hardware, disks among it")
}

// added judges the capabilities that a container has beside the engine's own.
func (j *judgement) added(list []string) error {
	if len(list) == 0 || j.capabilities[allCapabilities] || j.opened(policy.SettingCapabilities) {
		return nil
	}
	for _, name := range list {
		if !j.capabilities[capability(name)] {
			return j.refuse(policy.SettingCapabilities, "the capability "+quote(name), "acts outside the container's own namespaces")
		}
	}
	return nil
}

// steering are the beginnings of annotations that a runtime obeys.
var steering = []struct{ prefix, why string }{
	{"org.systemd.property.", "sets properties of a unit of the host's systemd"},
	{"org.criu.", "configures what runs as root on the host"},
	{"run.oci.", "tells crun what to run and keep"},
	{"module.wasm.", "tells a runtime what to run instead"},
	{"io.crun.", "configures crun"},
	{"io.katacontainers.", "configures what runs as root on the host"},
	{"dev.gvisor.", "configures the sandbox from within"},
	{"io.containerd.", "tells containerd's shim which containers it serves"},
	{"io.kubernetes.", "makes a runtime believe that Kubernetes asks"},
	{"io.podman.", "configures the runtime's hooks"},
	{"com.nvidia.", "configures the runtime's hooks"},
	{"nvidia.cdi.", "gives devices of the host"},
	{"cdi.k8s.io/", "gives devices of the host"},
}

func (j *judgement) runtime(h *container.HostConfig) error {
	if j.opened(policy.SettingRuntimes) {
		return nil
	}
	if !slices.Contains(j.runtimes, h.Runtime) {
		return j.refuse(policy.SettingRuntimes, "the runtime "+quote(h.Runtime), "runs as root on the host, and is none the policy knows")
	}
	for name := range h.Annotations {
		for _, s := range steering {
			if strings.HasPrefix(strings.ToLower(name), s.prefix) {
				return j.refuseUnless(policy.SettingRuntimes, "", "the annotation "+quote(name), s.why)
			}
		}
	}
	return nil
}

// namespacedSysctls are what the kernel keeps for each namespace, and runc
// lets a container set.
var namespacedSysctls = []string{
	"kernel.domainname", "kernel.hostname", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shm_rmid_forced", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
}

func (j *judgement) sysctls(list map[string]string) error {
	if len(list) == 0 || j.allows(policy.SettingHostNamespaces, j.policy.HostNamespaces) {
		return nil
	}
	for name := range list {
		if !namespaced(name) {
			return j.refuse(policy.SettingHostNamespaces, "the sysctl "+quote(name), "is the host's, not the container's")
		}
	}
	return nil
}

// namespaced takes dots and slashes for separators, as runc does.
func namespaced(sysctl string) bool {
	dotted := strings.ReplaceAll(sysctl, "/", ".")
	if strings.Contains(dotted, "..") {
		return false
	}
	return strings.HasPrefix(dotted, "net.") || strings.HasPrefix(dotted, "fs.mqueue.") || slices.Contains(namespacedSysctls, dotted)
}

// masked and readonly are the paths that every engine since 20.10 hides, or
// write-protects, in a container. Those that kernels no longer have are left
// out, as a later engine may leave them.
var (
	masked   = []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/scsi", "/proc/timer_list", "/sys/firmware"}
	readonly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

func (j *judgement) security(h *container.HostConfig) error {
	if j.allows(policy.SettingSecurityOptions, j.policy.SecurityOptions) {
		return nil
	}
	for _, option := range h.SecurityOpt {
		if why := loosens(option, h); why != "" {
			return j.refuse(policy.SettingSecurityOptions, "the security option "+quote(option), why)
		}
	}
	if missing := shorter(h.MaskedPaths, masked); missing != "" {
		return j.refuse(policy.SettingSecurityOptions, "a container that sees "+missing, "looks into the host's kernel")
	}
	if missing := shorter(h.ReadonlyPaths, readonly); missing != "" {
		return j.refuse(policy.SettingSecurityOptions, "a container that may write "+missing, "sets the host's kernel")
	}
	return nil
}

// shorter gives a path that a list should have and has not. No list at all is
// the engine's own.
func shorter(list, want []string) string {
	if list == nil {
		return ""
	}
	for _, p := range want {
		if !slices.Contains(list, p) {
			return p
		}
	}
	return ""
}

// loosens says what is wrong with a security option, split as moby splits it.
// Which profile is as strict as the engine's own cannot be told from here.
func loosens(option string, h *container.HostConfig) string {
	if option == "no-new-privileges" {
		return ""
	}
	key, value, _ := strings.Cut(option, ":")
	if strings.Contains(option, "=") {
		key, value, _ = strings.Cut(option, "=")
	}
	switch key {
	case "no-new-privileges":
		return ""
	case "seccomp":
		return unless(value == "" || value == "builtin", "replaces the engine's own filter of system calls")
	case "apparmor":
		return unless(value == "" || value == "docker-default", "replaces the engine's own AppArmor profile")
	case "label":
		return unless(confined(value, h), "takes off the SELinux label that keeps a container apart")
	case "writable-cgroups":
		return unless(value == "false", "lets the container set its own devices and limits")
	case "disable": // of old: label=disable
		return unless(confined("disable", h), "takes off the SELinux label that keeps a container apart")
	default:
		return "is none that this version knows"
	}
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

// containerTypes are the SELinux types that confine a container.
var containerTypes = []string{"container_t", "container_init_t", "svirt_lxc_net_t"}

// confined reports whether a label option leaves a container confined. The
// engine itself takes the label off one that joins the host's processes, and
// writes down the labels of one that joins another's.
func confined(label string, h *container.HostConfig) bool {
	if label == "disable" {
		return h.PidMode.IsHost() || h.IpcMode.IsHost()
	}
	key, value, _ := strings.Cut(label, ":")
	switch key {
	case "user", "role", "level":
		return true
	case "type":
		return slices.Contains(containerTypes, value)
	default:
		return false
	}
}
