package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
	"github.com/moby/moby/api/types/system"
	"golang.org/x/sys/unix"
)

// A remoteError is ErrRemote with the reason why the engine behind a unix
// socket of this machine does not count as one that runs here.
type remoteError struct{ reason string }

// Error is for a person.
func (e *remoteError) Error() string {
	return "this connection cannot see the host, for " + e.reason + ": run docker stig check on the engine's own host"
}

// Unwrap makes it an ErrRemote.
func (e *remoteError) Unwrap() error { return ErrRemote }

// See gives the host its files and programs: those below root if the host is
// mounted there, else this machine's, if its engine runs here. A mounted
// host's programs are not run.
//
// Whoever forwards a socket (ssh -L, socat, Docker Desktop) makes another
// machine's engine look like one of this machine, so a unix socket alone
// proves nothing: see elsewhere.
func (h *Host) See(ctx context.Context, root string) {
	socket, local := strings.CutPrefix(h.Address, "unix://")
	switch {
	case root != "":
		h.Files = NewDisk(root)
		return
	case !local:
		return
	}
	if reason := h.elsewhere(ctx, socket); reason != "" {
		h.Unseen = &remoteError{reason}
		return
	}
	h.Files, h.Programs = NewDisk("/"), LocalPrograms{}
}

// elsewhere says why the engine behind a unix socket does not run on this
// machine, or cannot be told to; "" if it does.
//
// A dockerd that holds the socket itself is here. Of any other process
// (systemd, the guard, a proxy), and of those that cannot be looked at, the
// engine's own description of its machine has to be that of this one.
func (h *Host) elsewhere(ctx context.Context, socket string) string {
	peer, err := process.Behind(ctx, socket)
	if err != nil {
		return silent(socket)
	}
	if peer == 0 {
		return "the process behind " + socket + " is none that this program can see, as from inside a container"
	}
	if isDockerd(programOf(peer)) {
		return otherRoot(peer)
	}
	info, err := h.Info(ctx)
	if err != nil {
		return silent(socket)
	}
	if reason := unlike(info, thisMachine()); reason != "" {
		return reason
	}
	return withoutTrace(info)
}

// silent is elsewhere where nobody answers: what belongs at the engine's usual
// place is this machine's own, down as it is.
func silent(socket string) string {
	target, err := filepath.EvalSymlinks(socket)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(socket); err != nil {
			target = socket // no link, either
		}
	}
	if inRun(target) == "/run/docker.sock" {
		return ""
	}
	return "no engine answers on " + socket + " that could tell where it runs"
}

// programOf is the file that a process runs, or where that may not be looked
// at what the kernel calls the process.
func programOf(pid int) string {
	if program, err := os.Readlink(inProc(pid, "exe")); err == nil {
		return program
	}
	raw, err := os.ReadFile(inProc(pid, "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// otherRoot objects to a process with a root directory of its own: nothing of
// this program's disk is the engine's.
func otherRoot(pid int) string {
	theirs, err := os.Stat(inProc(pid, "root") + "/")
	if err != nil {
		return "" // only root may look
	}
	ours, err := os.Stat("/")
	if err == nil && os.SameFile(theirs, ours) {
		return ""
	}
	return fmt.Sprintf("the engine, process %d, has a root directory of its own, as in a container (--host-root /proc/%[1]d/root shows it)", pid)
}

// A machineKind is what tells one machine from another, as an engine puts it.
type machineKind struct {
	kernel, architecture, name string
	memory                     int64 // bytes
}

// thisMachine describes the machine that this program runs on. What it cannot
// tell is empty, and like no engine's.
func thisMachine() machineKind {
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return machineKind{}
	}
	found := machineKind{
		kernel:       unix.ByteSliceToString(uname.Release[:]),
		architecture: unix.ByteSliceToString(uname.Machine[:]),
		name:         unix.ByteSliceToString(uname.Nodename[:]),
	}
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return found
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line) // "MemTotal: 8148844 kB"
		if len(fields) != 3 || fields[0] != "MemTotal:" {
			continue
		}
		if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			found.memory = kib << 10
		}
	}
	return found
}

// unlike says in what an engine's machine is not this one.
func unlike(info system.Info, here machineKind) string {
	for _, sign := range []struct{ what, theirs, ours string }{
		{"kernel", info.KernelVersion, here.kernel},
		{"architecture", info.Architecture, here.architecture},
		{"host name", info.Name, here.name},
		{"memory in bytes", strconv.FormatInt(info.MemTotal, 10), strconv.FormatInt(here.memory, 10)},
	} {
		if sign.theirs == "" || sign.theirs != sign.ours {
			return fmt.Sprintf("the engine behind the socket says that its machine's %s is %q, and this machine's is %q", sign.what, sign.theirs, sign.ours)
		}
	}
	return ""
}

// withoutTrace objects to an engine that left none on this machine. Machines
// made from one image are alike: kernel, name and memory are not proof enough.
func withoutTrace(info system.Info) string {
	const maxID = 128 // bytes; an engine's ID has 59 at most
	dir := info.DockerRootDir
	if _, err := os.Stat(dir); !path.IsAbs(dir) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("the engine behind the socket keeps its data in %q, which is not on this machine", dir)
	}
	// 23.0 and up write their ID down; reading it takes root.
	if raw, err := NewDisk("/").Read(path.Join(dir, "engine-id")); err == nil && len(raw) <= maxID {
		if id := strings.TrimSpace(string(raw)); id != info.ID {
			return fmt.Sprintf("the engine behind the socket has the ID %s, and the one that keeps its data in %s has %s", info.ID, dir, id)
		}
		return ""
	}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return "which processes run on this machine cannot be told (" + err.Error() + ")"
	}
	for _, process := range processes {
		if pid, err := strconv.Atoi(process.Name()); err == nil && isDockerd(programOf(pid)) {
			return ""
		}
	}
	return "dockerd is not behind the socket itself, and none that this program may look at runs on this machine"
}
