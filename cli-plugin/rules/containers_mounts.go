package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
)

// mountRules want the host's files kept out of containers, and the containers'
// own unchanged.
//
// https://docs.docker.com/engine/storage/bind-mounts/
var mountRules = []Rule{
	// V-235783, CAT II: no sensitive directory of the host is writable inside.
	containerRule{
		id: "DKER-EE-001190", filtered: true, judge: sensitiveMounts, list: sensitivePaths,
		asked: "Mounts", answer: shownMounts,
	}.rule([]Step{
		{"the security plan says which directories are sensitive: containers.sensitive-paths in site.yaml, else the discussion's list", "sensitiveOf"},
		{"Mounts of a container have none of them, or a directory below or above, with RW true", "sensitiveMounts"},
	},
		"A directory that holds a sensitive one, as / does, gives it away too.",
		"Entries of the site's list that name a container come on top; without an entry for all containers the discussion's list holds.",
		"Symbolic links of the host are followed where they can be seen, for /bin is /usr/bin on most hosts.",
		"A volume of driver local that binds a directory of the host (o=bind) is judged as the bind mount that it is, although Mounts calls it a volume."),
	// V-235810, CAT II: nothing mounted inside shows up outside.
	// https://docs.docker.com/engine/storage/bind-mounts/#configure-bind-propagation
	containerRule{
		id: "DKER-EE-002050", filtered: true, judge: sharedPropagation, asked: "Mounts", answer: shownMounts,
	}.rule([]Step{{"Propagation of no mount of a container is shared or rshared", "sharedPropagation"}}),
	// V-235818, CAT I: the engine's socket stays outside.
	// https://docs.docker.com/engine/security/#docker-daemon-attack-surface
	containerRule{
		id: "DKER-EE-002130", filtered: true, judge: engineSocket, asked: "Mounts", answer: shownMounts,
	}.rule([]Step{{"Mounts of a container name neither docker.sock nor docker_engine", "engineSocket"}},
		"A mount of a directory that the socket lies in, such as /run or /, gives it away too; so does one of a socket that dockerd, or its socket unit, was told to listen on, or that the docker context names, whatever it is called.",
		"A socket can be spoken to although it is mounted read-only, so that is a finding as well."),
	// V-235808, CAT I: the root file system is read-only.
	// https://docs.docker.com/reference/cli/docker/container/run/#read-only
	containerRule{
		id: "DKER-EE-002030", judge: writableRoot,
		asked: "HostConfig.ReadonlyRootfs", answer: func(c host.Container) any { return c.HostConfig.ReadonlyRootfs },
	}.rule([]Step{{"HostConfig.ReadonlyRootfs of a container is true", "writableRoot"}}, everyReading),
}

// shownMounts are what of a container's mounts is judged.
func shownMounts(c host.Container) any {
	shown := []string{}
	for _, m := range c.Mounts {
		access := "ro"
		if m.RW {
			access = "rw"
		}
		shown = append(shown, strings.TrimSpace(fmt.Sprintf("%s %s at %s %s %s", m.Type, m.Source, m.Destination, access, m.Propagation)))
	}
	return shown
}

// guideSensitive is the discussion's list.
var guideSensitive = []string{"/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"}

var sensitivePaths = &siteList{
	key: "containers.sensitive-paths", want: `the absolute path of a directory, such as "/etc"`,
	from: func(c site.Containers) []string { return c.SensitivePaths },
	is:   path.IsAbs,
}

// sensitiveOf are the directories that a container is to be kept out of, and
// where their links lead.
func sensitiveOf(h *host.Host, c host.Container) []string {
	var general, own []string
	for _, entry := range h.Site.Containers.SensitivePaths {
		switch name, dir, ok := sensitivePaths.split(entry); {
		case ok && name == "":
			general = append(general, dir)
		case ok && (name == c.Title() || name == labelOf(c, serviceLabel)):
			own = append(own, dir)
		}
	}
	if general == nil {
		general = guideSensitive // a list for some containers takes nothing from the others
	}
	var all []string
	for _, dir := range slices.Concat(general, own) {
		all = append(all, path.Clean(dir), h.RealPath(dir))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A hostDir is a directory, or a file, of the host that a container sees.
type hostDir struct {
	container.MountPoint
	Path string // on the host
	Real string // where links lead
	What string // "bind mount", "volume NAME"
}

// mountsOf are a container's mounts. An answer without any, of a container that
// was made with some, tells nothing.
func mountsOf(c host.Container) ([]container.MountPoint, error) {
	if c.Mounts == nil && len(c.HostConfig.Binds)+len(c.HostConfig.Mounts) > 0 {
		return nil, errors.New("the engine's answer has no Mounts, although the container was made with some: look at docker inspect")
	}
	for _, m := range c.Mounts {
		if m.Type == "" || m.Type == mount.TypeBind && m.Source == "" {
			return nil, fmt.Errorf("what its mount at %q is cannot be told (type %q, source %q): look at docker inspect", m.Destination, m.Type, m.Source)
		}
	}
	return c.Mounts, nil
}

// hostDirs are a container's bind mounts, and the volumes that are some.
func hostDirs(ctx context.Context, h *host.Host, c host.Container) ([]hostDir, error) {
	mounts, err := mountsOf(c)
	if err != nil {
		return nil, err
	}
	var dirs []hostDir
	for _, m := range mounts {
		switch {
		case m.Type == mount.TypeBind:
			dirs = append(dirs, hostDir{m, path.Clean(m.Source), h.RealPath(m.Source), "bind mount"})
		case m.Type == mount.TypeVolume && (m.Driver == "" || m.Driver == "local"):
			volumes, err := h.Volumes(ctx)
			if err != nil {
				return nil, fmt.Errorf("whether its volume %s is a directory of the host is unknown: %w", m.Name, err)
			}
			v, listed := volumes[m.Name]
			if !listed {
				return nil, fmt.Errorf("whether its volume %s is a directory of the host is unknown: the engine does not list it; look at docker volume inspect, or run this again if the container is gone", m.Name)
			}
			if device, readOnly, binds := boundBy(v.Options); binds {
				m.RW = m.RW && !readOnly
				dirs = append(dirs, hostDir{m, path.Clean(device), h.RealPath(device), "volume " + m.Name})
			}
		}
	}
	return dirs, nil
}

// boundBy reads the options of a volume of driver local, which are those of
// mount(8). dockerd works in /, from where it takes a relative device.
func boundBy(options map[string]string) (device string, readOnly, binds bool) {
	given := strings.Split(options["o"], ",")
	binds = (slices.Contains(given, "bind") || slices.Contains(given, "rbind")) && options["device"] != ""
	return path.Join("/", options["device"]), slices.Contains(given, "ro"), binds
}

// liesIn reports whether a path is a directory or lies below it.
func liesIn(dir, name string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

func sensitiveMounts(ctx context.Context, h *host.Host, c host.Container) (string, error) {
	dirs, err := hostDirs(ctx, h, c)
	if err != nil {
		return "", err
	}
	sensitiveDirs := sensitiveOf(h, c)
	var faults []string
	for _, dir := range dirs {
		if !dir.RW {
			continue
		}
		for _, sensitive := range sensitiveDirs {
			if how := exposes(dir.Path, sensitive); how != "" {
				faults = append(faults, fmt.Sprintf("%s at %s (%s) %s", dir.Path, dir.Destination, dir.What, how))
				break
			}
			if how := exposes(dir.Real, sensitive); how != "" {
				faults = append(faults, fmt.Sprintf("%s at %s (%s) is %s, and %s", dir.Path, dir.Destination, dir.What, dir.Real, how))
				break
			}
		}
	}
	if len(faults) == 0 {
		return "", nil
	}
	return "it can write to sensitive directories of the host: " + strings.Join(faults, "; ") + ": make it anew without, or read-only (:ro)", nil
}

// exposes says how a mounted directory gives a sensitive one away, "" if not.
// Everything is below /, so / itself is meant where that is listed.
func exposes(mounted, sensitive string) string {
	switch {
	case mounted == sensitive:
		return "is sensitive"
	case sensitive == "/":
		return ""
	case liesIn(sensitive, mounted):
		return "lies in " + sensitive
	case liesIn(mounted, sensitive):
		return "holds " + sensitive
	default:
		return ""
	}
}

func sharedPropagation(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	mounts, err := mountsOf(c)
	if err != nil {
		return "", err
	}
	var faults []string
	for _, m := range mounts {
		if m.Propagation == mount.PropagationShared || m.Propagation == mount.PropagationRShared {
			faults = append(faults, fmt.Sprintf("%s (%s)", m.Destination, m.Propagation))
		}
	}
	if len(faults) == 0 {
		return "", nil
	}
	return "what it mounts shows up on the host, below " + strings.Join(faults, ", ") + ": make it anew without shared or rshared on these mounts", nil
}

// defaultSocket is where the engine listens unless it is told otherwise.
const defaultSocket = "unix:///run/docker.sock"

// canonical gives one name to what a host calls by several.
func canonical(h *host.Host, name string) string {
	if h.Files != nil {
		return h.RealPath(name)
	}
	if rest, ok := strings.CutPrefix(path.Clean(name)+"/", "/var/run/"); ok {
		return path.Join("/run", rest) // as on any host with systemd
	}
	return path.Clean(name)
}

func engineSocket(ctx context.Context, h *host.Host, c host.Container) (string, error) {
	dirs, err := hostDirs(ctx, h, c)
	if err != nil {
		return "", err
	}
	var faults []string
	for _, m := range c.Mounts {
		if namesSocket(m.Source) || namesSocket(m.Destination) {
			faults = append(faults, fmt.Sprintf("%s at %s", m.Source, m.Destination))
		}
	}
	sockets := engineSockets(ctx, h)
	for _, dir := range dirs {
		holds := func(socket string) bool { return liesIn(canonical(h, dir.Path), socket) }
		if at := slices.IndexFunc(sockets, holds); at >= 0 && !namesSocket(dir.Source) && !namesSocket(dir.Destination) {
			faults = append(faults, fmt.Sprintf("%s at %s (%s), where %s is", dir.Path, dir.Destination, dir.What, sockets[at]))
		}
	}
	if len(faults) == 0 {
		return "", nil
	}
	return "the engine's socket is mounted in it, which makes it root on the host: " + strings.Join(faults, "; ") + ": make it anew without", nil
}

// engineSockets are where the engine listens: by default, as the docker context
// says, and as dockerd was told where that can be seen.
func engineSockets(ctx context.Context, h *host.Host) []string {
	addresses := []string{defaultSocket, h.Address}
	if option, err := h.Option(ctx, "hosts"); err == nil {
		addresses = append(addresses, option.Value...)
	}
	if d, err := h.Dockerd(ctx); err == nil {
		for _, listen := range d.Listens { // those of systemd, behind fd://
			addresses = append(addresses, "unix://"+listen)
		}
	}
	var sockets []string
	for _, address := range addresses {
		if socket, ok := strings.CutPrefix(address, "unix://"); ok && path.IsAbs(socket) {
			sockets = append(sockets, canonical(h, socket))
		}
	}
	slices.Sort(sockets)
	return slices.Compact(sockets)
}

// namesSocket is the guide's own filter.
func namesSocket(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "docker.sock") || strings.Contains(name, "docker_engine")
}

func writableRoot(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	if !c.HostConfig.ReadonlyRootfs {
		return "its root file system is writable (ReadonlyRootfs is false): make it anew with --read-only, with --tmpfs or volumes where it has to write", nil
	}
	return "", nil
}
