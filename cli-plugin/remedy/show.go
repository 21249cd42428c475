package remedy

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/transaction"
	"github.com/docker-stig/docker-stig/shared/record"
)

// Show writes the plan for a person: what is changed, what that disrupts, what
// is not changed and why, and what is left to them. Names that others chose
// cannot move the cursor.
func (p Plan) Show(w io.Writer) error {
	var b strings.Builder
	for _, step := range p.steps {
		p.showStep(&b, step)
	}
	for _, c := range p.Changes {
		switch {
		case c.Publish != nil:
		case c.Irrevocable != "":
			fmt.Fprintf(&b, "%s: %s\n  serves %s, cannot be taken back: %s\n", c.Subject(), c.Wish(), names(c.Serves), c.Irrevocable)
		case c.Engine != nil:
			fmt.Fprintf(&b, "%s: %s\n  serves %s, disrupts: %s\n", c.Subject(), c.Wish(), names(c.Serves), c.Disruption)
		}
	}
	p.showSignatures(&b)
	p.showDisruption(&b)
	if p.Empty() {
		b.WriteString("There is nothing to change.\n")
	}
	section(&b, "Not changed, and why", p.notChanged())
	section(&b, "For a person", p.forPerson())
	section(&b, "Containers, for a person; the lines can be given to a shell once they are filled in", p.Containers)
	section(&b, "Notes", p.Notes)
	_, err := io.WriteString(w, strings.Map(printable, b.String()))
	return err
}

// printable keeps the lines of a plan.
func printable(r rune) rune {
	if r == '\n' || r == '\t' {
		return r
	}
	return record.Printable(r)
}

// section writes lines under a heading.
func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(b, "%s\n", line)
	}
}

func (p Plan) notChanged() []string {
	var lines []string
	for _, c := range p.Contradictions {
		lines = append(lines, fmt.Sprintf("%s contradict each other, so neither is: %s", names(c.Rules), c.What))
	}
	for _, l := range p.LeftOut {
		lines = append(lines, fmt.Sprintf("%s: %s: %s", names(l.Rules), l.What, l.Why))
	}
	return lines
}

// forPerson lists what somebody has to do; what several requirements want of
// them is said once.
func (p Plan) forPerson() []string {
	var lines, whys []string
	asked := map[string][]string{}
	for _, m := range p.Manual {
		if m.Why == inContainers {
			continue // each block names its requirements
		}
		if asked[m.Why] == nil {
			whys = append(whys, m.Why)
		}
		asked[m.Why] = append(asked[m.Why], fmt.Sprintf("%s (%s)", m.VulnID, m.StigID))
	}
	for _, why := range whys {
		lines = append(lines, strings.Join(asked[why], ", ")+": "+why)
	}
	for _, m := range p.Unknown {
		if p.Named {
			lines = append(lines, fmt.Sprintf("%s (%s) cannot be planned: %s", m.VulnID, m.StigID, m.Why))
		}
	}
	if !p.Named && len(p.Unknown) > 0 {
		lines = append(lines, fmt.Sprintf("%s could not be found out: docker stig check says what to give", count(len(p.Unknown), "requirement", "requirements")))
	}
	return lines
}

func (p Plan) showStep(b *strings.Builder, step transaction.Step) {
	disruption := change.None
	for _, c := range p.Changes {
		if stepOf(c, step) {
			disruption = change.Worst(disruption, c.Disruption)
		}
	}
	fmt.Fprintf(b, "%s\n  serves %s, disrupts: %s\n", step.Subject, names(step.Serves), disruption)
	if len(step.Run) > 0 {
		fmt.Fprintf(b, "  runs %s\n", strings.Join(step.Run, " "))
		return
	}
	if !step.Before.SameBytes(step.After) {
		b.WriteString(change.Diff(step.Form(), step.Subject, "now", "planned", step.Before.Bytes, step.After.Bytes))
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
