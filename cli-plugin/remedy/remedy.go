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
	Publisher    Publisher // nil: nothing can be signed here
	Asks         bool      // a person is asked before anything is signed
	Now          func() time.Time
	Progress     func(done, of int, r scan.Result)
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
	Manual         []Manual               `json:"manual"`     // what a person has to do
	Unknown        []Manual               `json:"unknown"`    // what could not be planned
	Containers     []string               `json:"containers"` // lines for a shell, for each that a person has to see to
	Notes          []string               `json:"notes"`
	Stops          []string               `json:"stops"` // containers that a restart stops

	checklist scan.Checklist
	steps     []transaction.Step
	dockerd   *engine.Dockerd
	tell      change.Disruption
	sticky    bool                    // see transaction.Journal
	live      bool                    // live-restore: a restart stops nothing
	corrected []benchmark.Requirement // whose containers a person has to see to
}

// A Planned change is one that will be made, with what it was made from.
type Planned struct {
	change.Change
	// From is the SHA-256 of the file or document as it is, with its owner and
	// mode; "" for what has neither.
	From string `json:"from,omitempty"`

	place string // of its step; "": it has none
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
	wishes = append(wishes, plan.correct(ctx, h)...)
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
		Manual: []Manual{}, Unknown: []Manual{}, Containers: []string{}, Notes: []string{}, Stops: []string{},
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
	case rule.Containers && r.Status == stig.Open:
		p.corrected = append(p.corrected, r.Requirement)
		return nil, nil
	}
	wanted, err := fix(func() (change.Wanted, error) { return rule.Fix(ctx, h) })
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
	if !p.Named && unasked(wanted.Changes) {
		wanted.Notes = nil
	}
	p.note(wanted.Notes)
	return wanted.Changes, nil
}

// note keeps each note once: some rules are for two requirements.
func (p *Plan) note(notes []string) {
	for _, note := range notes {
		if !slices.Contains(p.Notes, note) {
			p.Notes = append(p.Notes, note)
		}
	}
}

// correct has the lines written for containers that rules find fault with: one
// that several do is made anew once. Where the rules are named, it gives what
// is changed of containers as they run.
func (p *Plan) correct(ctx context.Context, h *host.Host) []change.Change {
	if len(p.corrected) == 0 {
		return nil
	}
	var ids []stig.ID
	for _, r := range p.corrected {
		ids = append(ids, r.StigID)
	}
	left := ids
	wanted, err := fix(func() (wanted change.Wanted, err error) {
		if !p.Named {
			return rules.FixContainers(ctx, h, ids...)
		}
		wanted, left, err = rules.UpdateContainers(ctx, h, ids...)
		return wanted, err
	})
	for _, r := range p.corrected {
		switch {
		case err != nil:
			p.Unknown = append(p.Unknown, manual(r, err.Error()))
		case slices.Contains(left, r.StigID):
			p.Manual = append(p.Manual, manual(r, inContainers))
		}
	}
	if err != nil {
		return nil
	}
	p.Containers = append(p.Containers, wanted.Person...)
	p.note(wanted.Notes)
	return wanted.Changes
}

// inContainers stands for lines that several requirements share.
const inContainers = "containers have to be changed, or made anew: the lines for each stand apart"

// unasked reports whether changes are all left out where nobody names their
// rule, so that there is nothing to note about them.
func unasked(changes []change.Change) bool {
	return len(changes) > 0 && !slices.ContainsFunc(changes, func(c change.Change) bool { return c.ByName == "" })
}

// fix survives rules that fail.
func fix(ask func() (change.Wanted, error)) (wanted change.Wanted, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = fmt.Errorf("the fix failed: %v: please report this", broken)
		}
	}()
	if wanted, err = ask(); err != nil {
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
	places := map[string]int{}
	for _, c := range all {
		i, known := places[key(c)]
		if !known {
			places[key(c)] = len(merged)
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

func names(ids []stig.ID) string {
	var list []string
	for _, id := range ids {
		list = append(list, string(id))
	}
	return strings.Join(list, ", ")
}
