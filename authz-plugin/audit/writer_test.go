package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// lines is where records go in tests. It fails with fault, and waits for
// gate, where they are set.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	fault error
	gate  chan struct{}
	grew  chan struct{} // is sent something for each Write
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	gate, fault := l.gate, l.fault
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if l.grew != nil {
		defer func() { l.grew <- struct{}{} }()
	}
	if fault != nil {
		return 0, fault
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = err
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) Close() error { return nil }

func TestRecordIsWrittenBeforeItsDecisionIsAnswered(t *testing.T) {
	t.Parallel()
	sink := &lines{}
	log := open(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, slog.NewJSONHandler(sink, nil), sink)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the engine went away: the decision was made all the same
	log.Write(ctx, full)
	if !strings.Contains(sink.String(), `"image":"app:v1"`) {
		t.Errorf("not written: %q", sink)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatalf("closing twice: %v", err)
	}
	log.Write(t.Context(), full)
	if log.Lost() != 1 {
		t.Errorf("lost %d, want the one after the end", log.Lost())
	}
}

func TestFullDiskIsSaidOnce(t *testing.T) {
	t.Parallel()
	sink, own := &lines{}, &lines{grew: make(chan struct{}, 10)}
	log := open(Options{Now: time.Now, Log: slog.New(slog.NewJSONHandler(own, nil))}, slog.NewJSONHandler(sink, nil), sink)
	sink.fail(errors.New("no space left on device"))
	for range 5 {
		log.Write(t.Context(), full)
	}
	<-own.grew
	if log.Lost() != 5 || strings.Count(own.String(), "no space left on device") != 1 {
		t.Errorf("lost %d, and the daemon's log says:\n%s", log.Lost(), own)
	}
	sink.fail(nil)
	log.Write(t.Context(), full)
	<-own.grew
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log.Lost() != 5 || strings.Count(own.String(), `"lost":5`) != 1 || strings.Count(sink.String(), "\n") != 1 {
		t.Errorf("lost %d, the daemon's log says:\n%s\nwritten:\n%s", log.Lost(), own, sink)
	}
}

func TestHangingDiskHoldsUpNobody(t *testing.T) {
	t.Parallel()
	sink := &lines{gate: make(chan struct{})}
	var observed atomic.Int64
	log := open(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler), Observe: func(Record) { observed.Add(1) }}, slog.NewJSONHandler(sink, nil), sink)
	const writers = maxWaiting + 200
	var group sync.WaitGroup
	begun := time.Now()
	for range writers {
		group.Go(func() {
			r := full
			r.Outcome = Allowed // of which none is kept back
			log.Write(t.Context(), r)
		})
	}
	group.Wait()
	if took := time.Since(begun); took > 100*patience {
		t.Errorf("%d decisions took %v", writers, took)
	}
	// One is being written, the queue is full, the others are lost.
	if want := uint64(writers - maxWaiting - 1); log.Lost() < want || log.Lost() > want+1 || observed.Load() != writers {
		t.Errorf("lost %d, want %d; observed %d", log.Lost(), want, observed.Load())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Close(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("closing: %v", err)
	}
	close(sink.gate)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := uint64(strings.Count(sink.String(), "\n")); got != writers-log.Lost() {
		t.Errorf("%d written, %d lost, of %d", got, log.Lost(), writers)
	}
}

func TestFloodOfDenialsIsCut(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)
	sink := &lines{}
	log := open(Options{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}, slog.NewJSONHandler(sink, nil), sink)
	denied, allowed, would := Record{Outcome: Denied}, Record{Outcome: Allowed}, Record{Outcome: WouldDeny}
	for range maxDenials + 50 {
		log.Write(t.Context(), denied)
	}
	for range 2 {
		log.Write(t.Context(), allowed)
		log.Write(t.Context(), would)
	}
	log.Write(t.Context(), denied)
	now = now.Add(denialWindow)
	log.Write(t.Context(), denied)
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := sink.String()
	for part, want := range map[string]int{
		`"decision":"deny"`: maxDenials + 1, `"decision":"allow"`: 2, `"decision":"would-deny"`: 2,
		`"decision":"allow","suppressed":50,`: 1, `"decision":"deny","suppressed":1,`: 1, `suppressed`: 2,
	} {
		if n := strings.Count(got, part); n != want {
			t.Errorf("%s: %d, want %d", part, n, want)
		}
	}
	if log.Suppressed() != 51 || log.Lost() != 0 {
		t.Errorf("suppressed %d, lost %d", log.Suppressed(), log.Lost())
	}
}

// TestNoteIsWrittenInItsTurn: before what is written after it, at the end, and
// by itself; one that comes too late is lost and counted.
func TestNoteIsWrittenInItsTurn(t *testing.T) {
	t.Parallel()
	sink := &lines{grew: make(chan struct{}, 10)}
	log := open(Options{Now: time.Now, Log: slog.New(slog.DiscardHandler)}, slog.NewJSONHandler(sink, nil), sink)
	named := func(image string) Record { return Record{Outcome: Allowed, Image: image} }
	log.Note(t.Context(), named("first"))
	log.Note(t.Context(), named("second"))
	log.Write(t.Context(), named("third"))
	if n := strings.Count(sink.String(), "\n"); n != 3 {
		t.Fatalf("%d lines once the third is written:\n%s", n, sink)
	}
	for range 3 {
		<-sink.grew
	}
	log.Note(t.Context(), named("fourth"))
	<-sink.grew
	log.Note(t.Context(), named("fifth"))
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.Note(t.Context(), named("late"))
	got, order := sink.String(), 0
	for _, image := range []string{"first", "second", "third", "fourth", "fifth"} {
		at := strings.Index(got, `"`+image+`"`)
		if at < order {
			t.Errorf("%s is not in its place:\n%s", image, got)
		}
		order = at
	}
	if log.Lost() != 1 || strings.Contains(got, "late") {
		t.Errorf("lost %d, want the one after the end:\n%s", log.Lost(), got)
	}
}
