package audit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// patience is how long a decision waits for its record to be written.
	patience = 50 * time.Millisecond
	// maxWaiting bounds the records that wait while writing takes long. One
	// is about 1 KiB.
	maxWaiting = 1024
)

// errStuck says that writing takes so long that no more records can wait.
var errStuck = errors.New("the journal or the disk takes no more")

// A writer writes records one after another, so that one that takes long
// holds up nobody for more than their patience.
type writer struct {
	handler slog.Handler
	closer  io.Closer
	log     *slog.Logger
	lost    *atomic.Uint64
	queue   chan entry
	done    chan struct{} // closed when the queue has come to its end

	failing atomic.Bool // and the daemon's log says so

	mu     sync.RWMutex // guards the end of the queue
	closed bool
}

type entry struct {
	ctx     context.Context // of one record on its way, for its handler
	record  slog.Record
	written chan struct{}
}

// open makes a Log around a handler and starts its writer.
func open(o Options, handler slog.Handler, closer io.Closer) *Log {
	l := &Log{handler: handler, now: o.Now, observe: o.Observe, limit: &limit{}, logPass: o.Passed}
	l.writer = &writer{
		handler: handler, closer: closer, log: o.Log, lost: &l.lost,
		queue: make(chan entry, maxWaiting), done: make(chan struct{}),
	}
	go l.writer.run()
	return l
}

// Close writes what waits, until ctx is done. What is written later is lost.
func (l *Log) Close(ctx context.Context) error {
	if l.writer == nil {
		return nil
	}
	l.close.Do(l.writer.end)
	select {
	case <-l.writer.done:
		return l.writer.closer.Close()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	close(w.queue)
}

// put gives a record to the writer and waits for it, as long as patience goes.
func (w *writer) put(ctx context.Context, r slog.Record) {
	e := entry{context.WithoutCancel(ctx), r, make(chan struct{})}
	if !w.enqueue(e) {
		w.fail(errStuck)
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-e.written:
	case <-timer.C:
	}
}

func (w *writer) enqueue(e entry) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return false
	}
	select {
	case w.queue <- e:
		return true
	default:
		return false
	}
}

func (w *writer) run() {
	defer close(w.done)
	for e := range w.queue {
		if err := w.handler.Handle(e.ctx, e.record); err != nil {
			w.fail(err)
		} else if w.failing.CompareAndSwap(true, false) {
			w.log.Info("decisions are recorded again", "lost", w.lost.Load())
		}
		close(e.written)
	}
}

// fail counts a record that is lost, and says so once until one is written
// again. It waits for nobody: the daemon's own log may go to the same place.
func (w *writer) fail(err error) {
	w.lost.Add(1)
	if w.failing.CompareAndSwap(false, true) {
		go w.log.Error("decisions are not being recorded; they are made all the same: see whether the disk is full", "error", err)
	}
}
