package metrics

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// An Address is where metrics are served.
type Address struct {
	network string // "unix" or "tcp"; the zero Address is nowhere
	place   string
}

// ParseAddress reads the policy's "metrics": empty is nowhere, and anything
// but a socket's absolute path or a loopback address is refused. A name such
// as localhost is refused because whoever answers for names says where it is.
func ParseAddress(text string) (Address, error) {
	if text == "" {
		return Address{}, nil
	}
	wrong := fmt.Errorf("metrics: %q: want unix:///run/docker-stig/metrics.sock, or a loopback address with a port such as 127.0.0.1:9417", text)
	if path, isUnix := strings.CutPrefix(text, "unix://"); isUnix {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
			return Address{}, wrong
		}
		return Address{"unix", path}, nil
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil || !at.Addr().IsLoopback() || at.Addr().Zone() != "" || at.Port() == 0 {
		return Address{}, wrong
	}
	return Address{"tcp", at.String()}, nil
}

// IsZero reports whether metrics are served nowhere.
func (a Address) IsZero() bool { return a.network == "" }

// String is the address as the policy has it.
func (a Address) String() string {
	if a.network == "unix" {
		return "unix://" + a.place
	}
	return a.place
}

// Listen opens the address. A socket is root's alone, and is removed when the
// listener is closed.
func Listen(ctx context.Context, a Address) (net.Listener, error) {
	switch a.network {
	case "unix":
		return listenUnix(ctx, a.place)
	case "tcp":
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.place)
		if err != nil {
			return nil, fmt.Errorf("serving metrics: %w", err)
		}
		return listener, nil
	default:
		return nil, errors.New("serving metrics: there is no address")
	}
}

// listenUnix makes the socket in a folder of its own and moves it to its place
// when nobody but its owner may connect.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the metrics' socket: %w", err)
	}
	if err := free(ctx, folder, path); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(folder, ".metrics")
	if err != nil {
		return nil, fmt.Errorf("making the metrics' socket: %w", err)
	}
	defer os.RemoveAll(scratch)
	fresh := filepath.Join(scratch, "s")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", fresh)
	if err != nil {
		return nil, fmt.Errorf("making the metrics' socket: %w", err)
	}
	if socket, ok := listener.(*net.UnixListener); ok {
		socket.SetUnlinkOnClose(false) // it is elsewhere by then
	}
	placed, err := place(listener, fresh, path)
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("making the metrics' socket: %w", err)
	}
	return placed, nil
}

// dialTimeout is how long a socket that is there has to answer.
const dialTimeout = time.Second

// free accepts a path where nothing is, or a socket that nobody serves.
func free(ctx context.Context, folder, path string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("looking at the folder of the metrics' socket: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others may write in %s: put the metrics' socket into a folder of root's, or run chmod go-w %s", folder, folder)
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the place of the metrics' socket: %w", err)
	}
	if there.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket: move it away, or serve metrics elsewhere", path)
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil //nolint:nilerr // nobody answers: that is what makes the socket stale
	}
	_ = conn.Close()
	return fmt.Errorf("somebody answers at %s already: serve metrics elsewhere, or stop them", path)
}

// A socket is a listener that removes its file, unless another's is there now.
type socket struct {
	net.Listener

	path string
	made fs.FileInfo
}

func place(listener net.Listener, fresh, path string) (socket, error) {
	if err := os.Chmod(fresh, 0o600); err != nil {
		return socket{}, err
	}
	if err := os.Rename(fresh, path); err != nil {
		return socket{}, err
	}
	made, err := os.Lstat(path)
	return socket{listener, path, made}, err
}

// Close ends the listener.
func (s socket) Close() error {
	if there, err := os.Lstat(s.path); err == nil && os.SameFile(there, s.made) {
		_ = os.Remove(s.path)
	}
	return s.Listener.Close()
}
