package report

import (
	"fmt"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/scan"
)

// assessed says which edition was held against which guide, and what follows.
func assessed(c scan.Checklist) []string {
	edition := c.Edition
	if edition == "" {
		edition = "An engine that does not tell its version"
	}
	lines := []string{fmt.Sprintf("%s, assessed against %s, %s.", edition, c.Benchmark.Title, c.Benchmark.ReleaseName())}
	if c.Benchmark.Note != "" {
		lines = append(lines, c.Benchmark.Note)
	}
	if community(c.Edition) {
		lines = append(lines, "This is no Docker Enterprise: its edition has no guide of its own, and cannot pass V-235777 (FIPS mode).")
	}
	if c.Narrowed != "" {
		lines = append(lines, "Of the containers only these were looked at: "+c.Narrowed+".")
	}
	return lines
}

// community reports whether an engine is known to be none of Docker Enterprise
// or its successor.
func community(edition string) bool {
	return edition != "" && !strings.Contains(edition, "Enterprise") && !strings.Contains(edition, "Mirantis")
}
