package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// dialTimeout is how long another daemon has to accept, should one sit behind
// an old socket.
const dialTimeout = time.Second

// sockets are where the engine asks.
type sockets struct {
	listeners []net.Listener
	path      string // for the log
	remove    func() // takes away what was made
}

// listen takes the sockets that systemd passed, or makes one at path.
func listen(ctx context.Context, path string) (sockets, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return sockets{}, fmt.Errorf("taking systemd's sockets: %w", err)
	}
	for _, listener := range passed {
		if listener == nil || listener.Addr().Network() != "unix" {
			return sockets{}, errors.New("systemd passed something that is no unix socket: docker-stig-authz.socket must have ListenStream=/PATH only")
		}
	}
	if len(passed) > 0 {
		return sockets{listeners: passed, path: passed[0].Addr().String(), remove: func() {}}, nil
	}
	listener, remove, err := makeSocket(ctx, path)
	if err != nil {
		return sockets{}, err
	}
	return sockets{listeners: []net.Listener{listener}, path: path, remove: remove}, nil
}

// makeSocket makes a socket that only its owner can connect to. It comes to
// its place complete: made in a folder of its own and moved over an old one.
func makeSocket(ctx context.Context, path string) (net.Listener, func(), error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // /run/docker/plugins as the engine makes it; the socket itself is 0600
		return nil, nil, fmt.Errorf("making the folder of the socket: %w", err)
	}
	if err := checkFolder(folder); err != nil {
		return nil, nil, err
	}
	if err := checkPlace(ctx, path); err != nil {
		return nil, nil, err
	}
	scratch, err := os.MkdirTemp(folder, ".stig")
	if err != nil {
		return nil, nil, fmt.Errorf("making the socket: %w", err)
	}
	defer os.RemoveAll(scratch)
	fresh := filepath.Join(scratch, "s")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", fresh)
	if err != nil {
		return nil, nil, fmt.Errorf("making the socket: %w", err)
	}
	if unix, ok := listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // it is elsewhere by then
	}
	made, err := placeSocket(fresh, path)
	if err != nil {
		_ = listener.Close()
		return nil, nil, err
	}
	return listener, func() { removeSocket(path, made) }, nil
}

func placeSocket(fresh, path string) (fs.FileInfo, error) {
	if err := os.Chmod(fresh, 0o600); err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	return made, nil
}

// checkFolder refuses a folder in which others could put a socket of theirs
// in place of ours.
func checkFolder(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("looking at the folder of the socket: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("others may write in %s: run chmod go-w %s", folder, folder)
	}
	return nil
}

// checkPlace accepts a path where nothing is, or a socket that nobody serves.
func checkPlace(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: move it away", path)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil //nolint:nilerr // nobody answers: that is what makes the socket stale
	}
	_ = conn.Close()
	return fmt.Errorf("a daemon answers at %s already: stop it first (systemctl stop docker-stig-authz.socket docker-stig-authz.service)", path)
}

// removeSocket removes the socket, unless another daemon's stands there now.
func removeSocket(path string, made fs.FileInfo) {
	if there, err := os.Lstat(path); err == nil && os.SameFile(there, made) {
		_ = os.Remove(path)
	}
}
