package scan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// Announced is how long before its end an answer, a waiver or a citation is
// said to end.
const Announced = 14 * 24 * time.Hour

// settle lets the site speak. An answer decides only where the program came
// to the status that the answer expects, by the facts it was given for; one
// that is over, or whose facts have changed, leaves the requirement to be
// reviewed again. A waiver changes no status.
func (r *Result) settle(s site.Site, now time.Time) {
	if a, ok := s.Answers[r.StigID]; ok {
		r.answered(a, now)
	}
	r.waive(s.Waivers, now)
}

func (r *Result) answered(a site.Answer, now time.Time) {
	switch {
	case a.When != r.Status:
		r.comment("An answer of %s is not used: it expects %s, and this is %s.", a.By, a.When, r.Status)
	case a.Expires.Past(now):
		r.reopen("the answer of %s was valid through %s: look again, and date it anew in site.yaml (answers.%s.expires)", a.By, a.Expires, r.StigID)
	case a.Facts != "" && a.Facts != r.Facts:
		r.reopen("the answer of %s was given for other facts: look again, and put %s into site.yaml (answers.%s.facts) if it still holds", a.By, r.Facts, r.StigID)
	default:
		r.Status = a.Status
		r.Findings = append([]stig.Finding{{Object: "answer of the site", Status: a.Status, Details: a.Comment + " (" + a.By + ")"}}, r.Findings...)
		r.Details = fmt.Sprintf("%s (%s)", a.Comment, a.By)
		r.comment("%s by answer of %s%s: %s", a.Status, a.By, validity(a.Expires, now), a.Comment)
	}
}

// reopen says why an answer counts no more. What is open stays so.
func (r *Result) reopen(format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	r.comment("%s", why)
	if r.Status == stig.Open {
		return
	}
	r.Status = stig.NotReviewed
	r.Findings = append([]stig.Finding{{Object: "answer of the site", Details: why}}, r.Findings...)
	r.Details = why
}

// waive notes the waivers of what is open.
func (r *Result) waive(waivers []site.Waiver, now time.Time) {
	if r.Status != stig.Open {
		return
	}
	waived := make([]bool, len(r.Findings))
	for _, w := range waivers {
		if w.Rule != r.StigID {
			continue
		}
		if w.Expires.Past(now) {
			r.comment("A waiver of %s is over since %s: %s", w.Approver, w.Expires, w.Reason)
			continue
		}
		for i, f := range r.Findings {
			waived[i] = waived[i] || f.Status == stig.Open && w.For(f.Object)
		}
		ticket := ""
		if w.Ticket != "" {
			ticket = ", " + w.Ticket
		}
		r.comment("Risk accepted by %s%s%s, and open all the same: %s", w.Approver, ticket, validity(w.Expires, now), w.Reason)
	}
	for i, f := range r.Findings {
		if f.Status == stig.Open && !waived[i] {
			return
		}
	}
	r.Waived = true
}

func (r *Result) comment(format string, args ...any) {
	r.Comments = append(r.Comments, fmt.Sprintf(format, args...))
}

// validity says how long something holds, and warns when that is soon over.
func validity(d site.Date, now time.Time) string {
	switch {
	case d.IsZero():
		return ""
	case d.Ends().Sub(now) <= Announced:
		return fmt.Sprintf(" (through %s, in %d days)", d, int(d.Ends().Sub(now).Hours()/24))
	default:
		return fmt.Sprintf(" (through %s)", d)
	}
}

// Ending lists what the site said that is over within Announced, for a person
// to renew in time.
func Ending(s site.Site, now time.Time) []string {
	var soon []string
	add := func(what string, d site.Date) {
		if !d.IsZero() && !d.Past(now) && d.Ends().Sub(now) <= Announced {
			soon = append(soon, fmt.Sprintf("%s ends with %s", what, d))
		}
	}
	for id, a := range s.Answers {
		add("the answer to "+string(id), a.Expires)
	}
	for _, w := range s.Waivers {
		add("a waiver of "+string(w.Rule), w.Expires)
	}
	if s.AssessedIn != nil {
		add("the citation of "+s.AssessedIn.Checklist, s.AssessedIn.Expires)
	}
	slices.Sort(soon)
	return soon
}

// cite answers a requirement by the checklist of the cluster.
func cite(c *site.Citation, r benchmark.Requirement, now time.Time) (Result, bool) {
	if c == nil || !slices.Contains(c.Components, r.Component) {
		return Result{}, false
	}
	result := Result{Requirement: r, Status: stig.NotApplicable, Details: fmt.Sprintf("assessed for the whole cluster in %s (%s)", c.Checklist, c.By)}
	if c.Expires.Past(now) {
		result.Status = stig.NotReviewed
		result.Details = fmt.Sprintf("%s, which stands for the whole cluster, was valid through %s: assess the cluster again, and date it anew in site.yaml (assessed-in.expires)", c.Checklist, c.Expires)
	}
	result.Findings = []stig.Finding{{Object: "cluster", Status: result.Status, Details: result.Details}}
	result.Facts = factsOf(result.Findings)
	result.comment("Assessed in %s%s.", c.Checklist, validity(c.Expires, now))
	return result, true
}

// factsOf hashes what a rule found.
func factsOf(findings []stig.Finding) string {
	raw, err := json.Marshal(findings)
	if err != nil {
		return "" // findings are text and times
	}
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
