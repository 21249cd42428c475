package change

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hexops/gotextdiff"
	"github.com/hexops/gotextdiff/myers"
)

// A Form is what the bytes of a file or a document are.
type Form string

// The forms. Text has lines, the others have members by name.
const (
	Text Form = "text"
	JSON Form = "JSON"
	TOML Form = "TOML"
)

// Diff shows what differs, and nothing else: what stands around it may hold a
// secret, and no output may. It is a unified diff without context, or, where a
// line of that would hold more than what differs, the members that do. Of a
// text, passwords in the lines that differ are not shown, either.
func Diff(form Form, name, was, is string, before, after []byte) string {
	head := fmt.Sprintf("--- %s (%s)\n+++ %[1]s (%[3]s)\n", name, was, is)
	runs := runsOf(before, after)
	if form == Text {
		return head + withoutSecrets(lines(runs))
	}
	from, err := leavesOf(form, before)
	if err != nil {
		return head + "It differs, and cannot be read to say where.\n"
	}
	to, err := leavesOf(form, after)
	if err != nil {
		return head + "It differs, and cannot be read to say where.\n"
	}
	var removed, added []stretch
	for _, r := range runs {
		removed, added = append(removed, r.removed), append(added, r.added)
	}
	if form == TOML || from.besides(to).in(before, removed) || to.besides(from).in(after, added) {
		return head + table(from, to)
	}
	return head + lines(runs)
}

// A run is a stretch of lines in the place of others.
type run struct{ removed, added stretch }

// A stretch is some lines of a file, the first of which is from.
type stretch struct {
	from  int // 1 is the first of the file
	lines []string
}

// runsOf are the stretches of lines that differ.
func runsOf(before, after []byte) []run {
	edits := myers.ComputeEdits("", string(before), string(after))
	var runs []run
	for _, hunk := range gotextdiff.ToUnified("", "", string(before), edits).Hunks {
		runs = append(runs, runsIn(*hunk)...)
	}
	return runs
}

func runsIn(hunk gotextdiff.Hunk) []run {
	var runs []run
	var now run
	from, to := hunk.FromLine, hunk.ToLine
	flush := func() {
		now.removed.from, now.added.from = from-len(now.removed.lines), to-len(now.added.lines)
		if len(now.removed.lines)+len(now.added.lines) > 0 {
			runs = append(runs, now)
		}
		now = run{}
	}
	for _, line := range hunk.Lines {
		switch line.Kind {
		case gotextdiff.Delete:
			now.removed.lines = append(now.removed.lines, line.Content)
			from++
		case gotextdiff.Insert:
			now.added.lines = append(now.added.lines, line.Content)
			to++
		case gotextdiff.Equal:
			flush()
			from++
			to++
		}
	}
	flush()
	return runs
}

// lines writes each run under a head of its own.
func lines(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", r.removed.from, len(r.removed.lines), r.added.from, len(r.added.lines))
		for _, text := range r.removed.lines {
			b.WriteString("-" + strings.TrimRight(text, "\r\n") + "\n")
		}
		for _, text := range r.added.lines {
			b.WriteString("+" + strings.TrimRight(text, "\r\n") + "\n")
		}
	}
	return b.String()
}

// The secrets that a line of a text may hold: the name and password of an
// address (RFC 3986, 3.2.1), and the value of an option such as password= in a
// file of yum's, where it stands as lines of a diff do.
var (
	userinfo = regexp.MustCompile(`://[^/\s]*@`)
	password = regexp.MustCompile(`(?mi)^([-+][ \t]*[\w.-]*(?:passw(?:or)?d|secret|token)[\w.-]*[ \t]*[:=]).+$`)
)

func withoutSecrets(text string) string {
	text = userinfo.ReplaceAllString(text, "://<NOT SHOWN>@")
	return password.ReplaceAllString(text, "${1}<NOT SHOWN>")
}
