package scan

import (
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
)

const asked stig.ID = "DKER-EE-002410"

func day(t *testing.T, text string) site.Date {
	t.Helper()
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return site.Date{Time: at}
}

// TestAnswers: an answer decides by the status and facts it was given for, and
// never makes something of what is over.
func TestAnswers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	unknown := []stig.Finding{{Details: "ask a person"}}
	open := []stig.Finding{{Status: stig.Open, Details: "wrong"}}
	good := site.Answer{Status: stig.NotAFinding, Comment: "SSP 4", By: "J. Doe"}
	with := func(change func(*site.Answer)) site.Answer {
		a := good
		change(&a)
		return a
	}
	for name, test := range map[string]struct {
		findings []stig.Finding
		answer   site.Answer
		want     stig.Status
		comment  string
	}{
		"settles":              {unknown, good, stig.NotAFinding, "NotAFinding by answer of J. Doe: SSP 4"},
		"through today":        {unknown, with(func(a *site.Answer) { a.Expires = day(t, "2026-11-22") }), stig.NotAFinding, "(through 2026-11-22, in 0 days)"},
		"long":                 {unknown, with(func(a *site.Answer) { a.Expires = day(t, "2027-11-22") }), stig.NotAFinding, "(through 2027-11-22): SSP 4"},
		"over":                 {unknown, with(func(a *site.Answer) { a.Expires = day(t, "2026-11-21") }), stig.NotReviewed, "was valid through 2026-11-21"},
		"same facts":           {unknown, with(func(a *site.Answer) { a.Facts = factsOf(unknown) }), stig.NotAFinding, "by answer"},
		"other facts":          {unknown, with(func(a *site.Answer) { a.Facts = factsOf(open) }), stig.NotReviewed, "given for other facts: look again, and put " + factsOf(unknown)},
		"not what it expects":  {open, good, stig.Open, "is not used: it expects Not_Reviewed, and this is Open"},
		"expects it open":      {open, with(func(a *site.Answer) { a.When = stig.Open }), stig.NotAFinding, "by answer"},
		"over, and it is open": {open, with(func(a *site.Answer) { a.When, a.Expires = stig.Open, day(t, "2026-01-01") }), stig.Open, "was valid through"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Result{Requirement: benchmark.Requirement{StigID: asked}, Status: stig.Worst(test.findings), Findings: test.findings, Facts: factsOf(test.findings)}
			r.settle(site.Site{Answers: map[stig.ID]site.Answer{asked: test.answer}}, now)
			if r.Status != test.want || !strings.Contains(strings.Join(r.Comments, "\n"), test.comment) {
				t.Errorf("got %v, %q", r.Status, r.Comments)
			}
			if worst := stig.Worst(r.Findings); r.Status == stig.Open && worst != stig.Open {
				t.Errorf("open, and its findings are %v", worst)
			}
		})
	}
}

// TestWaivers change no status.
func TestWaivers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	findings := []stig.Finding{{Status: stig.NotAFinding, Details: "3 pass"}, {Object: "container old-a", Status: stig.Open}, {Object: "container new", Status: stig.Open}}
	waiver := site.Waiver{Rule: asked, Objects: []string{"container old-*"}, Reason: "soon gone", Approver: "ISSM", Ticket: "RA-1", Expires: day(t, "2027-01-01")}
	all, over := waiver, waiver
	all.Objects, over.Objects, over.Expires = nil, nil, day(t, "2026-11-01")
	for name, test := range map[string]struct {
		waivers []site.Waiver
		waived  bool
		comment string
	}{
		"none":     {nil, false, ""},
		"of some":  {[]site.Waiver{waiver}, false, "Risk accepted by ISSM, RA-1 (through 2027-01-01), and open all the same: soon gone"},
		"of all":   {[]site.Waiver{all}, true, "Risk accepted"},
		"over":     {[]site.Waiver{over}, false, "is over since 2026-11-01"},
		"of other": {[]site.Waiver{{Rule: "DKER-EE-000001", Expires: day(t, "2027-01-01")}}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Result{Requirement: benchmark.Requirement{StigID: asked}, Status: stig.Open, Findings: findings}
			r.settle(site.Site{Waivers: test.waivers}, now)
			if r.Status != stig.Open || r.Waived != test.waived || !strings.Contains(strings.Join(r.Comments, "\n"), test.comment) {
				t.Errorf("got %v, waived %v, %q", r.Status, r.Waived, r.Comments)
			}
		})
	}
}

// TestCitation leaves the cluster's rows to the cluster's checklist, while it
// is valid.
func TestCitation(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	cited := site.Citation{Components: []string{"ucp"}, Checklist: "cluster.ckl", By: "J. Doe", Expires: day(t, "2026-11-30")}
	over := cited
	over.Expires = day(t, "2026-11-01")
	if r, ok := cite(&cited, benchmark.Requirement{Component: "ucp"}, now); !ok || r.Status != stig.NotApplicable || !strings.Contains(r.Details, "cluster.ckl") {
		t.Errorf("got %v, %+v", ok, r)
	}
	if r, ok := cite(&over, benchmark.Requirement{Component: "ucp"}, now); !ok || r.Status != stig.NotReviewed {
		t.Errorf("over: got %v, %+v", ok, r)
	}
	if _, ok := cite(&cited, benchmark.Requirement{Component: "host"}, now); ok {
		t.Error("the host's own rows are cited away")
	}
	if _, ok := cite(nil, benchmark.Requirement{Component: "ucp"}, now); ok {
		t.Error("cited without a citation")
	}
	soon := Ending(site.Site{AssessedIn: &cited, Waivers: []site.Waiver{{Rule: asked, Expires: day(t, "2027-11-30")}}}, now)
	if len(soon) != 1 || !strings.Contains(soon[0], "cluster.ckl ends with 2026-11-30") {
		t.Errorf("ending: %q", soon)
	}
}
