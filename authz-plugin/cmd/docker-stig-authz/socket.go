package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// dialTimeout is how long another daemon has to accept, should one sit behind
// an old socket.
const dialTimeout = time.Second

// A place is where a socket belongs.
type place struct {
	path  string
	unit  string // of systemd, without its suffix
	group string // may connect to a socket made here, beside its owner
}

// pluginPlace is where the engine looks for the plugin. Only root may ask.
func pluginPlace(path string) place {
	return place{path: path, unit: "docker-stig-authz"}
}

// sockets are where the engine asks, or the engine's clients do.
type sockets struct {
	listeners []net.Listener
	path      string // for the log
	remove    func() // takes away what was made
}

// listen takes the sockets that systemd passed, or makes the plugin's at path.
func listen(ctx context.Context, path string) (sockets, error) {
	return pluginPlace(path).listen(ctx)
}

// listen takes the sockets that systemd passed, or makes one.
func (p place) listen(ctx context.Context) (sockets, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return sockets{}, fmt.Errorf("taking systemd's sockets: %w", err)
	}
	for _, listener := range passed {
		if listener == nil || listener.Addr().Network() != "unix" {
			return sockets{}, fmt.Errorf("systemd passed something that is no unix socket: %s.socket must have ListenStream=/PATH only", p.unit)
		}
	}
	if len(passed) > 0 {
		return sockets{listeners: passed, path: passed[0].Addr().String(), remove: func() {}}, nil
	}
	listener, remove, err := p.make(ctx)
	if err != nil {
		return sockets{}, err
	}
	return sockets{listeners: []net.Listener{listener}, path: p.path, remove: remove}, nil
}

// makeSocket makes a socket that only its owner can connect to.
func makeSocket(ctx context.Context, path string) (net.Listener, func(), error) {
	return pluginPlace(path).make(ctx)
}

// make makes a socket. It comes to its place complete: made in a folder of its
// own and moved over an old one.
func (p place) make(ctx context.Context) (net.Listener, func(), error) {
	folder := filepath.Dir(p.path)
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // /run/docker/plugins as the engine makes it; the socket has a mode of its own
		return nil, nil, fmt.Errorf("making the folder of the socket: %w", err)
	}
	if err := checkFolder(folder); err != nil {
		return nil, nil, err
	}
	if err := p.check(ctx); err != nil {
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
	made, err := p.put(fresh)
	if err != nil {
		_ = listener.Close()
		return nil, nil, err
	}
	return listener, func() { removeSocket(p.path, made) }, nil
}

// put gives a socket its group, then its mode, then its name.
func (p place) put(fresh string) (fs.FileInfo, error) {
	mode := fs.FileMode(0o600)
	if p.group != "" {
		if err := giveTo(p.group, fresh); err != nil {
			return nil, fmt.Errorf("making the socket: %w", err)
		}
		mode = 0o660
	}
	if err := os.Chmod(fresh, mode); err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	if err := os.Rename(fresh, p.path); err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	made, err := os.Lstat(p.path)
	if err != nil {
		return nil, fmt.Errorf("making the socket: %w", err)
	}
	return made, nil
}

func giveTo(group, path string) error {
	found, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("looking for the group %s: %w: name the group that may use the engine, or none", group, err)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return fmt.Errorf("looking for the group %s: %w", group, err)
	}
	return os.Lchown(path, -1, gid)
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

// check accepts a path where nothing is, or a socket that nobody serves.
func (p place) check(ctx context.Context) error {
	info, err := os.Lstat(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at %s: %w", p.path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: move it away", p.path)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", p.path)
	if err != nil {
		return nil //nolint:nilerr // nobody answers: that is what makes the socket stale
	}
	_ = conn.Close()
	return fmt.Errorf("a daemon answers at %[1]s already: stop it first (systemctl stop %[2]s.socket %[2]s.service)", p.path, p.unit)
}

// removeSocket removes the socket, unless another daemon's stands there now.
func removeSocket(path string, made fs.FileInfo) {
	if there, err := os.Lstat(path); err == nil && os.SameFile(there, made) {
		_ = os.Remove(path)
	}
}
