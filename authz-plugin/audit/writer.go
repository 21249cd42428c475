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
	// noteDelay is how long a note waits for a record that takes it along: to
	// wake the writer for it alone would hold up the decision.
	noteDelay = 2 * time.Millisecond
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

	mu     sync.Mutex // guards the order and the end of the queue
	notes  []entry    // to be put into the queue before what comes next
	closed bool
}

type entry struct {
	ctx     context.Context // of one record on its way, for its handler
	at      time.Time
	record  Record
	written chan struct{} // nil: nobody waits
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
	w.sendNotes()
	w.closed = true
	close(w.queue)
}

// put gives a record to the writer and, if it is to wait, waits for it as long
// as patience goes.
func (w *writer) put(ctx context.Context, at time.Time, r Record, wait bool) {
	e := entry{ctx: context.WithoutCancel(ctx), at: at, record: r}
	if !wait {
		w.note(e)
		return
	}
	e.written = make(chan struct{})
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

// note keeps an entry until the next record, or for noteDelay.
func (w *writer) note(e entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, e)
	switch {
	case w.closed, len(w.notes) == maxWaiting:
		w.sendNotes()
	case len(w.notes) == 1:
		time.AfterFunc(noteDelay, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sendNotes()
		})
	}
}

// sendNotes puts all notes into the queue. The lock is held.
func (w *writer) sendNotes() {
	for _, e := range w.notes {
		if !w.send(e) {
			w.fail(errStuck)
		}
	}
	w.notes = nil
}

func (w *writer) enqueue(e entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sendNotes()
	return w.send(e)
}

func (w *writer) send(e entry) bool {
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
		if err := emit(e.ctx, w.handler, e.at, e.record); err != nil {
			w.fail(err)
		} else if w.failing.CompareAndSwap(true, false) {
			w.log.Info("decisions are recorded again", "lost", w.lost.Load())
		}
		if e.written != nil {
			close(e.written)
		}
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
