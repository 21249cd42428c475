package transaction

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Lock keeps others from changing anything. It ends with the process. Whoever
// waits in vain hears who holds it.
func (s Store) Lock(ctx context.Context, who string, patience time.Duration) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of transactions: %w", err)
	}
	if err := s.guarded(); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.Dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			_ = file.Close() // it was not locked
			return nil, fmt.Errorf("locking %s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			holder, _ := io.ReadAll(io.LimitReader(file, 1<<10)) // bytes
			_ = file.Close()                                     // it was not locked
			return nil, fmt.Errorf("%s holds the lock: wait until it has ended", strings.TrimSpace(string(holder)))
		case <-time.After(lookEvery):
		}
	}
	if err := file.Truncate(0); err == nil {
		_, _ = file.WriteAt([]byte(who+"\n"), 0) // only told to others
	}
	return func() { _ = file.Close() }, nil
}
