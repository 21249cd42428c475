// Package scan runs rules over a host, in the order of the benchmark, into a
// Checklist. It decides nothing: an error of a rule, or a panic, becomes
// Not_Reviewed with the error as its details, and the other rules go on.
package scan

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
	"golang.org/x/sync/errgroup"
)

// maxParallel bounds the rules under way at once: most wait for the engine.
const maxParallel = 8

// A Checklist is the answer to a benchmark for one target.
type Checklist struct {
	Benchmark benchmark.Benchmark
	Guide     *benchmark.Guide // DISA's own texts, where the site gave them
	Target    string           // the engine's address
	Asset     host.Asset
	Narrowed  string // which containers alone were looked at; empty: all
	Edition   string // "Docker Engine - Community 29.2.0"; empty: it did not tell
	Started   time.Time
	Ended     time.Time
	Results   []Result // in the benchmark's order
}

// A Result is the answer to one requirement.
type Result struct {
	benchmark.Requirement
	Status   stig.Status
	Details  string // of the findings that decide, one line each
	Findings []stig.Finding
	Facts    string   // hash of what the rule found: see site.Answer
	Comments []string // the site's word: an answer, a citation, waivers
	Waived   bool     // every open finding is: the risk was accepted
}

// Count gives the number of requirements with a status.
func (c Checklist) Count(status stig.Status) int {
	count := 0
	for _, result := range c.Results {
		if result.Status == status {
			count++
		}
	}
	return count
}

// Open gives the number of open requirements at or above a severity.
func (c Checklist) Open(least stig.Severity) int {
	count := 0
	for _, result := range c.Results {
		if result.Status == stig.Open && result.Severity <= least {
			count++
		}
	}
	return count
}

// Options of a scan.
type Options struct {
	Benchmark    benchmark.Benchmark
	Requirements []benchmark.Requirement // those to answer, in any order
	Now          func() time.Time
	Progress     func(done, of int, r Result) // called from one goroutine at a time; nil: not at all
}

// Run answers the requirements. Cancelling ctx makes those not yet answered
// Not_Reviewed.
func Run(ctx context.Context, h *host.Host, o Options) Checklist {
	wanted := ordered(o.Benchmark, o.Requirements)
	list := Checklist{Benchmark: o.Benchmark, Target: h.Address, Started: o.Now().UTC(), Results: make([]Result, len(wanted))}
	finished := make(chan int)
	go func() {
		defer close(finished)
		var group errgroup.Group
		group.SetLimit(maxParallel)
		for i, requirement := range wanted {
			group.Go(func() error {
				list.Results[i] = answer(ctx, h, requirement, list.Started)
				finished <- i
				return nil
			})
		}
		_ = group.Wait() // no rule returns an error
	}()
	list.Asset, list.Edition = h.Asset(ctx), h.Edition(ctx)
	done := 0
	for i := range finished {
		done++
		if o.Progress != nil {
			o.Progress(done, len(wanted), list.Results[i])
		}
	}
	list.Ended = o.Now().UTC()
	return list
}

// ordered gives the wanted requirements in the benchmark's order, each once.
func ordered(b benchmark.Benchmark, wanted []benchmark.Requirement) []benchmark.Requirement {
	return slices.DeleteFunc(slices.Clone(b.Requirements), func(r benchmark.Requirement) bool {
		return !slices.ContainsFunc(wanted, func(w benchmark.Requirement) bool { return w.StigID == r.StigID })
	})
}

// answer gives what is said of one requirement: by the site where it cites
// another checklist, else by its rule, and then by the site again.
func answer(ctx context.Context, h *host.Host, r benchmark.Requirement, now time.Time) Result {
	if cited, ok := cite(h.Site.AssessedIn, r, now); ok {
		return cited
	}
	findings, err := judge(ctx, h, r.StigID)
	if err == nil && len(findings) == 0 {
		err = fmt.Errorf("the rule for %s judged nothing: please report this", r.StigID)
	}
	if err != nil {
		findings = []stig.Finding{{Status: stig.NotReviewed, Details: err.Error()}}
	}
	status := stig.Worst(findings)
	result := Result{Requirement: r, Status: status, Details: details(findings, status), Findings: findings, Facts: factsOf(findings)}
	result.settle(h.Site, now)
	return result
}

// judge runs the rule for a requirement and survives it.
func judge(ctx context.Context, h *host.Host, id stig.ID) (findings []stig.Finding, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			findings, err = nil, fmt.Errorf("the rule for %s failed: %v: please report this with\n%s", id, broken, debug.Stack())
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("not asked: %w", err)
	}
	rule, ok := rules.For(id)
	if !ok {
		return nil, fmt.Errorf("no rule for %s", id)
	}
	return rule.Judge(ctx, h)
}

// details joins what the deciding findings say: those with the worst status,
// and if none is to blame, all.
func details(findings []stig.Finding, status stig.Status) string {
	var lines []string
	for _, f := range findings {
		if f.Status != status && status != stig.NotAFinding {
			continue
		}
		line := f.Details
		if f.Object != "" {
			line = f.Object + ": " + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
