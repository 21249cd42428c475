// Package process tells which process of this machine stands behind a socket,
// and which program it is. It asks the kernel alone; what the process was told
// is for package daemon.
package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Behind is the process that listens on a unix socket: systemd, if it holds
// the socket, and a proxy where there is one (SO_PEERCRED, unix(7)).
func Behind(ctx context.Context, socket string) (pid int, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(peer.Pid), nil
}

// Runs reports whether a process is of a program, by the name of its file,
// which may have been replaced since. Nobody else's process may be looked at
// but by root.
func Runs(pid int, program string) bool {
	file, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && name(file) == name(program)
}

func name(file string) string { return filepath.Base(strings.TrimSuffix(file, " (deleted)")) }
