package metrics

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

// maxScopes bounds the values of a label. A policy has as many scopes as
// somebody wrote down.
const maxScopes = 1000

// modes are those of a policy; empty is none.
var modes = []string{"disabled", "permissive", "enforced"}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	passed     = desc("passed_total", "Requests that were let through because nothing in them is judged.")
	lost       = desc("records_lost_total", "Records of decisions that could not be written.")
	suppressed = desc("records_suppressed_total", "Denials that were not written down because there were so many; they are counted as decisions.")

	policyMode   = desc("policy_mode", "1 for the mode of the policy in force.", "mode")
	policyLoaded = desc("policy_loaded_timestamp_seconds", "When the policy in force was read.")
	policyOK     = desc("policy_load_success", "1 if the last reading of the policy succeeded, 0 if the one before stays in force or there is none.")

	trustVerified = desc("trust_verified_timestamp_seconds", "When trust data under a scope of the policy was last found good.", "scope")
	trustRefused  = desc("trust_refused_from_timestamp_seconds", "From when starts under a scope of the policy are refused, if nothing is renewed before.", "scope")
	repositories  = desc("trust_repositories", "Repositories whose trust data is kept in memory.")
	memory        = desc("trust_memory_bytes", "What their trust data takes, by estimate.")

	approvals  = desc("approvals", "Containers with a recorded approval.")
	allowances = desc("allowances", "Break-glass approvals in force.")

	sweepTime    = desc("sweep_timestamp_seconds", "When running containers were last judged again.")
	sweepOK      = desc("sweep_success", "1 if all of them could be judged.")
	sweepRefused = desc("sweep_refused_containers", "Containers that run although they would be refused now.")

	sourceFault = desc("source_fault", "Never served: it carries a fault to the log.")
)

// A collector asks the sources.
type collector struct{ Sources }

// Describe sends every description, as the library wants.
func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		passed, lost, suppressed, policyMode, policyLoaded, policyOK, trustVerified, trustRefused,
		repositories, memory, approvals, allowances, sweepTime, sweepOK, sweepRefused,
	} {
		out <- d
	}
}

// Collect asks each source once. The library does so on a goroutine of its
// own, where a source's panic would end the daemon.
func (c collector) Collect(out chan<- prometheus.Metric) {
	defer func() {
		if fault := recover(); fault != nil {
			out <- prometheus.NewInvalidMetric(sourceFault, fmt.Errorf("a source of metrics failed: %v", fault))
		}
	}()
	for d, source := range map[*prometheus.Desc]func() uint64{passed: c.Passed, lost: c.Lost, suppressed: c.Suppressed} {
		if source != nil {
			out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(source()))
		}
	}
	for d, source := range map[*prometheus.Desc]func() int{approvals: c.Approvals, allowances: c.Allowances} {
		if source != nil {
			gauge(out, d, float64(source()))
		}
	}
	c.policy(out)
	c.trust(out)
	c.sweep(out)
}

func (c collector) policy(out chan<- prometheus.Metric) {
	if c.Policy == nil {
		return
	}
	p := c.Policy()
	gauge(out, policyOK, truth(p.OK))
	at(out, policyLoaded, p.Loaded)
	for _, mode := range modes {
		gauge(out, policyMode, truth(p.Mode == mode), mode)
	}
}

func (c collector) trust(out chan<- prometheus.Metric) {
	if c.Trust == nil {
		return
	}
	known := c.Trust()
	gauge(out, repositories, float64(known.Repositories))
	gauge(out, memory, float64(known.Bytes))
	for _, s := range byPattern(known.Scopes) {
		at(out, trustVerified, s.Verified, s.Pattern)
		at(out, trustRefused, s.RefusedFrom, s.Pattern)
	}
}

// byPattern makes one of scopes with the same pattern, which the library would
// refuse: the latest verification and the first refusal count.
func byPattern(scopes []Scope) map[string]Scope {
	merged := map[string]Scope{}
	for _, s := range scopes {
		known, seen := merged[s.Pattern]
		if !utf8.ValidString(s.Pattern) || !seen && len(merged) >= maxScopes {
			continue
		}
		if known.Verified.After(s.Verified) {
			s.Verified = known.Verified
		}
		if s.RefusedFrom.IsZero() || !known.RefusedFrom.IsZero() && known.RefusedFrom.Before(s.RefusedFrom) {
			s.RefusedFrom = known.RefusedFrom
		}
		merged[s.Pattern] = s
	}
	return merged
}

func (c collector) sweep(out chan<- prometheus.Metric) {
	if c.Sweep == nil {
		return
	}
	s := c.Sweep()
	if s.At.IsZero() {
		return // nobody has looked yet, which is not the same as none
	}
	at(out, sweepTime, s.At)
	gauge(out, sweepOK, truth(s.OK))
	gauge(out, sweepRefused, float64(s.Refused))
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

// at is a time as Prometheus counts it, absent if there is none.
func at(out chan<- prometheus.Metric, d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		gauge(out, d, float64(t.Unix()), labels...)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
