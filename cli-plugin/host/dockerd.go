package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
)

// A Dockerd is the engine's process, with what it was told when it started and
// what it will be told the next time.
type Dockerd struct {
	PID        int
	Program    string // what /proc says it runs
	Started    time.Time
	Unit       string // the systemd service that it runs as; "" if none
	ConfigFile string // its daemon.json, there or not
	// Running is its command line, and daemon.json as it is now: see Changed.
	Running daemon.Told
	// ConfigErr says why daemon.json cannot be told; nil: it can, or there is
	// none.
	ConfigErr error
	// Changed says that daemon.json is not what the process read, "" if it is.
	Changed string
	// Next is what it will be told when it starts again, unless NextErr.
	Next    daemon.Told
	NextErr error
	// Listens are the addresses that systemd's socket unit hands over where
	// the engine listens on fd://.
	Listens   []string
	SocketErr error // that unit cannot be read
}

// Dockerd finds the engine's process among those of the host, once.
func (h *Host) Dockerd(ctx context.Context) (*Dockerd, error) {
	return h.dockerd.get(func() (*Dockerd, error) {
		files, err := h.seen()
		if err != nil {
			return nil, err
		}
		found, hidden, err := h.dockerds(files)
		if err == nil {
			var d *Dockerd
			if d, err = h.choose(ctx, found, hidden); err == nil {
				return d, nil
			}
		}
		return nil, fmt.Errorf("looking for dockerd among the host's processes: %w", err)
	})
}

// dockerds describes every dockerd that runs. Hidden ones may be among the
// processes that may not be looked at.
func (h *Host) dockerds(files Files) (found []*Dockerd, hidden bool, err error) {
	names, err := files.List("/proc")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, errors.New("it has no /proc, as where only its disk is mounted: run docker stig check on the host itself")
	}
	if err != nil {
		return nil, false, err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		program, err := files.Link(inProc(pid, "exe"))
		if errors.Is(err, fs.ErrPermission) {
			hidden = hidden || mayBeDockerd(files, pid)
		}
		if err != nil || !isDockerd(program) {
			continue // no program of its own, or gone meanwhile
		}
		d := &Dockerd{PID: pid, Program: program}
		if err := d.describe(files, h.Now()); err != nil {
			return nil, false, fmt.Errorf("process %d: %w", pid, err)
		}
		found = append(found, d)
	}
	return found, hidden, nil
}

// mayBeDockerd goes by what the kernel calls a process, which it tells of
// those, too, whose file it does not: even root may not look at each one.
func mayBeDockerd(files Files, pid int) bool {
	raw, err := files.Read(inProc(pid, "comm"))
	return err != nil || isDockerd(strings.TrimSpace(string(raw)))
}

func inProc(pid int, name string) string { return fmt.Sprintf("/proc/%d/%s", pid, name) }

// isDockerd knows dockerd by its file, replaced since or not. Packages of
// Docker Enterprise 18.09 append the edition.
func isDockerd(program string) bool {
	name := path.Base(strings.TrimSuffix(program, " (deleted)"))
	return slices.Contains([]string{"dockerd", "dockerd-ce", "dockerd-ee"}, name)
}

// describe fills in what /proc and the files say of the process.
func (d *Dockerd) describe(files Files, now time.Time) error {
	raw, err := files.Read(inProc(d.PID, "cmdline"))
	if err != nil {
		return err
	}
	args := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
	if d.Started, err = startOf(files, d.PID, now); err != nil {
		return err
	}
	d.Running.Flags = daemon.ParseFlags(args[1:])
	var modified time.Time
	d.ConfigFile, d.Running.File, modified, d.ConfigErr = readConfig(files, d.PID, d.Running.Flags)
	if d.ConfigErr == nil {
		d.ConfigErr = sameView(files, d.PID, path.Dir(d.ConfigFile))
	}
	if modified.After(d.Started) {
		d.Changed = fmt.Sprintf("%s was changed at %s, after the engine started (%s)", d.ConfigFile, stamp(modified), stamp(d.Started))
	}
	d.look(files, args)
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// readConfig reads the daemon.json that flags lead to. Without one, the engine
// has its defaults; but one that --config-file names has to be there.
func readConfig(files Files, pid int, flags daemon.Flags) (name string, config daemon.Config, modified time.Time, err error) {
	spec, _ := daemon.Lookup("config-file")
	value, source := daemon.Told{Flags: flags}.Value(spec)
	name = value[0]
	if !path.IsAbs(name) {
		from, err := files.Link(inProc(pid, "cwd"))
		if err != nil {
			return name, nil, time.Time{}, fmt.Errorf("looking for the engine's %s: %w", name, err)
		}
		name = path.Join(from, name)
	}
	file, err := files.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if target, linkErr := files.Link(name); linkErr == nil {
			return name, nil, time.Time{}, fmt.Errorf("%s is a dangling link to %s: mend it", name, target)
		}
		if source != daemon.FromDefault {
			return name, nil, time.Time{}, fmt.Errorf("%s is gone, which --config-file names, and dockerd does not start without it: put it back", name)
		}
		return name, daemon.Config{}, time.Time{}, nil
	}
	if err != nil {
		return name, nil, time.Time{}, fmt.Errorf("reading the engine's configuration: %w", err)
	}
	raw, err := files.Read(name)
	if err != nil {
		return name, nil, file.Modified, fmt.Errorf("reading the engine's configuration: %w", err)
	}
	config, err = daemon.ParseConfig(raw)
	if err != nil {
		return name, nil, file.Modified, fmt.Errorf("%s: %w", name, err)
	}
	return name, config, file.Modified, nil
}

// sameView wants a directory of this machine to be the same for the engine,
// which may have mounts of its own. A mounted host has but one view.
func sameView(files Files, pid int, dir string) error {
	if disk, ok := files.(*Disk); !ok || disk.Root != "/" {
		return nil
	}
	theirs, theirErr := os.Stat(inProc(pid, "root") + dir)
	ours, ourErr := os.Stat(dir)
	if (theirErr == nil) != (ourErr == nil) || theirErr == nil && !os.SameFile(theirs, ours) {
		return fmt.Errorf("the engine, process %d, sees another %s than this program: run this where the engine runs", pid, dir)
	}
	return nil
}

// choose tells which of several is the engine: the one behind its socket,
// the one that was told to listen there, or the one that keeps its data where
// the engine says. Where some processes are hidden, the
// engine may be among those: only its socket leads to it.
func (h *Host) choose(ctx context.Context, found []*Dockerd, hidden bool) (*Dockerd, error) {
	socket, local := strings.CutPrefix(h.Address, "unix://")
	if disk, ok := h.Files.(*Disk); ok && local && disk.Root == "/" {
		if peer, err := process.Behind(ctx, socket); err == nil {
			if i := slices.IndexFunc(found, func(d *Dockerd) bool { return d.PID == peer }); i >= 0 {
				return found[i], nil
			}
		}
	}
	switch {
	case hidden:
		return nil, errors.New("not all of them may be looked at: run this as root")
	case len(found) == 0:
		return nil, errors.New("none of them is dockerd: run this on the engine's own host")
	case len(found) == 1:
		return found[0], nil
	}
	left, sure := found, false
	for _, wanted := range []func(*Dockerd) bool{
		func(d *Dockerd) bool { return local && d.listensOn(socket) },
		func(d *Dockerd) bool { return d.keepsDataOf(ctx, h) },
		func(d *Dockerd) bool { return sure && d.Unit != "" }, // one in a container is no service of the host
	} {
		kept := slices.DeleteFunc(slices.Clone(left), func(d *Dockerd) bool { return !wanted(d) })
		if len(kept) == 1 {
			return kept[0], nil
		}
		if len(kept) > 0 {
			left, sure = kept, true
		}
	}
	var pids []string
	for _, d := range found {
		pids = append(pids, strconv.Itoa(d.PID))
	}
	return nil, fmt.Errorf("%d dockerds run on this host (processes %s), and which one is behind %s cannot be told: name its own socket with --host", len(found), strings.Join(pids, ", "), h.Address)
}

// listensOn reports whether the process was told to listen on a unix socket.
func (d *Dockerd) listensOn(socket string) bool {
	spec, _ := daemon.Lookup("hosts")
	value, _ := d.Running.Value(spec)
	return slices.ContainsFunc(daemon.Hosts(value), func(host string) bool {
		if strings.HasPrefix(host, "fd://") {
			host = daemon.DefaultHost // what docker.socket listens on
		}
		own, ok := strings.CutPrefix(host, "unix://")
		return ok && inRun(own) == inRun(socket)
	})
}

// keepsDataOf reports whether the process was told to keep its data in the
// directory that the host's engine names, or with userns-remap one above that.
func (d *Dockerd) keepsDataOf(ctx context.Context, h *Host) bool {
	info, err := h.Info(ctx)
	if err != nil || info.DockerRootDir == "" {
		return false
	}
	spec, _ := daemon.Lookup("data-root")
	value, _ := d.Running.Value(spec)
	return len(value) == 1 && slices.Contains([]string{info.DockerRootDir, path.Dir(info.DockerRootDir)}, path.Clean(value[0]))
}

// inRun gives /var/run its name of today.
func inRun(name string) string {
	if rest, ok := strings.CutPrefix(path.Clean(name), "/var/run/"); ok {
		return "/run/" + rest
	}
	return path.Clean(name)
}
