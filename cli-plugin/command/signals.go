package command

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// whileWanted is a context for what must not be left half done: it ends when
// somebody interrupts, and the work then ends in order. A reader who has gone
// away, as of `| head` or of a connection that is lost, ends nothing: by
// default SIGPIPE would have a write to him kill the process.
//
// SIGPIPE is caught, not ignored: programs that are started would inherit that.
func whileWanted(ctx context.Context) (context.Context, context.CancelFunc) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}
