// Package logtest keeps what a program logs, for tests that read it while the
// program goes on.
package logtest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// A Log is where something is logged. It is safe for concurrent use, and ready
// as it is.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Logger writes JSON into the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is what was logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Count is how often a text was logged so far.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
