// Package audit keeps the record of what the authorization plugin decided:
// one structured record (package record) for each decision on images and for
// each denial, in the journal where there is one, in a file that is rotated
// elsewhere. What passes without a question is counted.
//
// Whether something is recorded decides nothing about the engine. A journal or
// a disk that is full, slow or dead costs a decision 50 ms at the most, its
// record is lost and counted, and the daemon's own log says so once. Until
// then a record is written before its decision is answered. One kind is not
// waited for: that a create may go on (Note). Records keep their order, and
// what the create has made is decided on again before anybody can use it.
//
// A flood of denials is cut to 300 in 10 s; the next record tells how many were
// counted only. That is below journald's own limit, which would drop without
// saying of what, and it keeps a flood from pushing everything else out of the
// files. What was let through is always recorded, under a permissive policy
// too.
package audit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker-stig/docker-stig/shared/record"
)

// The words of package record, for those who decide.
type (
	// A Record is one decision.
	Record = record.Record
	// An Outcome is what became of a request.
	Outcome = record.Outcome
	// A Phase is the moment of a decision.
	Phase = record.Phase
	// An Allowance is a break-glass approval.
	Allowance = record.Allowance
)

// Outcomes and phases, as package record explains them.
const (
	Allowed   = record.Allowed
	Denied    = record.Denied
	WouldDeny = record.WouldDeny
	Asked     = record.Asked
	Answered  = record.Answered
)

// A Log writes records. It is safe for concurrent use.
type Log struct {
	handler slog.Handler
	now     func() time.Time
	observe func(Record)
	writer  *writer // nil: records are written by whoever brings them
	limit   *limit  // nil: none
	logPass bool
	passed  atomic.Uint64
	lost    atomic.Uint64
	close   sync.Once
}

// New writes records to logger, each before Write returns.
func New(logger *slog.Logger) *Log {
	return &Log{handler: logger.Handler(), now: time.Now}
}

// Options configure a Log. Now and Log are required.
type Options struct {
	Now     func() time.Time
	Log     *slog.Logger // for what is to be said about the records themselves
	File    string       // where there is no journal; empty: record.DefaultFile
	Passed  bool         // write down what passes without a question, too
	Observe func(Record) // is shown each decision, written or not; nil: nobody
}

// Open makes a Log that writes to the journal, or else to a file. Neither is
// touched before the first record.
func Open(o Options) *Log {
	handler, closer := sink(o.File)
	return open(o, handler, closer)
}

// Pass counts a request that passed without a question.
func (l *Log) Pass() { l.passed.Add(1) }

// Passed tells how many requests passed without a question.
func (l *Log) Passed() uint64 { return l.passed.Load() }

// LetPass counts a request that passed without a question, and writes it down
// if the daemon was told to.
func (l *Log) LetPass(ctx context.Context, r Record) {
	l.passed.Add(1)
	if l.logPass {
		r.Outcome = record.Passed
		l.put(ctx, r, true)
	}
}

// Lost tells how many records could not be written.
func (l *Log) Lost() uint64 { return l.lost.Load() }

// Suppressed tells how many denials were counted and not written, because
// there were so many.
func (l *Log) Suppressed() uint64 {
	if l.limit == nil {
		return 0
	}
	return l.limit.total.Load()
}

// Write writes one record. Fields without a value are left out.
func (l *Log) Write(ctx context.Context, r Record) { l.decided(ctx, r, true) }

// Note writes one record, in its turn and within milliseconds, and does not
// wait for it. It is for a decision that a second one on the same matter
// follows, with a record of its own: when that is written, this is.
func (l *Log) Note(ctx context.Context, r Record) { l.decided(ctx, r, false) }

func (l *Log) decided(ctx context.Context, r Record, wait bool) {
	if l.observe != nil {
		l.observe(r)
	}
	if l.limit != nil {
		suppressed, ok := l.limit.take(l.now(), r.Outcome == Denied)
		if !ok {
			return
		}
		r.Suppressed = suppressed
	}
	l.put(ctx, r, wait)
}

func (l *Log) put(ctx context.Context, r Record, wait bool) {
	now := l.now()
	if l.writer == nil {
		if emit(ctx, l.handler, now, r) != nil {
			l.lost.Add(1)
		}
		return
	}
	l.writer.put(ctx, now, r, wait)
}

func emit(ctx context.Context, to slog.Handler, now time.Time, r Record) error {
	level := r.Level()
	if !to.Enabled(ctx, level) {
		return nil
	}
	entry := slog.NewRecord(now, level, record.Message, 0)
	entry.AddAttrs(r.Attrs()...)
	return to.Handle(ctx, entry)
}
