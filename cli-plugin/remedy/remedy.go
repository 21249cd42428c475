// Package remedy carries out what rules want changed: it gathers the changes
// into a plan, shows the plan, applies it and checks again. It decides
// nothing about a requirement. One change is applied at a time and each reads
// back what it wrote; a plan stops at the first that fails.
package remedy

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/hexops/gotextdiff"
	"github.com/hexops/gotextdiff/myers"
	"github.com/hexops/gotextdiff/span"
)

// A Plan is what fixing some requirements would change.
type Plan struct {
	Changes  []rules.Change
	Warnings []string
	Manual   []Manual // what a person has to do
}

// A Manual requirement is one that no program may fix.
type Manual struct {
	Requirement benchmark.Requirement
	Why         string
}

// Empty reports whether there is nothing to apply.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Make asks the rules for their changes. It changes nothing. A requirement
// that does not apply to the host wants none.
func Make(ctx context.Context, h *host.Host, requirements []benchmark.Requirement) (Plan, error) {
	var plan Plan
	for _, r := range requirements {
		rule, ok := rules.For(r.StigID)
		if !ok {
			return Plan{}, fmt.Errorf("no rule for %s", r.StigID)
		}
		whyNot, err := rule.WhyNot(ctx, h)
		switch {
		case whyNot != "":
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%s does not apply: %s", r.VulnID, whyNot))
			continue
		case rule.Fix == nil:
			plan.Manual = append(plan.Manual, Manual{r, r.Fix})
			continue
		case err != nil:
			return Plan{}, fmt.Errorf("%s: %w", r.VulnID, err)
		}
		wanted, err := rule.Fix(ctx, h)
		if err != nil {
			return Plan{}, fmt.Errorf("%s: %w", r.VulnID, err)
		}
		plan.Changes = append(plan.Changes, wanted.Changes...)
		plan.Warnings = append(plan.Warnings, wanted.Warnings...)
	}
	return plan, nil
}

// Show writes the plan for a person.
func (p Plan) Show(w io.Writer) error {
	var b strings.Builder
	for _, m := range p.Manual {
		fmt.Fprintf(&b, "%s (%s) needs a person: %s\n", m.Requirement.VulnID, m.Requirement.StigID, m.Why)
	}
	for _, change := range p.Changes {
		fmt.Fprintf(&b, "%s\n  serves %s, disrupts: %s\n%s", change.Subject, ids(change.Serves), change.Disruption, Diff(change.Subject, change.Before, change.After))
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(&b, "Note: %s\n", warning)
	}
	if p.Empty() {
		b.WriteString("There is nothing to change.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ids(list []stig.ID) string {
	var names []string
	for _, id := range list {
		names = append(names, string(id))
	}
	return strings.Join(names, ", ")
}

// Apply makes the changes in order. The error names the change that failed;
// those before it have been made.
func (p Plan) Apply(ctx context.Context) error {
	for _, change := range p.Changes {
		if err := change.Apply(ctx); err != nil {
			return fmt.Errorf("%s: %w", change.Subject, err)
		}
	}
	return nil
}

// Diff is a unified diff without context: the lines around a change may hold
// a secret, and no output may.
func Diff(name string, before, after []byte) string {
	edits := myers.ComputeEdits(span.URIFromPath(name), string(before), string(after))
	unified := gotextdiff.ToUnified(name+" (now)", name+" (planned)", string(before), edits)
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", unified.From, unified.To)
	for _, hunk := range unified.Hunks {
		from, to := hunk.FromLine, hunk.ToLine
		var removed, added []string
		flush := func() {
			if len(removed)+len(added) == 0 {
				return
			}
			fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", from-len(removed), len(removed), to-len(added), len(added))
			for _, text := range removed {
				b.WriteString("-" + strings.TrimRight(text, "\r\n") + "\n")
			}
			for _, text := range added {
				b.WriteString("+" + strings.TrimRight(text, "\r\n") + "\n")
			}
			removed, added = nil, nil
		}
		for _, l := range hunk.Lines {
			switch l.Kind {
			case gotextdiff.Delete:
				removed = append(removed, l.Content)
				from++
			case gotextdiff.Insert:
				added = append(added, l.Content)
				to++
			case gotextdiff.Equal:
				flush()
				from++
				to++
			}
		}
		flush()
	}
	return b.String()
}
