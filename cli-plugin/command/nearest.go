package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
)

// unknownRule names the identifiers a person may have meant.
func unknownRule(b benchmark.Benchmark, name string) error {
	const far = 5 // letters; beyond that nothing was meant
	type candidate struct {
		id   string
		away int
	}
	var near []candidate
	for _, r := range b.Requirements {
		for _, id := range []string{r.VulnID, string(r.StigID)} {
			if away := distance(strings.ToUpper(name), strings.ToUpper(id)); away < far {
				near = append(near, candidate{id, away})
			}
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.away, b.away) })
	var ids []string
	for _, c := range near[:min(3, len(near))] {
		ids = append(ids, c.id)
	}
	if len(ids) == 0 {
		return fmt.Errorf("no rule is called %q: want one such as %s or %s; docker stig check without a name checks all %d", name, b.Requirements[0].VulnID, b.Requirements[0].StigID, len(b.Requirements))
	}
	return fmt.Errorf("no rule is called %q: the nearest are %s; docker stig check without a name checks all %d", name, strings.Join(ids, ", "), len(b.Requirements))
}

// distance is Levenshtein's: the least number of letters to insert, delete or
// replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
