package rules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/mgmt"
	"github.com/docker-stig/docker-stig/cli-plugin/site"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// dtrAccess wants organizations, teams, their members and what they may do in
// DTR to be the plan's (V-235782, CAT II).
//
// UCP and DTR share their accounts; the guide asks UCP for members and DTR for
// access, and so do we.
//
// https://docs.docker.com/ee/dtr/admin/manage-users/permission-levels/
var dtrAccess = Rule{
	IDs:     []stig.ID{"DKER-EE-001180"},
	Applies: managed(host.DTR, hasDTR),
	Check:   checkDTRAccess,
	Steps: []Step{
		{"the organizations and their teams are those of the security plan", "judgeTeams"},
		{"each team's access to repositories is the plan's", "judgeTeamAccess"},
		{"each team's members are the plan's", "judgeTeamMembers"},
	},
	Readings: []string{
		"The plan's teams are those that dtr.access or dtr.members in site.yaml names, as ORG/TEAM; an organization without teams is named as ORG. A team or an organization that neither names is a finding, even without access. UCP's own organization docker-datacenter, which is everybody, need not be named.",
		"Access is compared repository by repository, as the guide's command lists it. Access that a user has as owner of an organization, or to repositories of his own, is not in that list and not judged.",
		"An account that is no administrator is not shown everything, so what it sees proves nothing.",
	},
	Fix: byPerson(checkDTRAccess, "Organizations, teams and members are added and removed in UCP under Access Control > Orgs & Teams; what a team may do with a repository, in DTR under Organizations, the team, Repositories. Let the owner of what is beyond the plan agree first; docker stig check DKER-EE-001180 compares again"),
}

func checkDTRAccess(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	if h.Site.DTR.Access == nil && h.Site.DTR.Members == nil {
		return []stig.Finding{{Details: "who may do what in DTR is for the site to say: set dtr.access and dtr.members in site.yaml to the security plan's"}}, nil
	}
	teams, finding := judgeTeams(ctx, h)
	return append([]stig.Finding{finding}, slices.Concat(judgeTeamAccess(ctx, h, teams), judgeTeamMembers(ctx, h, teams))...), nil
}

// judgeTeams compares UCP's organizations and teams with the plan's, and gives
// the teams of the plan that are there; all of them if UCP cannot be asked.
func judgeTeams(ctx context.Context, h *host.Host) ([]string, stig.Finding) {
	f := stig.Finding{Object: "organizations and teams"}
	plan, err := plannedTeams(h.Site.DTR)
	if err != nil {
		f.Details = err.Error()
		return nil, f
	}
	there, err := allTeams(ctx, h)
	if err != nil {
		f.Details = err.Error()
		return slices.DeleteFunc(plan, isOrganization), f
	}
	f.Evidence = []stig.Fact{{Source: h.UCP.URL(), Asked: "GET /accounts and /accounts/ORG/teams", Answer: listed(there)}}
	there = slices.DeleteFunc(there, func(name string) bool { return name == everybody && !slices.Contains(plan, name) })
	missing, beyond := difference(plan, there), difference(there, plan)
	f.Status, f.Details = stig.NotAFinding, fmt.Sprintf("organizations and teams are the plan's (%s)", listed(there))
	if len(missing)+len(beyond) > 0 {
		f.Status, f.Details = stig.Open, fmt.Sprintf("organizations and teams are not the plan's: missing %s, beyond it %s: mend them in UCP, or the plan", listed(missing), listed(beyond))
	}
	return slices.DeleteFunc(difference(plan, missing), isOrganization), f
}

func isOrganization(name string) bool { return !strings.Contains(name, "/") }

// plannedTeams are the plan's teams as ORG/TEAM, and their organizations.
func plannedTeams(plan site.DTR) ([]string, error) {
	names := slices.Collect(maps.Keys(plan.Access))
	names = slices.AppendSeq(names, maps.Keys(plan.Members))
	slices.Sort(names)
	for _, name := range slices.Clone(names) {
		org, team, isTeam := strings.Cut(name, "/")
		if org == "" || isTeam && team == "" || strings.Contains(team, "/") {
			return nil, fmt.Errorf("%q in dtr.access or dtr.members of site.yaml is no team: write ORG/TEAM, or ORG for an organization without teams", name)
		}
		if !isTeam && len(plan.Access[name])+len(plan.Members[name]) > 0 {
			return nil, fmt.Errorf("%q in dtr.access or dtr.members of site.yaml is an organization and has neither access nor members of its own: write ORG/TEAM", name)
		}
		names = append(names, org)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

var errNoUCP = errors.New("UCP keeps the teams and their members: give --ucp-url, --ucp-username and --ucp-password-file, or the same in site.yaml")

// allTeams lists UCP's organizations, and their teams as ORG/TEAM.
func allTeams(ctx context.Context, h *host.Host) ([]string, error) {
	if h.UCP == nil {
		return nil, errNoUCP
	}
	if err := h.UCP.RequireAdmin(ctx); err != nil {
		return nil, err
	}
	orgs, err := h.UCP.Organizations(ctx)
	if err != nil {
		return nil, err
	}
	teams := slices.Clone(orgs)
	for _, org := range orgs {
		names, err := h.UCP.Teams(ctx, org)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			teams = append(teams, org+"/"+name)
		}
	}
	slices.Sort(teams)
	return teams, nil
}

// judgeTeamAccess compares what each team may do with the plan.
func judgeTeamAccess(ctx context.Context, h *host.Host, teams []string) []stig.Finding {
	if h.Site.DTR.Access == nil {
		return []stig.Finding{{Object: "access of teams", Details: "which repositories each team may use is for the site to say: set dtr.access in site.yaml"}}
	}
	admin, err := h.DTR.Admin(ctx)
	if err == nil && !admin {
		err = errNoDTRAdmin
	}
	if err != nil {
		return []stig.Finding{{Object: "access of teams", Details: err.Error()}}
	}
	var findings []stig.Finding
	for _, name := range teams {
		org, team, _ := strings.Cut(name, "/")
		f := stig.Finding{Object: "access of " + name}
		got, err := h.DTR.TeamAccess(ctx, org, team)
		switch {
		case errors.Is(err, mgmt.NotFound):
			f.Details = err.Error() + "; or DTR does not know the team: sign in to it once"
		case err != nil:
			f.Details = err.Error()
		default:
			f = againstPlan(f, "access", accessEntries(h.Site.DTR.Access[name]), accessEntries(got))
			f.Evidence = []stig.Fact{{Source: h.DTR.URL(), Asked: "GET /api/v0/accounts/" + org + "/teams/" + team + "/repositoryAccess", Answer: listed(accessEntries(got))}}
		}
		findings = append(findings, f)
	}
	return findings
}

// judgeTeamMembers compares each team's members with the plan.
func judgeTeamMembers(ctx context.Context, h *host.Host, teams []string) []stig.Finding {
	if h.Site.DTR.Members == nil {
		return []stig.Finding{{Object: "members of teams", Details: "who belongs to each team is for the site to say: set dtr.members in site.yaml"}}
	}
	if h.UCP == nil || h.UCP.RequireAdmin(ctx) != nil {
		return nil // said once, of the teams
	}
	var findings []stig.Finding
	for _, name := range teams {
		org, team, _ := strings.Cut(name, "/")
		f := stig.Finding{Object: "members of " + name}
		got, err := h.UCP.Members(ctx, org, team)
		if err != nil {
			f.Details = err.Error()
		} else {
			f = againstPlan(f, "membership", h.Site.DTR.Members[name], got)
			f.Evidence = []stig.Fact{{Source: h.UCP.URL(), Asked: "GET /accounts/" + org + "/teams/" + team + "/members", Answer: listed(got)}}
		}
		findings = append(findings, f)
	}
	return findings
}

// againstPlan judges a list against the plan's, as sets.
func againstPlan(f stig.Finding, what string, plan, got []string) stig.Finding {
	missing, beyond := difference(plan, got), difference(got, plan)
	f.Status, f.Details = stig.NotAFinding, fmt.Sprintf("its %s is the plan's (%s)", what, listed(got))
	if len(missing)+len(beyond) > 0 {
		f.Status, f.Details = stig.Open, fmt.Sprintf("its %s is not the plan's: missing %s, beyond it %s: mend it in the web console, or the plan", what, listed(missing), listed(beyond))
	}
	return f
}

// accessEntries writes access as "prod/web read-only", sorted.
func accessEntries(access map[string]string) []string {
	var list []string
	for _, repository := range slices.Sorted(maps.Keys(access)) {
		list = append(list, repository+" "+access[repository])
	}
	return list
}
