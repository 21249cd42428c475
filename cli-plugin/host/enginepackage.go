package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host/packages"
	"golang.org/x/sys/unix"
)

// ErrRemote says that a question needs files that this connection cannot see.
var ErrRemote = errors.New("this connection cannot see the host: run docker stig check on the engine's own host")

// InstalledPackage proves the package that the engine at address was installed
// from. Only a local socket leads to an engine whose files can be seen.
func InstalledPackage(address string, approved []string, now func() time.Time) func(context.Context) (packages.Proof, error) {
	return func(ctx context.Context) (packages.Proof, error) {
		if !strings.HasPrefix(address, "unix://") {
			return packages.Proof{}, ErrRemote
		}
		return packages.Installed(ctx, packages.Options{
			Root: "/", Engine: enginePath(ctx, address), Approved: approved, Now: now(),
		})
	}
}

// PackageFile proves an engine package brought by hand.
func PackageFile(o packages.FileOptions) func(context.Context) (packages.Proof, error) {
	return func(ctx context.Context) (packages.Proof, error) { return packages.VerifyFile(ctx, o) }
}

// enginePath is the program behind the engine's socket, "" if the socket does
// not tell: one that systemd listens on names systemd, and a proxy itself.
func enginePath(ctx context.Context, address string) string {
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return ""
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return ""
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return ""
	}
	var peer *unix.Ucred
	if err := raw.Control(func(fd uintptr) {
		peer, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || peer == nil {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", peer.Pid))
	if err != nil || filepath.Base(path) != "dockerd" {
		return ""
	}
	return path
}
