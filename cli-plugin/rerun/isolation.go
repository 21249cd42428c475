package rerun

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// namespaces writes what the container shares with its host and with others.
func (w *writer) namespaces() {
	h := w.c.HostConfig
	w.said("pid", string(h.PidMode))
	w.said("ipc", string(h.IpcMode)) // the default is default-ipc-mode of daemon.json
	w.said("uts", string(h.UTSMode))
	w.said("userns", string(h.UsernsMode))
	if h.CgroupnsMode != w.engineCgroups() {
		w.said("cgroupns", string(h.CgroupnsMode))
	}
	w.said("cgroup-parent", h.CgroupParent)
	if h.Cgroup != "" {
		w.note(fmt.Sprintf("it is in the cgroup of another container (Cgroup %s), for which docker has no option", h.Cgroup))
	}
	if !h.Isolation.IsDefault() {
		w.flag("isolation", string(h.Isolation))
	}
	w.said("runtime", w.ownRuntime())
}

// engineCgroups is the mode that the engine gives, "" if it is unknown.
func (w *writer) engineCgroups() container.CgroupnsMode {
	switch {
	case w.from.Engine == nil:
		return ""
	case slices.Contains(w.from.Engine.SecurityOptions, "name=cgroupns"):
		return container.CgroupnsModePrivate
	}
	return container.CgroupnsModeHost
}

func (w *writer) ownRuntime() string {
	usual := "runc"
	if w.from.Engine != nil && w.from.Engine.DefaultRuntime != "" {
		usual = w.from.Engine.DefaultRuntime
	}
	if w.c.HostConfig.Runtime == usual {
		return ""
	}
	return w.c.HostConfig.Runtime
}

// power writes what the container may do, and when it comes back.
func (w *writer) power() {
	h := w.c.HostConfig
	w.on("privileged", h.Privileged)
	w.each("cap-add", h.CapAdd)
	w.each("cap-drop", h.CapDrop)
	w.each("group-add", h.GroupAdd)
	w.securityOptions()
	w.on("read-only", h.ReadonlyRootfs)
	w.pairs("sysctl", h.Sysctls)
	w.pairs("annotation", h.Annotations)
	w.on("rm", h.AutoRemove)
	switch name := string(h.RestartPolicy.Name); {
	case h.RestartPolicy.IsNone():
	case h.RestartPolicy.IsOnFailure() && h.RestartPolicy.MaximumRetryCount > 0:
		w.flag("restart", name+":"+strconv.Itoa(h.RestartPolicy.MaximumRetryCount))
	default:
		w.flag("restart", name)
	}
	if h.Init != nil {
		w.argv = append(w.argv, map[bool]string{true: "--init", false: "--init=false"}[*h.Init])
	}
	if h.ContainerIDFile != "" {
		w.note("its ID was written to " + h.ContainerIDFile + ": remove that file and add --cidfile if something reads it")
	}
}

// securityOptions writes SecurityOpt. The engine adds label=disable by itself
// to a container whose processes it cannot label.
func (w *writer) securityOptions() {
	h := w.c.HostConfig
	unlabelled := h.Privileged || h.PidMode.IsHost() || h.IpcMode.IsHost()
	for _, option := range h.SecurityOpt {
		profile, own := strings.CutPrefix(option, "seccomp=")
		if !own {
			profile, own = strings.CutPrefix(option, "seccomp:")
		}
		switch {
		case option == "label=disable" && unlabelled:
		case own && strings.HasPrefix(strings.TrimSpace(profile), "{"):
			file := w.reference() + ".seccomp.json"
			w.flag("security-opt", "seccomp="+file)
			w.note(fmt.Sprintf("it has a seccomp profile of its own: write it to a file first, with docker inspect --format '{{range .HostConfig.SecurityOpt}}{{println .}}{{end}}' %s | sed -n 's/^seccomp[=:]//p' >%s", w.reference(), file))
		default:
			w.flag("security-opt", option)
		}
	}
	w.systemPaths()
}

// hiddenPaths begin the paths below which an engine keeps containers from
// reading or writing without being asked.
var hiddenPaths = []string{"/proc/", "/sys/"}

// systemPaths writes whether the kernel's own files are open to the container:
// docker says so for all or for none.
func (w *writer) systemPaths() {
	h := w.c.HostConfig
	if h.MaskedPaths != nil && h.ReadonlyPaths != nil && len(h.MaskedPaths)+len(h.ReadonlyPaths) == 0 {
		if !h.Privileged {
			w.flag("security-opt", "systempaths=unconfined")
		}
		return
	}
	for _, path := range slices.Concat(h.MaskedPaths, h.ReadonlyPaths) {
		if !slices.ContainsFunc(hiddenPaths, func(dir string) bool { return strings.HasPrefix(path, dir) }) {
			w.note("MaskedPaths and ReadonlyPaths are its own, for which docker has no option: it gets the engine's")
			return
		}
	}
}

// logs writes where the container's output goes, unless it is where the engine
// sends all.
func (w *writer) logs() {
	config := w.c.HostConfig.LogConfig
	if w.from.Engine != nil && config.Type == w.from.Engine.LoggingDriver && len(config.Config) == 0 {
		return
	}
	w.said("log-driver", config.Type)
	w.pairs("log-opt", config.Config)
}
