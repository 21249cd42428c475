package bypass

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

// namespaceAttempts join namespaces of the host.
var namespaceAttempts = []attempt{
	reachBy("processes of the host", func(*try) object { return object{"PidMode": "host"} }, seesUs),
	reachBy("network of the host", func(*try) object { return object{"NetworkMode": "host"} }, same("net")),
	reachBy("shared memory of the host", func(*try) object { return object{"IpcMode": "host"} }, same("ipc")),
	reachBy("name of the host", func(*try) object { return object{"UTSMode": "host"} }, same("uts")),
	moot(reachBy("control groups of the host", func(*try) object { return object{"CgroupnsMode": "host"} }, same("cgroup")), oldCgroups),
	reachBy("users of the host", func(*try) object { return object{"UsernsMode": "host"} }, same("user")),
	joins("processes of an older container", object{"PidMode": "host"}, "PidMode", seesUs),
	joins("shared memory of an older container", object{"IpcMode": "host"}, "IpcMode", same("ipc")),
	joins("network of an older container", object{"NetworkMode": "host"}, "NetworkMode", same("net")),
}

// joins has the signed image join, by way of an older container, a namespace
// that the older one has of the host.
func joins(name string, old object, key string, test func(*try) string) attempt {
	return attempt{
		name: name, about: says(asks[key]),
		before: func(ctx context.Context, a *try) error {
			id, err := a.create(ctx, "old", container(a.signed.Ref, a.script("exec sleep 1000"), old))
			if err != nil {
				return err
			}
			_, err = a.call(ctx, http.MethodPost, "/containers/"+id+"/start", nil)
			return err
		},
		do: func(ctx context.Context, a *try) error {
			return a.run(ctx, container(a.signed.Ref, a.reach(test(a)), object{key: "container:" + a.called("old")}))
		},
	}
}

func moot(a attempt, why need) attempt {
	a.moot = why
	return a
}

func oldCgroups(*bed) string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		return "with control groups of version 1 every container is in the host's"
	}
	return ""
}

// seesUs holds where this program is among the processes.
func seesUs(*try) string {
	return fmt.Sprintf("busybox grep -q bypass /proc/%d/cmdline", os.Getpid())
}

// same holds in the engine's own namespace of a kind.
func same(kind string) func(*try) string {
	return func(a *try) string { return a.sameNamespace(kind) }
}

func (b *bed) sameNamespace(kind string) string {
	pid, err := b.EnginePID()
	if err != nil {
		return "false"
	}
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind)
	if err != nil {
		return "false"
	}
	return "[ $(busybox readlink /proc/self/ns/" + kind + ") = '" + link + "' ]"
}

// capabilityAttempts ask for rights that lead to the host.
var capabilityAttempts = []attempt{
	with(reachBy("privileged", func(*try) object { return object{"Privileged": true} }, holds("SYS_ADMIN")), capabilities()),
	with(reachBy("all capabilities", caps("ALL"), holds("SYS_ADMIN")), capabilities()),
	with(reachBy("all capabilities, in small letters", caps("all"), holds("SYS_ADMIN")), capabilities()),
	capability("SYS_ADMIN"), capability("SYS_MODULE"), capability("SYS_PTRACE"), capability("SYS_RAWIO"),
	capability("DAC_READ_SEARCH"), capability("SYS_BOOT"), capability("MAC_ADMIN"), only(capability("BPF"), moby),
	with(reachBy("capability with its prefix", caps("CAP_SYS_ADMIN"), holds("SYS_ADMIN")), capabilities("SYS_ADMIN")),
	with(reachBy("capability in small letters", caps("cap_sys_admin"), holds("SYS_ADMIN")), capabilities("SYS_ADMIN")),
	reachBy("device", func(*try) object {
		return object{"Devices": []object{{"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/k", "CgroupPermissions": "rwm"}}}
	}, func(*try) string { return "[ -c /dev/k ] && : >/dev/k" }),
	reachBy("folder of devices", func(*try) object {
		return object{"Devices": []object{{"PathOnHost": "/dev/net", "PathInContainer": "/dev/n", "CgroupPermissions": "rwm"}}}
	}, func(*try) string { return "[ -c /dev/n/tun ]" }),
	reachBy("rule for devices", func(*try) object { return object{"DeviceCgroupRules": []string{"c 1:11 rwm"}} },
		func(*try) string { return "busybox mknod /k c 1 11 && : >/k" }), // /dev/kmsg
	reachBy("no seccomp", opt("seccomp=unconfined"), func(*try) string { return "busybox grep -q '^Seccomp:.0' /proc/self/status" }),
	reachBy("no seccomp, by a colon", opt("seccomp:unconfined"), func(*try) string { return "busybox grep -q '^Seccomp:.0' /proc/self/status" }),
	with(reachBy("no AppArmor", opt("apparmor=unconfined"), func(*try) string { return "true" }), kernelHas("AppArmor", "/sys/module/apparmor")),
	with(reachBy("no SELinux", opt("label=disable"), func(*try) string { return "true" }), kernelHas("SELinux", "/sys/fs/selinux/enforce")),
	reachBy("kernel's settings unmasked", func(*try) object { return object{"MaskedPaths": []string{}, "ReadonlyPaths": []string{}} },
		func(*try) string { return "! busybox grep -q ' /proc/sys ' /proc/self/mountinfo" }),
	{name: "kernel's settings unmasked, by the client", about: says(asks["MaskedPaths"]), do: func(ctx context.Context, a *try) error {
		_, err := a.Docker(ctx, append([]string{"run", "--network", "none", "--security-opt", "systempaths=unconfined", a.signed.Ref},
			a.reach("! busybox grep -q ' /proc/sys ' /proc/self/mountinfo")...)...)
		return a.client(err)
	}},
}

// bits are capabilities by their number, capabilities(7).
var bits = map[string]int{
	"DAC_READ_SEARCH": 2, "SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_BOOT": 22,
	"SYS_RESOURCE": 24, "MAC_ADMIN": 33, "BPF": 39,
}

func capability(name string) attempt {
	return with(reachBy("capability "+name, caps(name), holds(name)), capabilities(name))
}

func caps(name string) func(*try) object {
	return func(*try) object { return object{"CapAdd": []string{name}} }
}

func opt(text string) func(*try) object {
	return func(*try) object { return object{"SecurityOpt": []string{text}} }
}

// holds holds in a program with a capability.
func holds(name string) func(*try) string {
	return func(*try) string {
		return fmt.Sprintf("[ $(( 0x$(busybox sed -n 's/^CapEff:.//p' /proc/self/status) >> %d & 1 )) = 1 ]", bits[name])
	}
}

// capabilities needs root here to have some capabilities, or all.
func capabilities(names ...string) need {
	return func(*bed) string {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err.Error()
		}
		_, after, _ := strings.Cut(string(status), "\nCapBnd:")
		line, _, _ := strings.Cut(after, "\n")
		bound, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return err.Error()
		}
		if len(names) == 0 {
			names = slices.Sorted(maps.Keys(bits))
		}
		for _, name := range names {
			if bound&(1<<bits[name]) == 0 {
				return "root here lacks CAP_" + name
			}
		}
		return ""
	}
}

func kernelHas(what, path string) need {
	return func(*bed) string {
		if _, err := os.Stat(path); err != nil {
			return "the kernel here has no " + what
		}
		return ""
	}
}
