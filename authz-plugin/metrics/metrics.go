// Package metrics counts what the authorization plugin does, for Prometheus
// (its text format, as client_golang writes it), on a socket for root alone or
// on a loopback address, if the policy's "metrics" asks for it.
//
// Decisions are counted as they are made. All else is asked of others when
// somebody collects: they are handed in as functions, so that this package
// depends on nobody. It decides nothing, and names no image: a label is a word
// of our own or a pattern of the policy, whose number is bounded.
//
// The registry is our own. Of the library's collectors it has those of the
// process and of the Go runtime; there is no profiling here.
package metrics

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/docker-stig/docker-stig/shared/record"
)

const namespace = "docker_stig"

// Sources are asked when somebody collects, from several goroutines at once,
// and answer from memory. One that is nil has no metric.
type Sources struct {
	Passed     func() uint64 // requests without a question
	Lost       func() uint64 // records that could not be written
	Suppressed func() uint64 // denials that were counted and not written
	Policy     func() Policy
	Trust      func() Trust
	Approvals  func() int // recorded
	Allowances func() int // in force
	Sweep      func() Sweep
}

// A Policy is how the last reading of the policy went.
type Policy struct {
	Mode   string    // of the one in force; empty: none
	Loaded time.Time // when it came into force
	OK     bool      // the last reading succeeded
}

// Trust is what is known of signed repositories.
type Trust struct {
	Scopes       []Scope
	Repositories int   // kept in memory
	Bytes        int64 // that they take there
}

// A Scope is what is known of the repositories under one pattern of the
// policy.
type Scope struct {
	Pattern     string
	Verified    time.Time // when trust data was last found good
	RefusedFrom time.Time // the first day from which starts are refused if nothing is renewed; zero: never
}

// A Sweep is the last look at what runs.
type Sweep struct {
	At      time.Time // zero: there was none
	Refused int       // containers that run and would be refused now
	OK      bool      // all could be judged
}

// Build says which build of the program runs.
type Build struct {
	Version string
	Commit  string
}

// Metrics is safe for concurrent use.
type Metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	durations prometheus.Histogram
	sources   Sources

	mu      sync.RWMutex
	reasons map[string]bool // seen
}

// New makes Metrics that know of nothing yet.
func New(build Build, sources Sources) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "decisions_total",
			Help: "Decisions on requests that had to be judged, by what became of them, why, and when.",
		}, []string{"outcome", "reason", "phase"}),
		durations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "decision_duration_seconds",
			Help: "How long decisions took that had to be judged.",
			// A known answer takes microseconds, a trust server has 2 s, and a
			// decision 5 s.
			Buckets: []float64{25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 0.1, 0.5, 1, 2, 5},
		}),
		sources: sources,
		reasons: map[string]bool{},
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say which build runs.",
	}, []string{"version", "commit", "go"})
	info.WithLabelValues(build.Version, build.Commit, runtime.Version()).Set(1)
	m.registry.MustRegister(
		m.decisions, m.durations, info, collector{m.sources},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// maxReasons bounds the values of a label. The program has fewer words.
const (
	maxReasons  = 100
	otherReason = "other"
)

// Decided counts a decision. It fits audit.Options.Observe.
func (m *Metrics) Decided(r record.Record) {
	m.decisions.WithLabelValues(string(r.Outcome), m.reason(r.Reason), string(r.Phase)).Inc()
	m.durations.Observe(r.Duration.Seconds())
}

// reason is a reason as a label.
func (m *Metrics) reason(word string) string {
	m.mu.RLock()
	known := m.reasons[word]
	m.mu.RUnlock()
	if known {
		return word
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.reasons) >= maxReasons {
		return otherReason
	}
	m.reasons[word] = true
	return word
}
