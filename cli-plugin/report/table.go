package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/record"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// maxObjects is how many findings of one requirement the table shows.
const maxObjects = 5

// sections are the table's parts, in the order a person reads them.
var sections = []struct {
	status   stig.Status
	severity stig.Severity // zero: any
	heading  string
	quiet    bool // nobody has to act on it
}{
	{stig.Open, stig.CATI, "Open, CAT I", false},
	{stig.Open, stig.CATII, "Open, CAT II", false},
	{stig.Open, stig.CATIII, "Open, CAT III", false},
	{stig.NotReviewed, 0, "Not_Reviewed: could not be found out", false},
	{stig.NotAFinding, 0, "NotAFinding", true},
	{stig.NotApplicable, 0, "Not_Applicable", true},
}

// writeTable writes what a person has to act on; the rest is counted, unless
// all of it is wanted.
func writeTable(w io.Writer, c scan.Checklist, o Options) error {
	var b strings.Builder
	target := c.Target
	if c.Asset.HostName != "" {
		target += " on " + c.Asset.HostName
	}
	fmt.Fprintln(&b, indent(target))
	for _, text := range assessed(c) {
		fmt.Fprintln(&b, indent(text))
	}
	for _, section := range sections {
		if section.quiet && !o.All {
			continue
		}
		heading := "\n" + section.heading + "\n"
		for _, r := range c.Results {
			if r.Status != section.status || (section.severity != 0 && r.Severity != section.severity) {
				continue
			}
			b.WriteString(heading)
			heading = ""
			writeResult(&b, r)
		}
	}
	writeTotals(&b, c)
	if o.Next != "" {
		fmt.Fprintf(&b, "Next: %s\n", o.Next)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTotals(b *strings.Builder, c scan.Checklist) {
	s := Summarize(c)
	waived := 0
	for _, r := range c.Results {
		if r.Waived {
			waived++
		}
	}
	fmt.Fprintf(b, "\n%d checked: %d Open (CAT I %d, CAT II %d, CAT III %d), %d Not_Reviewed, %d NotAFinding, %d Not_Applicable\n",
		len(c.Results), s.Open, s.OpenByCAT["I"], s.OpenByCAT["II"], s.OpenByCAT["III"], s.NotReviewed, s.NotAFinding, s.NotApplicable)
	if waived > 0 {
		fmt.Fprintf(b, "The risk of %d of the open ones was accepted.\n", waived)
	}
}

func writeResult(b *strings.Builder, r scan.Result) {
	fmt.Fprintf(b, "  %s  %s  %s  %s\n", r.VulnID, r.StigID, r.Severity, r.Title)
	writeFindings(b, "", deciding(r))
	if r.Status == stig.Open {
		writeFindings(b, "Not_Reviewed: ", with(r.Findings, stig.NotReviewed))
	}
	for _, comment := range r.Comments {
		fmt.Fprintf(b, "      %s\n", indent(comment))
	}
}

func writeFindings(b *strings.Builder, lead string, findings []stig.Finding) {
	for _, f := range findings[:min(len(findings), maxObjects)] {
		fmt.Fprintf(b, "      %s%s\n", lead, indent(line(f)))
	}
	if left := len(findings) - maxObjects; left > 0 {
		fmt.Fprintf(b, "      … and %d more (--format json has them all)\n", left)
	}
}

// deciding are the findings to which a result owes its status.
func deciding(r scan.Result) []stig.Finding {
	if r.Status == stig.NotAFinding {
		return r.Findings
	}
	return with(r.Findings, r.Status)
}

// with gives the findings of one status.
func with(findings []stig.Finding, status stig.Status) []stig.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f stig.Finding) bool { return f.Status != status })
}

func line(f stig.Finding) string {
	if f.Object == "" {
		return f.Details
	}
	return f.Object + ": " + f.Details
}

// indent keeps a text below its heading, and from moving the cursor: labels,
// names and programs' words come from whoever made the container.
func indent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Map(record.Printable, line)
	}
	return strings.Join(lines, "\n      ")
}
