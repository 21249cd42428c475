package rules_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// seen are the statuses that a case wanted, and got, of each requirement.
var seen = struct {
	sync.Mutex
	of map[stig.ID]map[stig.Status]bool
}{of: map[stig.ID]map[stig.Status]bool{}}

// saw notes a case that went as it was wanted.
func saw(id stig.ID, status stig.Status) {
	seen.Lock()
	defer seen.Unlock()
	if seen.of[id] == nil {
		seen.of[id] = map[stig.Status]bool{}
	}
	seen.of[id][status] = true
}

// never are the statuses that a rule cannot give, by its first requirement.
var never = map[stig.ID][]stig.Status{
	// Only a person decides these.
	"DKER-EE-002410": {stig.Open, stig.NotAFinding},
	"DKER-EE-003330": {stig.Open, stig.NotAFinding},
	"DKER-EE-003340": {stig.Open, stig.NotAFinding},
	"DKER-EE-003460": {stig.Open, stig.NotAFinding},
	"DKER-EE-005070": {stig.Open, stig.NotAFinding},
	// Without an answer these are a fault or an open question.
	"DKER-EE-001100": {stig.NotAFinding},
	"DKER-EE-001590": {stig.NotAFinding},
}

// TestMain holds the cases against the catalog when all of them have run:
// every status that a rule can give has one.
func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == ""
	if code == 0 && all && !covered() {
		code = 1
	}
	os.Exit(code)
}

// covered reports whether every rule has a case for each status.
func covered() bool {
	whole := true
	for _, rule := range rules.Catalog() {
		for _, status := range []stig.Status{stig.Open, stig.NotAFinding, stig.NotReviewed, stig.NotApplicable} {
			can := !slices.Contains(never[rule.IDs[0]], status) && (status != stig.NotApplicable || rule.Applies != nil)
			if can && !slices.ContainsFunc(rule.IDs, func(id stig.ID) bool { return seen.of[id][status] }) {
				fmt.Printf("FAIL: no case for %s %s\n", rule.IDs[0], status)
				whole = false
			}
		}
	}
	return whole
}
