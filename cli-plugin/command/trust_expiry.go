package command

import (
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
)

// timestampRole is the role that a trust server renews by itself.
const timestampRole = "timestamp"

// renewals say what keeps a role from expiring. Delegations are not here: each
// is its signers' business.
var renewals = map[string]string{
	"root":             "have whoever holds the root key sign a tag on the machine where that key is",
	"targets":          "have whoever holds the repository key sign again",
	"snapshot":         "see that a trust server answers, which renews it if it holds the key; else whoever signs next does",
	timestampRole:      "see that a trust server answers, which renews it when it has expired",
	"targets/releases": "have one of the signers sign again (docker stig trust sign)",
}

// renewal is what to do before a role expires.
func renewal(role notary.Role) string {
	if advice, ok := renewals[role.Name]; ok {
		return advice
	}
	return fmt.Sprintf("have %s sign again (docker stig trust sign)", role.Signer())
}

// refusedFrom says from when starts are refused, why then, and what to do
// before. It is "" if that day never comes.
func refusedFrom(r notary.Repository, now time.Time) string {
	if r.Until.IsZero() {
		return ""
	}
	role, cause := notary.Role{Name: timestampRole}, "the time that allow-expired in the policy gives is over"
	for _, candidate := range r.Roles {
		if candidate.Expires.Equal(r.Until) {
			role, cause = candidate, candidate.Name+" expires"
			break
		}
	}
	advice := renewal(role)
	switch {
	case r.Source == trust.Bundle:
		advice = "import a newer bundle (docker stig trust export where a server answers, docker stig trust import here)"
	case r.Source == trust.Server && role.Name == timestampRole && now.Before(r.Until):
		return fmt.Sprintf("Starts are refused from %s, when %s, unless a trust server answers then: it renews the timestamp.", dated(r.Until, now), cause)
	}
	if now.After(r.Until) {
		return fmt.Sprintf("Starts have been refused since %s: %s.", dated(r.Until, now), advice)
	}
	return fmt.Sprintf("Starts are refused from %s, when %s: before that, %s.", dated(r.Until, now), cause, advice)
}

// warnings name what a person has to see to: roles that have expired or soon
// will. A timestamp that a server has just given is not among them: it never
// lasts for more than 14 days, and the server renews it.
func warnings(r notary.Repository, now time.Time) []string {
	var list []string
	for _, role := range r.Roles {
		if role.Expires.IsZero() || role.Expires.Sub(now) > soon {
			continue
		}
		if role.Name == timestampRole && r.Source == trust.Server && r.Err == nil {
			continue
		}
		verb := "expires"
		if now.After(role.Expires) {
			verb = "expired"
		}
		list = append(list, fmt.Sprintf("%s %s %s: %s", role.Name, verb, dated(role.Expires, now), renewal(role)))
	}
	return list
}
