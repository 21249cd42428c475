package protect

import (
	"regexp"
	"strings"

	"github.com/moby/moby/api/types/mount"
)

// driverName is what plugins are called: segments as of a repository, and a
// tag. No segment begins with a dot.
var driverName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)?(/[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)?)*$`)

// Driver judges the name of a driver of volumes, networks, addresses or logs.
// The engine looks for the socket NAME.sock in the folder of its plugins, so a
// name that is a path makes a plugin of any socket. No name is the engine's
// own driver. A no is a *Refusal, and no exception opens it.
func Driver(name string) error {
	if name == "" || driverName.MatchString(name) {
		return nil
	}
	return refuseAll("the driver "+quote(name), "is no name of a plugin, and would make the engine obey a socket elsewhere", "name the plugin as docker plugin ls or its author does")
}

// templates refuses what the swarm would put together for each task after it
// was judged. No exception opens it: what comes of it is not known.
func templates(mounts []mount.Mount) error {
	for i := range mounts {
		for _, text := range expanded(&mounts[i]) {
			if strings.Contains(text, "{{") {
				return refuseAll("the mount of "+quote(text), "is a template, and could be any path by the time a task has it", "write the path out")
			}
		}
	}
	return nil
}

// expanded gives the texts of a mount in which swarmkit replaces templates.
func expanded(m *mount.Mount) []string {
	list := []string{m.Source, m.Target}
	if m.VolumeOptions == nil {
		return list
	}
	list = append(list, m.VolumeOptions.Subpath)
	for key, value := range m.VolumeOptions.Labels {
		list = append(list, key, value)
	}
	if d := m.VolumeOptions.DriverConfig; d != nil {
		list = append(list, d.Name)
		for key, value := range d.Options {
			list = append(list, key, value)
		}
	}
	return list
}
