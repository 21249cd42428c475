package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
)

// optionFiles are where init scripts keep arguments for dockerd, and in which
// variables. Under systemd a unit says whether it reads them.
var optionFiles = []struct {
	name      string
	variables []string
}{
	{"/etc/default/docker", []string{"DOCKER_OPTS"}},
	{"/etc/sysconfig/docker", []string{"OPTIONS", "other_args"}},
}

// look finds out how the process will be started the next time.
func (d *Dockerd) look(files Files, args []string) {
	d.Next = d.Running
	next, err := d.nextArgs(files, args)
	if err != nil {
		d.NextErr = err
		return
	}
	d.Next.Flags = daemon.ParseFlags(next[1:])
	name, config, _, err := readConfig(files, d.PID, d.Next.Flags)
	if name != d.ConfigFile {
		d.Next.File, d.NextErr = config, err
	}
}

// nextArgs is the command line of the next start.
func (d *Dockerd) nextArgs(files Files, args []string) ([]string, error) {
	name := serviceOf(files, d.PID)
	if name == "" {
		return withOptionFiles(files, args)
	}
	unit, err := readUnit(files, name)
	if err != nil {
		return nil, err
	}
	next, err := command(files, unit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(next) == 0 || !isDockerd(next[0]) {
		return args, nil // it is not the engine's own unit
	}
	d.Unit = name
	sockets := strings.Fields(strings.Join(unit.Sockets, " "))
	if len(sockets) == 0 {
		sockets = []string{strings.TrimSuffix(name, ".service") + ".socket"}
	}
	for _, name := range sockets {
		socket, err := readUnit(files, name)
		if err != nil {
			d.SocketErr = err
			continue
		}
		d.Listens = append(d.Listens, socket.ListenStream...)
	}
	return next, nil
}

// serviceOf is the systemd service that a process runs in, by its control
// group: "0::/system.slice/docker.service". See cgroups(7).
func serviceOf(files Files, pid int) string {
	raw, err := files.Read(inProc(pid, "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && strings.HasSuffix(fields[2], ".service") {
			return path.Base(fields[2])
		}
	}
	return ""
}

// readUnit reads a unit with its drop-ins. One that does not exist says
// nothing.
func readUnit(files Files, name string) (daemon.Unit, error) {
	var parts [][]byte
	for _, dir := range unitFolders {
		raw, err := files.Read(path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return daemon.Unit{}, fmt.Errorf("reading the unit %s: %w", name, err)
		}
		parts = append(parts, raw)
		break
	}
	dropIns, err := dropInsOf(files, name)
	if err != nil {
		return daemon.Unit{}, err
	}
	for _, dropIn := range dropIns {
		raw, err := files.Read(dropIn)
		if err != nil {
			if file, statErr := files.Stat(dropIn); statErr == nil && file.Mode&fs.ModeDevice != 0 {
				continue // a link to /dev/null takes one back
			}
			return daemon.Unit{}, fmt.Errorf("reading a drop-in of %s: %w", name, err)
		}
		parts = append(parts, raw)
	}
	return daemon.ParseUnit(parts...), nil
}

// dropInsOf lists a unit's drop-ins in the order in which they apply: by their
// names, of which the first directory with it wins.
func dropInsOf(files Files, unit string) ([]string, error) {
	byName := map[string]string{}
	for _, folder := range []string{unit + ".d", strings.TrimPrefix(path.Ext(unit), ".") + ".d"} {
		for _, dir := range unitFolders {
			names, err := files.List(path.Join(dir, folder))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("looking for drop-ins of %s: %w", unit, err)
			}
			for _, name := range names {
				if byName[name] == "" && strings.HasSuffix(name, ".conf") {
					byName[name] = path.Join(dir, folder, name)
				}
			}
		}
	}
	var list []string
	for _, name := range byName {
		list = append(list, name)
	}
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(path.Base(a), path.Base(b)) })
	return list, nil
}

// command is what a unit starts, with the variables of its files.
func command(files Files, unit daemon.Unit) ([]string, error) {
	var environment [][]byte
	for _, name := range unit.EnvironmentFiles {
		name, optional := strings.CutPrefix(name, "-")
		raw, err := files.Read(name)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading its EnvironmentFile: %w", err)
		}
		environment = append(environment, raw)
	}
	return unit.Command(environment...)
}

// withOptionFiles adds what init scripts would, on a host where no unit starts
// the engine.
func withOptionFiles(files Files, args []string) ([]string, error) {
	for _, dir := range unitFolders {
		if _, err := files.Stat(path.Join(dir, "docker.service")); err == nil {
			return args, nil
		}
	}
	next := slices.Clone(args)
	for _, file := range optionFiles {
		raw, err := files.Read(file.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading what the engine is started with: %w", err)
		}
		variables := daemon.ParseEnvironment(raw)
		for _, name := range file.variables {
			next = append(next, daemon.Words(variables[name])...)
		}
	}
	return next, nil
}
