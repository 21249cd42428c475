package guard

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// errSilent is the end of a connection that never said anything.
var errSilent = errors.New("it said nothing")

// What happened last on a connection.
const (
	nothing  uint32 = iota
	asked           // the client sent something: an answer may be owed
	answered        // the engine did
	settled         // and nothing has come since a guard that is to stop looked
)

// A connection is a client's, and the engine's that belongs to it.
type connection struct {
	client *net.UnixConn
	last   atomic.Uint32

	mu     sync.Mutex
	engine *net.UnixConn // nil until the client has begun
	closed bool
}

// look gives the first bytes of the client, and leaves them where they are:
// the engine is to get them with the rest. It waits without a buffer.
func (c *connection) look(within time.Duration) (first [firstBytes]byte, err error) {
	if err := c.client.SetReadDeadline(time.Now().Add(within)); err != nil {
		return first, err
	}
	raw, err := c.client.SyscallConn()
	if err != nil {
		return first, err
	}
	var n int
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		n, peekErr = peek(int(fd), first[:])
		if n > 0 && n < firstBytes && ended(int(fd)) {
			n, peekErr = peek(int(fd), first[:]) // with what came before the end
			return true
		}
		return n == firstBytes || !errors.Is(peekErr, unix.EAGAIN) && n <= 0
	})
	if err := errors.Join(err, peekErr); err != nil && n <= 0 {
		return first, fmt.Errorf("%w: %w", errSilent, err)
	}
	if n <= 0 {
		return first, errSilent
	}
	if n < firstBytes {
		return first, fmt.Errorf("%d bytes came and no more within %v: %q", n, within, first[:n])
	}
	return first, c.client.SetReadDeadline(time.Time{})
}

// peek reads without taking away.
func peek(fd int, into []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, into, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// join puts the engine's side to the client's, unless the connection is
// closed by now.
func (c *connection) join(engine *net.UnixConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = engine.Close()
		return false
	}
	c.engine = engine
	return true
}

// run passes bytes on both ways until both sides have ended.
func (c *connection) run() error {
	back := make(chan error, 1)
	go func() { back <- c.pass(c.client, c.engine, answered) }()
	there := c.pass(c.engine, c.client, asked)
	return errors.Join(there, <-back)
}

// pass passes on what one side sends until it has ended, and then ends the
// other side as it did: half, as attach and exec do with their input, or
// altogether.
func (c *connection) pass(dst, src *net.UnixConn, event uint32) error {
	err := move(dst, src, func() { c.last.Store(event) })
	switch {
	case errors.Is(err, errDeaf):
		// dst takes no more, and may have said why: an engine that refuses an
		// upload answers and hangs up. So src can send no more, and the other
		// direction goes on to its own end.
		_ = src.CloseRead()
		return nil
	case err != nil:
		c.close()
		return err
	case gone(src):
		c.close()
		return nil
	default:
		_ = dst.CloseWrite()
		return nil
	}
}

// quiet reports whether nothing has moved since it was last asked, and
// nothing is owed. The clients of a stream, and those that wait for an answer,
// are not quiet.
func (c *connection) quiet() bool {
	if c.last.CompareAndSwap(answered, settled) || c.last.CompareAndSwap(nothing, settled) {
		return false
	}
	return c.last.Load() == settled
}

// close ends both sides, and what waits on them.
func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	_ = c.client.Close()
	if c.engine != nil {
		_ = c.engine.Close()
	}
}

// gone reports whether the other end has closed altogether rather than half.
// A connection that is closed here is gone, too.
func gone(conn *net.UnixConn) bool {
	events, err := poll(conn)
	return err != nil || events&unix.POLLHUP != 0
}

// ended reports whether the other end sends no more.
func ended(fd int) bool {
	return pollFD(fd)&(unix.POLLRDHUP|unix.POLLHUP) != 0
}

func poll(conn *net.UnixConn) (events int16, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(fd uintptr) { events = pollFD(int(fd)) })
	return events, err
}

// pollFD asks for the ends of a socket, and does not wait for them.
func pollFD(fd int) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} //nolint:gosec // a descriptor is a small number
	for {
		if _, err := unix.Poll(fds, 0); !errors.Is(err, unix.EINTR) {
			return fds[0].Revents
		}
	}
}
