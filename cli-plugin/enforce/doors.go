package enforce

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Door is what a listening socket of the engine lets whoever comes do.
type Door string

// The doors.
const (
	NoAPI     Door = "no API"    // metrics, the swarm's own ports, a port held for a container
	Open      Door = "open"      // the API answers everybody
	Certified Door = "certified" // it wants a certificate
)

// A Listener is a socket on which the engine waits, whoever made it for the
// engine and whatever its files say by now.
type Listener struct {
	Network string // tcp or unix
	Address string
	Door    Door
	Err     error // why that could not be found out
}

// acceptWithin is how long a daemon may take to accept a connection on a
// socket that it serves. On a socket that only keeps a port taken for a
// container it never does.
const acceptWithin = time.Second

// knocksAtOnce bounds the connections made side by side.
const knocksAtOnce = 16

// Listeners tries every socket on which the engine listens.
func (d *Dockerd) Listeners(ctx context.Context) ([]Listener, error) {
	sockets, err := socketsOf(d.PID)
	if err != nil {
		return nil, fmt.Errorf("looking where the engine listens: %w", err)
	}
	var list []Listener
	for _, s := range sockets {
		one := Listener{Network: "unix", Address: s.path}
		if s.path == "" {
			one = Listener{Network: "tcp", Address: s.local.String()}
		}
		if s.listen && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	var group sync.WaitGroup
	room := make(chan struct{}, knocksAtOnce)
	for i := range list {
		group.Go(func() {
			room <- struct{}{}
			list[i].Door, list[i].Err = d.knock(ctx, list[i])
			<-room
		})
	}
	group.Wait()
	return list, nil
}

// knock finds out what a listener is by asking it for GET /_ping.
func (d *Dockerd) knock(ctx context.Context, l Listener) (Door, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	door, err := d.plain(ctx, l)
	if err == nil && door == NoAPI && l.Network == "tcp" {
		door, err = d.encrypted(ctx, l)
	}
	if err != nil {
		return "", fmt.Errorf("what the engine serves on %s://%s: %w", l.Network, l.Address, cause(err))
	}
	return door, nil
}

// plain knocks without TLS.
func (d *Dockerd) plain(ctx context.Context, l Listener) (Door, error) {
	conn, err := d.dial(ctx, l)
	if l.Network == "unix" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)) {
		return NoAPI, nil // its name is gone, or another's: nobody comes that way
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if accepted, err := d.accepts(ctx, l, conn); !accepted {
		return NoAPI, err
	}
	api, err := ping(conn)
	switch {
	case isTimeout(err):
		return "", err
	case err == nil && api:
		return Open, nil
	default:
		return NoAPI, nil // another protocol
	}
}

// encrypted knocks with TLS and without a certificate. Whose the engine's own
// is does not matter: nothing that it says is believed.
func (d *Dockerd) encrypted(ctx context.Context, l Listener) (Door, error) {
	raw, err := d.dial(ctx, l)
	if err != nil {
		return "", err
	}
	defer raw.Close()
	if accepted, err := d.accepts(ctx, l, raw); !accepted {
		return NoAPI, err
	}
	wanted := false
	conn := tls.Client(raw, &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // see above
		MinVersion:         tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			wanted = true
			return new(tls.Certificate), nil
		},
	})
	api, err := ping(conn)
	refused := new(net.OpError)
	switch {
	case err == nil && api:
		return Open, nil
	case isTimeout(err):
		return "", err
	case wanted && errors.As(err, &refused) && refused.Op == "remote error": // a TLS alert (RFC 8446, 6.2)
		return Certified, nil
	default:
		return NoAPI, nil
	}
}

// ping asks for GET /_ping, and reports whether an engine answers.
func ping(conn io.ReadWriter) (bool, error) {
	if _, err := io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: docker-stig\r\nUser-Agent: docker-stig\r\n\r\n"); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxAnswer)), nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.Header.Get("Api-Version") != "" || strings.HasPrefix(resp.Header.Get("Server"), "Docker/") {
		return true, nil
	}
	var answer struct {
		Message string `json:"message"` // as the API has it when a plugin denies, or fails
	}
	return json.NewDecoder(resp.Body).Decode(&answer) == nil && answer.Message != "", nil
}

// accepts reports whether the engine itself has taken a connection: rules of
// the firewall may have led it to a container, and nobody takes those to a
// socket that keeps a port.
func (d *Dockerd) accepts(ctx context.Context, l Listener, conn net.Conn) (bool, error) {
	if l.Network == "unix" {
		return true, nil
	}
	ours, ourErr := netip.ParseAddrPort(conn.LocalAddr().String())
	theirs, theirErr := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err := errors.Join(ourErr, theirErr); err != nil {
		return false, err
	}
	accepting, cancel := context.WithTimeout(ctx, acceptWithin)
	defer cancel()
	for {
		sockets, err := socketsOf(d.PID)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(sockets, func(s socket) bool {
			return !s.listen && s.local.Port() == theirs.Port() && s.remote.Port() == ours.Port() && s.remote.Addr() == ours.Addr().Unmap().WithZone("")
		}) {
			return true, nil
		}
		if pause(accepting) != nil {
			return false, d.lives(ctx)
		}
	}
}

// lives wants an engine that accepts connections at all: one that hangs leaves
// open what it would have done with another.
func (d *Dockerd) lives(ctx context.Context) error {
	conn, err := dial(ctx, "unix", d.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = ping(conn)
	return err
}

// dial connects as somebody in the engine's network namespace does.
func (d *Dockerd) dial(ctx context.Context, l Listener) (net.Conn, error) {
	if l.Network == "unix" && !strings.HasPrefix(l.Address, "@") {
		return dial(ctx, "unix", d.reach(l.Address))
	}
	var conn net.Conn
	err := d.inNetwork(func() (err error) {
		for _, address := range reachable(l.Address) {
			if conn, err = dial(ctx, l.Network, address); err == nil {
				return nil
			}
		}
		return err
	})
	return conn, err
}

// reach is the path by which this program comes to a socket of the engine's.
func (d *Dockerd) reach(path string) string {
	if d == nil || strings.HasPrefix(path, "@") || sameFile(path, d.Socket) || sameFile(path, d.view(path)) {
		return path
	}
	return d.view(path)
}

// reachable are the addresses by which this machine comes to a listener.
func reachable(address string) []string {
	to, err := netip.ParseAddrPort(address)
	switch {
	case err != nil || !to.Addr().IsUnspecified():
		return []string{address}
	case to.Addr().Is4():
		return []string{fmt.Sprintf("127.0.0.1:%d", to.Port())}
	default: // and one that takes both may have but the older protocol to be reached by
		return []string{fmt.Sprintf("[::1]:%d", to.Port()), fmt.Sprintf("127.0.0.1:%d", to.Port())}
	}
}

// dial connects, and gives the connection as long as ctx has.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	return conn, err
}

// inNetwork calls f in the engine's network namespace. A socket stays in the
// one it was made in.
func (d *Dockerd) inNetwork(f func() error) error {
	path := fmt.Sprintf("/proc/%d/ns/net", d.PID)
	const own = "/proc/thread-self/ns/net" // /proc/self is the first thread, wherever that is
	if sameFile(own, path) {
		return f()
	}
	done := make(chan error)
	go func() { done <- enter(path, own, f) }()
	return <-done
}

// enter calls f in a network namespace, and comes back from it. A thread that
// cannot come back ends with its goroutine.
func enter(path, own string, f func() error) error {
	runtime.LockOSThread()
	there, err := os.Open(path)
	if err != nil {
		return err
	}
	defer there.Close()
	here, err := os.Open(own)
	if err != nil {
		return err
	}
	defer here.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the engine's network: %w", err)
	}
	err = f()
	if unix.Setns(int(here.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}
