package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// maxObjects is how many findings of one requirement the table shows.
const maxObjects = 5

// sections are the table's parts, in the order a person reads them.
var sections = []struct {
	status   stig.Status
	severity stig.Severity // zero: any
	heading  string
}{
	{stig.Open, stig.CATI, "Open, CAT I"},
	{stig.Open, stig.CATII, "Open, CAT II"},
	{stig.Open, stig.CATIII, "Open, CAT III"},
	{stig.NotReviewed, 0, "Not_Reviewed: could not be found out"},
	{stig.NotAFinding, 0, "NotAFinding"},
	{stig.NotApplicable, 0, "Not_Applicable"},
}

func writeTable(w io.Writer, c scan.Checklist, _ Tool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s, %s\n", c.Target, c.Benchmark.Title, c.Benchmark.ReleaseName())
	if c.Benchmark.Note != "" {
		fmt.Fprintln(&b, c.Benchmark.Note)
	}
	for _, section := range sections {
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
	s := Summarize(c)
	fmt.Fprintf(&b, "\n%d checked: %d Open (CAT I %d, CAT II %d, CAT III %d), %d Not_Reviewed, %d NotAFinding, %d Not_Applicable\n",
		len(c.Results), s.Open, s.OpenByCAT["I"], s.OpenByCAT["II"], s.OpenByCAT["III"], s.NotReviewed, s.NotAFinding, s.NotApplicable)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeResult(b *strings.Builder, r scan.Result) {
	fmt.Fprintf(b, "  %s  %s  %s  %s\n", r.VulnID, r.StigID, r.Severity, r.Title)
	shown := 0
	for _, f := range r.Findings {
		if f.Status != r.Status && r.Status != stig.NotAFinding {
			continue
		}
		if shown++; shown <= maxObjects {
			fmt.Fprintf(b, "      %s\n", indent(line(f)))
		}
	}
	if shown > maxObjects {
		fmt.Fprintf(b, "      … and %d more (--format json has them all)\n", shown-maxObjects)
	}
	for _, f := range r.Findings {
		if r.Status == stig.Open && f.Status == stig.NotReviewed {
			fmt.Fprintf(b, "      Not_Reviewed: %s\n", indent(line(f)))
		}
	}
}

func line(f stig.Finding) string {
	if f.Object == "" {
		return f.Details
	}
	return f.Object + ": " + f.Details
}

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n      ") }
