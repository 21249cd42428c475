package audit

import (
	"sync"
	"sync/atomic"
	"time"
)

// Denials that are written: 30 a second is more than a deployment gone wrong
// makes, and at half a KiB each they fill the files in two hours.
const (
	maxDenials   = 300
	denialWindow = 10 * time.Second
)

// A limit lets so many denials through in each window of time.
type limit struct {
	total atomic.Uint64 // kept back

	mu      sync.Mutex
	began   time.Time
	written int
	untold  uint64 // kept back, and no record has said so yet
}

// take reports whether a record is to be written, and how many were kept back
// before it that no record has told of.
func (l *limit) take(now time.Time, denial bool) (suppressed uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began).Abs() >= denialWindow { // a clock that is set back begins a window, too
		l.began, l.written = now, 0
	}
	if denial && l.written >= maxDenials {
		l.untold++
		l.total.Add(1)
		return 0, false
	}
	if denial {
		l.written++
	}
	suppressed, l.untold = l.untold, 0
	return suppressed, true
}
