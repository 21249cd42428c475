package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
)

// pageWidth is how many columns our own texts take; DISA's keep their lines,
// because commands are among them.
const pageWidth = 80

func writeRulesTable(w io.Writer, guide benchmark.Benchmark, requirements []benchmark.Requirement) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n%s\n\n", guide.Title, guide.ReleaseName(), guide.Note)
	columns := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "VULN ID\tSTIG ID\tCAT\tCOMPONENT\tDECIDED BY\tTITLE")
	deciders := map[benchmark.Decider]int{}
	for _, r := range requirements {
		deciders[r.Decided]++
		category := strings.TrimPrefix(r.Severity.String(), "CAT ")
		fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\t%s\n", r.VulnID, r.StigID, category, r.Component, r.Decided, r.Title)
	}
	_ = columns.Flush() // into memory
	fmt.Fprintf(&b, "\n%d of %d requirements: decided by program %d, by site %d, by person %d\n", len(requirements), len(guide.Requirements),
		deciders[benchmark.ByProgram], deciders[benchmark.BySite], deciders[benchmark.ByPerson])
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRulesPages leaves one blank line between pages.
func writeRulesPages(w io.Writer, requirements []benchmark.Requirement, manual *benchmark.Guide) error {
	var pages []string
	for _, r := range requirements {
		var b strings.Builder
		writeRulePage(&b, r)
		if manual != nil {
			writeManualPage(&b, r, manual)
		}
		pages = append(pages, strings.TrimRight(b.String(), "\n")+"\n")
	}
	_, err := io.WriteString(w, strings.Join(pages, "\n"))
	return err
}

var deciderTexts = map[benchmark.Decider]string{
	benchmark.ByProgram: "program: what can be seen is enough",
	benchmark.BySite:    "site: site.yaml has to give a value or a person's answer",
	benchmark.ByPerson:  "person: a document or an interview, answered in site.yaml",
}

func writeRulePage(b *strings.Builder, r benchmark.Requirement) {
	fmt.Fprintf(b, "%s  %s  %s\n%s\n\n", r.VulnID, r.StigID, r.Severity, r.Title)
	writeText(b, "Check", wrapped(r.Check))
	writeText(b, "Fix", wrapped(r.Fix))
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %-12s%s\n", name, text)
		}
	}
	row("Component", r.Component)
	row("Decided by", deciderTexts[r.Decided])
	row("Fixed by", fixedBy(r))
	row("Rule ID", r.RuleID)
	row("Earlier IDs", strings.Join(r.OtherIDs, ", "))
	row("Check, fix", r.CheckID+", "+r.FixID)
	row("SRG", hanging(r.SRGs))
	row("CCI", hanging(r.CCIs))
	for _, version := range slices.Sorted(maps.Keys(r.CIS)) {
		row("CIS "+version, strings.Join(r.CIS[version], ", "))
	}
	row("MKE STIG", r.MKE)
}

// fixedBy says what docker stig fix does about a requirement, "" if nothing.
func fixedBy(r benchmark.Requirement) string {
	rule, _ := rules.For(r.StigID)
	switch {
	case rule.Fix == nil:
		return ""
	case rule.Containers:
		return "docker stig fix " + r.VulnID + " prints the corrected lines for each container"
	}
	return "docker stig fix " + r.VulnID + " --dry-run shows what it would change, and what not"
}

// hanging breaks a list below its own beginning.
func hanging(list []string) string {
	const indent = 14 // columns, as writeRulePage has them
	return strings.ReplaceAll(fill(strings.Join(list, ", "), pageWidth-indent), "\n", "\n"+strings.Repeat(" ", indent))
}

// writeManualPage adds what DISA says of the requirement.
func writeManualPage(b *strings.Builder, r benchmark.Requirement, manual *benchmark.Guide) {
	fmt.Fprintf(b, "\nDISA's text, %s\n", manual.ReleaseName())
	texts, ok := textsOf(manual, r)
	if !ok {
		fmt.Fprintf(b, "  %s has no such requirement in this file.\n", manual.ReleaseName())
		return
	}
	fmt.Fprintf(b, "%s  %s\n\n", texts.VulnID, texts.RuleID)
	for _, part := range []struct{ name, text string }{
		{"Title", texts.Title},
		{"Discussion", texts.Discussion},
		{"Check", texts.Check},
		{"Fix", texts.Fix},
		{"Severity override guidance", texts.SeverityOverrideGuidance},
		{"Mitigations", texts.Mitigations},
		{"Potential impacts", texts.PotentialImpacts},
	} {
		if part.text != "" {
			writeText(b, part.name, withoutControls(part.text))
		}
	}
}

func writeText(b *strings.Builder, name, text string) {
	fmt.Fprintln(b, "  "+name)
	for line := range strings.Lines(strings.TrimSpace(text)) {
		fmt.Fprintln(b, strings.TrimRight("    "+strings.TrimRight(line, "\r\n"), " "))
	}
	b.WriteByte('\n')
}

// withoutControls takes out what would steer a terminal.
func withoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
}

// wrapped breaks a text of our own into lines.
func wrapped(text string) string { return fill(text, pageWidth-len("    ")) }

// fill breaks lines at blanks, so that none has more than width letters
// unless a word has.
func fill(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		letters := len([]rune(word))
		switch {
		case column == 0:
		case column+1+letters > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += letters
	}
	return b.String()
}
