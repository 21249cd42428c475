package remedy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/change/program"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// Apply has the plan carried out, with the lock in hand. again makes the plan
// anew, of a host without anything that was found out before: it shows whether
// the changes have helped. The plan that Apply gives is the last of those; it
// is p where nothing is changed before what cannot be taken back.
func (p Plan) Apply(ctx context.Context, r transaction.Runner, again func(context.Context) (Plan, error), o Options) (*transaction.Journal, Plan, error) {
	j := &transaction.Journal{Rules: p.serves(), Steps: p.steps, Then: p.then(), Tell: p.tell, Sticky: p.sticky, Dockerd: p.dockerd}
	after := p
	check := func(ctx context.Context) (err error) {
		if after, err = again(ctx); err != nil {
			return fmt.Errorf("checking again: %w", err)
		}
		return p.helped(after)
	}
	if len(p.steps) == 0 && p.tell == change.None {
		check = nil
	}
	err := r.Apply(ctx, j, check, p.last(o))
	return j, after, err
}

func (p Plan) serves() []stig.ID {
	var all []stig.ID
	for _, c := range p.Changes {
		all = append(all, c.Serves...)
	}
	return distinct(all)
}

func distinct(ids []stig.ID) []stig.ID {
	slices.Sort(ids)
	return slices.Compact(ids)
}

// helped wants none of the changes to be wanted any more, and no requirement
// to be open that was not. One that needs a person besides stays open. What
// somebody does with a container meanwhile is no fault of the changes; the
// checklist afterwards tells of it.
func (p Plan) helped(after Plan) error {
	for _, c := range p.Changes {
		if c.Irrevocable == "" && slices.ContainsFunc(after.Changes, func(other Planned) bool { return key(other.Change) == key(c.Change) }) {
			return fmt.Errorf("%s: %s, and it is not so (%s)", c.Subject(), c.Wish(), names(c.Serves))
		}
	}
	for i, r := range after.checklist.Results {
		rule, _ := rules.For(r.StigID)
		if before := p.checklist.Results[i]; r.Status == stig.Open && before.Status != stig.Open && !rule.Containers {
			return fmt.Errorf("%s (%s) was %s, and is open now: %s", r.VulnID, r.StigID, before.Status, r.Details)
		}
	}
	return nil
}

// last are the changes that cannot be taken back.
func (p Plan) last(o Options) []transaction.Last {
	var all []transaction.Last
	for _, c := range p.Changes {
		if c.Irrevocable == "" || c.Publish != nil {
			continue
		}
		all = append(all, transaction.Last{Title: c.Subject() + ": " + c.Wish(), Do: func(ctx context.Context) error {
			switch {
			case c.Program != nil:
				return RunProgram(ctx, c.Program.Argv)
			case c.Setting != nil:
				return set(ctx, o, *c.Setting)
			}
			return errors.New("it cannot be done: please report this")
		}})
	}
	if tags := p.Signatures(); len(tags) > 0 {
		all = append(all, transaction.Last{Title: signing(tags), Do: func(ctx context.Context) error { return o.Publisher.Publish(ctx, tags) }})
	}
	return all
}

// set makes a setting for good.
func set(ctx context.Context, o Options, s change.Setting) error {
	document, err := o.Open(s.Target)
	if err != nil {
		return err
	}
	before, err := document.Read(ctx)
	if err != nil {
		return err
	}
	after, err := document.Edit(before, []change.Setting{s})
	if err != nil || document.Same(before, after) {
		return err
	}
	return document.Put(ctx, before, after)
}

// RunProgram runs what makes changed files count, or a step of a plan.
func RunProgram(ctx context.Context, argv []string) error {
	out, err := program.Run(ctx, argv...)
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}

// maxPlan bounds a plan; one of some thousand changes has a MiB.
const maxPlan = 32 << 20 // bytes

// Encode writes the plan as JSON. It holds no document, and no secret.
func (p Plan) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(p, "", "  ")
	return append(raw, '\n'), err
}

// ReadPlan reads a plan that was written down. It is there to be held against
// one that is made now: see Same.
func ReadPlan(path string) (Plan, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO is not waited for
	if err != nil {
		return Plan{}, fmt.Errorf("reading the plan: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Plan{}, fmt.Errorf("reading the plan: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Plan{}, fmt.Errorf("%s is no regular file: name the one that docker stig fix --out has written", path)
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxPlan+1))
	if err != nil {
		return Plan{}, fmt.Errorf("reading the plan: %w", err)
	}
	if len(raw) > maxPlan {
		return Plan{}, fmt.Errorf("%s has more than %d MiB: is it a plan?", path, maxPlan>>20)
	}
	return decodePlan(path, raw)
}

func decodePlan(path string, raw []byte) (Plan, error) {
	var p Plan
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("%s is no plan: write it with docker stig fix --out (%w)", path, err)
	}
	if p.Version != planVersion {
		return p, fmt.Errorf("%s was written by another version of docker stig: make the plan anew", path)
	}
	return p, nil
}

// Same wants a plan that is made now to change what the one that was written
// down would, on the same engine, from the same facts.
func (p Plan) Same(written Plan) error {
	if p.Engine != written.Engine {
		return fmt.Errorf("the plan is for the engine at %s, and this is %s", written.Engine, p.Engine)
	}
	now, then := map[string]Planned{}, map[string]Planned{}
	for _, c := range p.Changes {
		now[encoded(c)] = c
	}
	for _, c := range written.Changes {
		then[encoded(c)] = c
		if _, ok := now[encoded(c)]; !ok {
			return fmt.Errorf("the plan wants of %s: %s, and was made from facts that have changed: make the plan anew", c.Subject(), c.Wish())
		}
	}
	for _, c := range p.Changes {
		if _, ok := then[encoded(c)]; !ok {
			return fmt.Errorf("by now, this is wanted too, and is not in the plan: %s: %s: make the plan anew", c.Subject(), c.Wish())
		}
	}
	return nil
}

func encoded(p Planned) string {
	raw, _ := json.Marshal(p) // what was decoded, or made by rules and checked
	return disk.Sum(raw)
}

// NeedsRoot reports whether files of the host are changed.
func (p Plan) NeedsRoot() bool {
	return slices.ContainsFunc(p.steps, func(s transaction.Step) bool { return s.Path != "" })
}
