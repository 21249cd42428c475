// Package remedy turns what rules want changed into a plan: it composes wishes
// for one file or document into one step, leaves out what contradicts, harms or
// may not be done, and says why; it shows the plan, holds it against one that
// was written down, and has it carried out. It decides nothing about a
// requirement, and the packages below it do the work: transaction changes and
// takes back, engine talks to dockerd, documents to what has an API.
package remedy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/documents"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// planVersion goes up when an older program would read a plan wrongly.
const planVersion = 1

// Options say what a plan is for.
type Options struct {
	Guide        benchmark.Benchmark
	Requirements []benchmark.Requirement
	Named        bool // somebody asked for these; else only what is safe is planned
	AllowRestart bool // of the engine
	RestartWith  []string
	Irrevocable  bool // what cannot be taken back was agreed to
	Open         func(target string) (documents.Document, error)
	// Publish signs; nil: nothing can be signed here.
	Publish  func(ctx context.Context, p change.Publish) error
	Now      func() time.Time
	Progress func(done, of int, r scan.Result)
}

// A Plan is what fixing some requirements would change.
type Plan struct {
	Version        int                    `json:"version"`
	Engine         string                 `json:"engine"` // its address
	Named          bool                   `json:"named"`
	Requirements   []stig.ID              `json:"requirements"`
	Changes        []Planned              `json:"changes"`
	Contradictions []change.Contradiction `json:"contradictions"`
	LeftOut        []LeftOut              `json:"leftOut"`
	Manual         []Manual               `json:"manual"`  // what a person has to do
	Unknown        []Manual               `json:"unknown"` // what could not be planned
	Notes          []string               `json:"notes"`
	Stops          []string               `json:"stops"` // containers that a restart stops

	checklist scan.Checklist
	steps     []transaction.Step
	dockerd   *engine.Dockerd
	tell      change.Disruption
	sticky    bool // see transaction.Journal
	live      bool // live-restore: a restart stops nothing
}

// A Planned change is one that will be made, with what it was made from.
type Planned struct {
	change.Change
	// From is the SHA-256 of the file or document as it is, with its owner and
	// mode; "" for what has neither.
	From string `json:"from,omitempty"`
}

// A LeftOut change is one that will not be made.
type LeftOut struct {
	Rules []stig.ID `json:"rules"`
	What  string    `json:"what"`
	Why   string    `json:"why"` // and what would have it made
}

// A Manual requirement needs a person.
type Manual struct {
	VulnID string  `json:"vulnId"`
	StigID stig.ID `json:"stigId"`
	Why    string  `json:"why"`
}

func manual(r benchmark.Requirement, why string) Manual { return Manual{r.VulnID, r.StigID, why} }

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Checklist is how the requirements stood when the plan was made.
func (p Plan) Checklist() scan.Checklist { return p.checklist }

// Make judges the requirements and asks the rules of those that are not met
// for their changes. It changes nothing.
func Make(ctx context.Context, h *host.Host, o Options) (Plan, error) {
	plan := begin(h, o)
	plan.checklist = scan.Run(ctx, h, scan.Options{Benchmark: o.Guide, Requirements: o.Requirements, Now: o.Now, Progress: o.Progress})
	var wishes []change.Change
	for _, result := range plan.checklist.Results {
		wanted, err := plan.ask(ctx, h, result)
		if err != nil {
			return Plan{}, err
		}
		wishes = append(wishes, wanted...)
	}
	return plan.compose(ctx, h, wishes, o)
}

// Compose makes a plan of changes, whoever wants them.
func Compose(ctx context.Context, h *host.Host, wishes []change.Change, o Options) (Plan, error) {
	plan := begin(h, o)
	return plan.compose(ctx, h, wishes, o)
}

// begin makes an empty plan. Lists are never nil: they are for programs, too.
func begin(h *host.Host, o Options) Plan {
	plan := Plan{
		Version: planVersion, Engine: h.Address, Named: o.Named, tell: change.None,
		Requirements: []stig.ID{}, Changes: []Planned{}, Contradictions: []change.Contradiction{}, LeftOut: []LeftOut{},
		Manual: []Manual{}, Unknown: []Manual{}, Notes: []string{}, Stops: []string{},
	}
	for _, r := range o.Requirements {
		plan.Requirements = append(plan.Requirements, r.StigID)
	}
	return plan
}

func (p Plan) compose(ctx context.Context, h *host.Host, wishes []change.Change, o Options) (Plan, error) {
	c := composer{plan: &p, host: h, options: o, wishes: merge(wishes)}
	return p, c.compose(ctx)
}

// ask gives what a rule wants changed. Whatever else there is to say goes into
// the plan.
func (p *Plan) ask(ctx context.Context, h *host.Host, r scan.Result) ([]change.Change, error) {
	rule, ok := rules.For(r.StigID)
	if !ok {
		return nil, fmt.Errorf("no rule for %s: please report this", r.StigID)
	}
	switch {
	case r.Status == stig.NotApplicable && p.Named:
		p.Notes = append(p.Notes, fmt.Sprintf("%s does not apply: %s", r.VulnID, r.Details))
		return nil, nil
	case r.Status == stig.NotApplicable, r.Status == stig.NotAFinding:
		return nil, nil
	case r.Waived && !p.Named:
		p.LeftOut = append(p.LeftOut, LeftOut{[]stig.ID{r.StigID}, r.VulnID, "its risk was accepted in site.yaml: name the rule to fix it all the same"})
		return nil, nil
	case rule.Fix == nil && r.Status == stig.Open:
		p.Manual = append(p.Manual, manual(r.Requirement, r.Fix))
		return nil, nil
	case rule.Fix == nil:
		p.Unknown = append(p.Unknown, manual(r.Requirement, r.Details))
		return nil, nil
	}
	wanted, err := fix(ctx, h, rule)
	if err != nil {
		p.Unknown = append(p.Unknown, manual(r.Requirement, err.Error()))
		return nil, nil //nolint:nilerr // one rule that cannot say what it wants does not keep others from it
	}
	if len(wanted.Changes) == 0 && len(wanted.Person) == 0 && r.Status == stig.NotReviewed {
		p.Unknown = append(p.Unknown, manual(r.Requirement, r.Details))
	}
	for _, step := range wanted.Person {
		p.Manual = append(p.Manual, manual(r.Requirement, step))
	}
	for _, note := range wanted.Notes {
		if !slices.Contains(p.Notes, note) { // of a rule for two requirements
			p.Notes = append(p.Notes, note)
		}
	}
	return wanted.Changes, nil
}

// fix survives a rule that fails.
func fix(ctx context.Context, h *host.Host, rule rules.Rule) (wanted change.Wanted, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("the fix failed: %v: please report this", broken)
		}
	}()
	if wanted, err = rule.Fix(ctx, h); err != nil {
		return wanted, err
	}
	for _, c := range wanted.Changes {
		if err := c.Check(); err != nil {
			return wanted, err
		}
	}
	return wanted, nil
}

// merge makes one of changes that are the same but for whom they serve.
func merge(all []change.Change) []change.Change {
	var merged []change.Change
	for _, c := range all {
		i := slices.IndexFunc(merged, func(other change.Change) bool { return key(other) == key(c) })
		if i < 0 {
			merged = append(merged, c)
			continue
		}
		serves := slices.Concat(merged[i].Serves, c.Serves)
		slices.Sort(serves)
		merged[i].Serves = slices.Compact(serves)
		if c.ByName == "" {
			merged[i].ByName = "" // one rule finds it safe
		}
	}
	return merged
}

// key is what a change wants, whomever it serves.
func key(c change.Change) string { return c.Subject() + "\x00" + c.Wish() + "\x00" + content(c) }

func content(c change.Change) string {
	if c.File == nil {
		return ""
	}
	return c.File.Content
}

// Show writes the plan for a person.
func (p Plan) Show(w interface{ Write([]byte) (int, error) }) error {
	var b strings.Builder
	for _, step := range p.steps {
		p.showStep(&b, step)
	}
	for _, c := range p.Changes {
		if c.Irrevocable != "" {
			fmt.Fprintf(&b, "%s: %s\n  serves %s, cannot be taken back: %s\n", c.Subject(), c.Wish(), names(c.Serves), c.Irrevocable)
		}
		if c.Engine != nil {
			fmt.Fprintf(&b, "%s: %s\n  serves %s, disrupts: %s\n", c.Subject(), c.Wish(), names(c.Serves), c.Disruption)
		}
	}
	p.showDisruption(&b)
	for _, c := range p.Contradictions {
		fmt.Fprintf(&b, "Contradiction (%s): %s. Nothing of it is changed.\n", names(c.Rules), c.What)
	}
	for _, l := range p.LeftOut {
		fmt.Fprintf(&b, "Not changed (%s): %s: %s\n", names(l.Rules), l.What, l.Why)
	}
	for _, m := range p.Manual {
		fmt.Fprintf(&b, "%s (%s) needs a person: %s\n", m.VulnID, m.StigID, m.Why)
	}
	if p.Named {
		for _, m := range p.Unknown {
			fmt.Fprintf(&b, "%s (%s) cannot be planned: %s\n", m.VulnID, m.StigID, m.Why)
		}
	} else if len(p.Unknown) > 0 {
		fmt.Fprintf(&b, "%d requirements could not be found out: docker stig check says what to give.\n", len(p.Unknown))
	}
	for _, note := range p.Notes {
		fmt.Fprintf(&b, "Note: %s\n", note)
	}
	if p.Empty() {
		b.WriteString("There is nothing to change.\n")
	}
	_, err := w.Write([]byte(b.String()))
	return err
}

func (p Plan) showStep(b *strings.Builder, step transaction.Step) {
	disruption := change.None
	for _, c := range p.Changes {
		if stepOf(c.Change, step) {
			disruption = change.Worst(disruption, c.Disruption)
		}
	}
	fmt.Fprintf(b, "%s\n  serves %s, disrupts: %s\n", step.Subject, names(step.Serves), disruption)
	if len(step.Run) > 0 {
		fmt.Fprintf(b, "  runs %s\n", strings.Join(step.Run, " "))
		return
	}
	if !step.Before.SameBytes(step.After) {
		b.WriteString(change.Diff(step.Subject, "now", "planned", step.Before.Bytes, step.After.Bytes))
	}
	if step.Before.Exists && step.After.Exists && !step.Before.SameOwner(step.After) {
		fmt.Fprintf(b, "  owner and mode: %s becomes %s\n", step.Before.Ownership(), step.After.Ownership())
	}
}

// showDisruption names the containers before anything else is asked.
func (p Plan) showDisruption(b *strings.Builder) {
	switch {
	case p.tell == change.Reload:
		b.WriteString("The engine reads its configuration again. No container is touched.\n")
	case p.tell == change.Restart && p.live:
		fmt.Fprintf(b, "The engine is restarted once. Its %d running containers go on (live-restore).\n", len(p.Stops))
	case p.tell == change.Restart && len(p.Stops) == 0:
		b.WriteString("The engine is restarted once. No container runs.\n")
	case p.tell == change.Restart:
		fmt.Fprintf(b, "The engine is restarted once, and these containers stop: %s. Those with a restart policy come back.\n", strings.Join(p.Stops, ", "))
	}
}

// stepOf reports whether a change is part of a step.
func stepOf(c change.Change, step transaction.Step) bool {
	switch {
	case c.Irrevocable != "":
		return false
	case c.Program != nil:
		return slices.Equal(step.Run, c.Program.Argv)
	case c.Setting != nil:
		return step.Target == c.Setting.Target
	}
	return step.Path != "" && slices.ContainsFunc(step.Serves, func(id stig.ID) bool { return slices.Contains(c.Serves, id) }) && samePath(c.Path(), step.Path)
}

func names(ids []stig.ID) string {
	var list []string
	for _, id := range ids {
		list = append(list, string(id))
	}
	return strings.Join(list, ", ")
}
