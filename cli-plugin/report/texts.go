package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// Facts of DISA's file that do not change from rule to rule. They stand in
// checklists whether or not the site has the file.
const (
	targetKey  = "5281"
	weight     = "10.0"
	checkRef   = "Docker_Enterprise_2-x_Linux-UNIX__STIG.xml" // two underscores, as DISA writes it
	checkName  = "M"
	guideFile  = "U_Docker_Enterprise_2-x_Linux-Unix_STIG_V2R2_Manual-xccdf.xml"
	source     = "STIG.DOD.MIL"
	notice     = "terms-of-use"
	noText     = "This checklist was written without DISA's own file, and has docker-stig's words in place of DISA's: give the file with --benchmark."
	maxDetails = 32_767 // bytes of details and of comments that STIG Manager takes
)

// guideOf is what the checklist says of its guide.
func guideOf(c scan.Checklist) benchmark.Guide {
	if c.Guide != nil {
		return *c.Guide
	}
	return benchmark.Guide{
		ID: c.Benchmark.ID, Title: c.Benchmark.Title, Version: c.Benchmark.Version, ReleaseInfo: releaseInfo(c.Benchmark),
		Notice: notice, Source: source, TargetKey: targetKey, Filename: guideFile,
	}
}

// releaseInfo is "Release: 2 Benchmark Date: 24 Jul 2024", which readers take
// apart.
func releaseInfo(b benchmark.Benchmark) string {
	date := b.Date
	if day, err := time.Parse(time.DateOnly, date); err == nil {
		date = day.Format("02 Jan 2006")
	}
	return fmt.Sprintf("Release: %s Benchmark Date: %s", b.Release, date)
}

// textsOf are DISA's texts of a rule where the site gave the file, else ours.
func textsOf(c scan.Checklist, r scan.Result) benchmark.Texts {
	if c.Guide != nil {
		if texts, ok := c.Guide.Rules[r.StigID]; ok {
			return texts
		}
	}
	texts := benchmark.Texts{
		VulnID: r.VulnID, RuleID: r.RuleID, Title: r.Title, CCIs: r.CCIs, Weight: weight,
		Discussion: noText, Documentable: "false", Check: r.Check, Fix: r.Fix,
		CheckID: r.CheckID, FixID: r.FixID, CheckRef: checkRef, CheckRefName: checkName,
	}
	if len(r.SRGs) > 0 {
		texts.GroupTitle = r.SRGs[0]
	}
	for _, id := range r.OtherIDs {
		if _, revision, _ := strings.Cut(id, "r"); revision == "" { // V1R1's, as V2R2 prints them
			texts.LegacyIDs = append(texts.LegacyIDs, id)
		}
	}
	return texts
}

// space makes the UUIDs of checklists: the same machine and the same guide
// have the same ones.
var space = uuid.MustParse("0f6b51a5-5c0e-5d5c-9d2f-2f4a6c7d9b11")

func idOf(parts ...string) string {
	return uuid.NewSHA1(space, []byte(strings.Join(parts, "\x00"))).String()
}

// words of the lines that Heimdall takes for one result each.
var words = map[stig.Status]struct{ verdict, label string }{
	stig.Open:          {"failed", "MESSAGE"},
	stig.NotAFinding:   {"passed", "MESSAGE"},
	stig.NotReviewed:   {"skipped", "SKIP_MESSAGE"},
	stig.NotApplicable: {"skipped", "SKIP_MESSAGE"},
}

const between = "\n--------------------------------\n" // 32 dashes, as Heimdall splits

// findingDetails writes one block for each finding, in a form that people read
// and that Heimdall and SAF take apart: "failed :: TEST container web ::
// MESSAGE it is privileged".
func findingDetails(r scan.Result) string {
	blocks := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		word, object := words[f.Status], f.Object
		if object == "" {
			object = string(r.StigID)
		}
		blocks = append(blocks, fmt.Sprintf("%s :: TEST %s :: %s %s", word.verdict, oneLine(object), word.label, oneLine(f.Details)))
	}
	return fit(blocks, between, "skipped :: TEST further results :: SKIP_MESSAGE %d more do not fit here; --format json has them all")
}

// comments are the site's word and the tool's.
func comments(r scan.Result, o Options) string {
	lines := append([]string{}, r.Comments...)
	if r.Waived {
		lines = append(lines, "Every open object of this row has a waiver.")
	}
	return fit(append(lines, fmt.Sprintf("%s %s", o.Tool.Name, o.Tool.Version)), "\n", "%d more lines do not fit here")
}

// fit joins pieces as long as they fit into one field, and says how many do
// not.
func fit(pieces []string, sep, more string) string {
	var b strings.Builder
	for i, piece := range pieces {
		left := fmt.Sprintf(more, len(pieces)-i)
		if b.Len()+len(sep)+len(piece)+len(sep)+len(left) > maxDetails {
			if i > 0 {
				b.WriteString(sep)
			}
			b.WriteString(left)
			break
		}
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(piece)
	}
	return b.String()
}

// oneLine keeps a text to its line, and to what XML may hold.
func oneLine(text string) string {
	return legal(strings.Join(strings.Fields(strings.ReplaceAll(text, " :: ", ": ")), " "))
}

// legal leaves out the characters that XML 1.0 does not know, and what is no
// UTF-8: programs put them into their output.
func legal(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, r < 0x20 && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			return -1
		}
		return r
	}, text)
}

// targetComment says what was assessed against what.
func targetComment(c scan.Checklist) string {
	lines := []string{}
	if c.Asset.Comment != "" {
		lines = append(lines, c.Asset.Comment)
	}
	return strings.Join(append(lines, assessed(c)...), "\n")
}
