package change

import (
	"fmt"
	"strings"

	"github.com/hexops/gotextdiff"
	"github.com/hexops/gotextdiff/myers"
	"github.com/hexops/gotextdiff/span"
)

// Diff is a unified diff without context: the lines around a change may hold
// a secret, and no output may.
func Diff(name, was, is string, before, after []byte) string {
	edits := myers.ComputeEdits(span.URIFromPath(name), string(before), string(after))
	unified := gotextdiff.ToUnified(name+" ("+was+")", name+" ("+is+")", string(before), edits)
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", unified.From, unified.To)
	for _, hunk := range unified.Hunks {
		writeHunk(&b, *hunk)
	}
	return b.String()
}

// writeHunk writes each run of changed lines under a head of its own.
func writeHunk(b *strings.Builder, hunk gotextdiff.Hunk) {
	from, to := hunk.FromLine, hunk.ToLine
	var removed, added []string
	flush := func() {
		if len(removed)+len(added) == 0 {
			return
		}
		fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", from-len(removed), len(removed), to-len(added), len(added))
		for _, text := range removed {
			b.WriteString("-" + strings.TrimRight(text, "\r\n") + "\n")
		}
		for _, text := range added {
			b.WriteString("+" + strings.TrimRight(text, "\r\n") + "\n")
		}
		removed, added = nil, nil
	}
	for _, line := range hunk.Lines {
		switch line.Kind {
		case gotextdiff.Delete:
			removed = append(removed, line.Content)
			from++
		case gotextdiff.Insert:
			added = append(added, line.Content)
			to++
		case gotextdiff.Equal:
			flush()
			from++
			to++
		}
	}
	flush()
}
