package rules

import (
	"context"
	"fmt"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// manualRules are about papers and people, of which no program can tell. An
// answer in site.yaml settles each.
var manualRules = []Rule{
	// V-235824, CAT II.
	manual("DKER-EE-002410", "the security plan says how secrets are kept with docker secret",
		"the plan, and the chapter that says how docker secret is used",
		"the administrators are asked for the plan, and whether it describes how docker secret is used"),
	// V-235834, CAT II.
	manual("DKER-EE-003330", "the SIEM warns at the latest when three quarters of the space for a node's audit records are used",
		"the alarm's definition, and the share at which it goes off",
		"whoever runs the SIEM is asked for the alarm about space for the audit records of engine nodes"),
	// V-235835, CAT II.
	manual("DKER-EE-003340", "the SIEM tells the SA and the ISSO when auditing of an engine fails",
		"the alarm's definition, and whom it reaches",
		"whoever runs the SIEM is asked for the alarm about audit failures of engine nodes"),
	// V-235836, CAT II.
	manual("DKER-EE-003460", "the SIEM tells the ISSO or the ISSM when unauthorized software is installed on a node",
		"the alarm's definition, and whom it reaches",
		"whoever runs the SIEM is asked for the alarm about software that nobody approved"),
	// V-235849, CAT II. The engine does not tell when a key was changed last.
	inASwarm(manual("DKER-EE-005070", "the key that unlocks the swarm is changed on a schedule, and each change is recorded",
		"the schedule, and the record of the last change",
		"the administrators are asked how often the key is changed, and for the records of it")),
}

// inASwarm is a rule for nodes of a swarm alone.
func inASwarm(r Rule) Rule {
	r.Applies, r.Readings = inSwarm, []string{swarmReading}
	return r
}

// manual is a rule that leaves the requirement to a person.
func manual(id stig.ID, want, show, step string) Rule {
	return Rule{
		IDs: []stig.ID{id},
		Check: func(context.Context, *host.Host) ([]stig.Finding, error) {
			return []stig.Finding{{Details: fmt.Sprintf(
				"a person has to see to it that %s. Put the answer under answers.%s in site.yaml: status, by and comment, which names %s", want, id, show)}}, nil
		},
		Steps: []Step{{step, "manual"}},
	}
}
