package guard

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// A peer is the process that made a connection, as the kernel saw it then.
// The engine behind the guard sees the guard.
type peer struct{ uid, gid, pid int }

func peerOf(conn *net.UnixConn) (peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return peer{}, err
	}
	if credErr != nil {
		return peer{}, fmt.Errorf("asking for SO_PEERCRED: %w", credErr)
	}
	return peer{uid: int(cred.Uid), gid: int(cred.Gid), pid: int(cred.Pid)}, nil
}
