package guard

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// errDeaf says that the destination takes no more.
var errDeaf = errors.New("the other side takes no more")

// move passes bytes on from src to dst until src has ended, without taking
// them out of the kernel. io.Copy would: net splices only where TCP is one of
// the sides. moved is called after each piece.
func move(dst, src *net.UnixConn, moved func()) error {
	from, err := src.SyscallConn()
	if err != nil {
		return err
	}
	to, err := dst.SyscallConn()
	if err != nil {
		return err
	}
	for {
		pipe, n, err := take(from)
		if err != nil || n == 0 {
			return err
		}
		if err := give(to, pipe, n); err != nil {
			pipe.close() // with what is left in it
			return fmt.Errorf("%w: %w", errDeaf, err)
		}
		pipe.put()
		moved()
	}
}

// piece is how many bytes go at once: what a pipe holds as the kernel makes it
// (pipe(7)). Larger ones, which are limited for each user, gain nothing.
const piece = 64 << 10

// take waits for bytes of a connection and puts them into a pipe. There are
// none when the connection has ended; it may also have been torn down. While
// it waits it holds no pipe, which makes an idle connection cheap.
func take(from syscall.RawConn) (pipe pipe, n int64, err error) {
	readErr := from.Read(func(fd uintptr) bool {
		if pipe, err = getPipe(); err != nil {
			return true
		}
		n, err = splice(int(fd), pipe.w, piece)
		if n > 0 {
			return true
		}
		pipe.put()
		return !errors.Is(err, unix.EAGAIN)
	})
	switch {
	case readErr != nil, errors.Is(err, unix.ECONNRESET):
		return pipe, 0, nil // closed here, or there with bytes of ours unread
	case err != nil:
		return pipe, 0, fmt.Errorf("taking bytes: %w", err)
	default:
		return pipe, n, nil
	}
}

// give waits until a connection has taken n bytes out of a pipe.
func give(to syscall.RawConn, pipe pipe, n int64) error {
	for n > 0 {
		var given int64
		var err error
		writeErr := to.Write(func(fd uintptr) bool {
			given, err = splice(pipe.r, int(fd), int(n))
			return !errors.Is(err, unix.EAGAIN)
		})
		if err := errors.Join(writeErr, err); err != nil {
			return err
		}
		n -= given
	}
	return nil
}

// splice moves up to n bytes, and fails with EAGAIN rather than wait.
func splice(from, to, n int) (int64, error) {
	for {
		moved, err := unix.Splice(from, nil, to, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if !errors.Is(err, unix.EINTR) {
			return int64(max(moved, 0)), err // an int on machines of 32 bits
		}
	}
}

// A pipe is what splice needs between two sockets. It is empty unless somebody
// holds it.
type pipe struct{ r, w int }

// spare are pipes that nobody holds; more of them than these are closed.
var spare = make(chan pipe, 64)

func getPipe() (pipe, error) {
	select {
	case p := <-spare:
		return p, nil
	default:
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return pipe{}, fmt.Errorf("making a pipe: %w", err)
	}
	return pipe{r: ends[0], w: ends[1]}, nil
}

func (p pipe) put() {
	select {
	case spare <- p:
	default:
		p.close()
	}
}

func (p pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}
