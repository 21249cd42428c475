package rules

import (
	"slices"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// Catalog lists every rule.
func Catalog() []Rule {
	return slices.Concat(
		[]Rule{vendorSigned, registryTags, trustEnforced},
		isolationRules, securityRules, powerRules, mountRules, limitRules, portRules, identityRules,
		daemonRules,
		fileRules, auditdRules, execRules, swarmRules, imageRules,
		ucpRules, dtrRules, serverCertificates,
		manualRules,
	)
}

// For gives the rule that satisfies a requirement.
func For(id stig.ID) (Rule, bool) {
	for _, rule := range Catalog() {
		if slices.Contains(rule.IDs, id) {
			return rule, true
		}
	}
	return Rule{}, false
}
