package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// everybody is the organization that UCP makes all users members of.
const everybody = "docker-datacenter"

// listOfGrants is what the guide asks UCP for.
const listOfGrants = "GET /collectionGrants?subjectType=all&expandUser=true&showPaths=true"

// ucpScheduling wants workloads kept off managers and DTR nodes (V-235795,
// CAT II).
//
// https://docs.docker.com/ee/ucp/admin/configure/restrict-services-to-worker-nodes/
var ucpScheduling = Rule{
	IDs:     []stig.ID{"DKER-EE-001890"},
	Applies: managed(host.UCP, hasUCP),
	Check:   checkUCPScheduling,
	Steps: []Step{
		{"sign in to UCP and export its configuration", "ucp.ConfigTOML"},
		{"[scheduling_configuration] enable_admin_ucp_scheduling is false", "judgeUCPSetting"},
		{"no grant gives docker-datacenter, which is everybody, the role Scheduler on the collection /", "judgeSchedulerGrants"},
	},
	Readings: []string{
		"Where enable_admin_ucp_scheduling is absent from [scheduling_configuration] UCP takes false, so that is none. Where the whole table is absent nothing is taken to be so.",
		"Only a grant to docker-datacenter counts, as the guide says. That others may schedule everywhere is for the plan's list of grants (V-235781).",
	},
	Fix: fixUCPScheduling,
}

var adminScheduling = ucpSetting{"scheduling_configuration.enable_admin_ucp_scheduling", false, false, "Admin Settings > Scheduler"}

func checkUCPScheduling(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	findings, err := checkUCPSettings(ctx, h, adminScheduling)
	if err != nil {
		findings = []stig.Finding{{Object: adminScheduling.title() + " of " + h.UCP.URL(), Details: err.Error()}}
	}
	second := stig.Finding{Object: "grants of " + h.UCP.URL()}
	if grants, err := allGrants(ctx, h); err != nil {
		second.Details = err.Error()
	} else {
		second = judgeSchedulerGrants(grants, second)
		second.Evidence = []stig.Fact{{Source: h.UCP.URL(), Asked: listOfGrants, Answer: second.Details}}
	}
	return append(findings, second), nil
}

// judgeSchedulerGrants finds against the grant with which everybody may
// schedule on every node. A subject or a collection that UCP does not name may
// be everybody, or /.
func judgeSchedulerGrants(grants []ucp.Grant, f stig.Finding) stig.Finding {
	var unnamed []string
	for _, g := range grants {
		switch scheduler := g.RoleID == "scheduler" || g.Role == "Scheduler"; {
		case !scheduler || g.Collection != "/" && !g.UnnamedCollection:
		case g.Subject != everybody && !g.UnnamedSubject:
		case !g.UnnamedSubject && !g.UnnamedCollection:
			f.Status = stig.Open
			f.Details = "everybody (docker-datacenter) has the role Scheduler on /, so workloads run on managers and DTR nodes: take the grant away under Access Control > Grants"
			return f
		default:
			unnamed = append(unnamed, g.String())
		}
	}
	if len(unnamed) > 0 {
		f.Details = fmt.Sprintf("UCP does not tell who or what these grants are about, and they may let everybody schedule on /: %s: look under Access Control > Grants", few(unnamed))
		return f
	}
	f.Status = stig.NotAFinding
	f.Details = fmt.Sprintf("none of %d grants gives docker-datacenter the role Scheduler on /", len(grants))
	return f
}

// ucpGrants wants UCP's grants to be the plan's (V-235781, CAT II).
//
// https://docs.docker.com/ee/ucp/authorization/
var ucpGrants = Rule{
	IDs:     []stig.ID{"DKER-EE-001170"},
	Applies: managed(host.UCP, hasUCP),
	Check:   checkUCPGrants,
	Steps: []Step{
		{"sign in to UCP and list the grants of all subjects", "ucp.Grants"},
		{"they are those of the security plan, no more and no fewer", "judgeUCPGrants"},
	},
	Readings: []string{
		"Each part of the plan's SUBJECT ROLE COLLECTION may be the name that UCP shows or the ID that it keeps.",
		"The list is that of Swarm, as the guide's command gives it. Role bindings that only Kubernetes knows are not in it, and not judged.",
	},
	Fix: byPerson(checkUCPGrants, "Under Access Control > Grants, Create Grant makes each that is missing, of the subject, role and collection that it names; the menu of a grant deletes one that is beyond the plan, once its owner agrees. docker stig check DKER-EE-001170 compares again"),
}

func checkUCPGrants(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	grants, err := allGrants(ctx, h)
	if err != nil {
		return nil, err
	}
	f := judgeUCPGrants(grants, h.Site.UCP.Grants)
	f.Object = "grants of " + h.UCP.URL()
	var names []string
	for _, g := range grants {
		names = append(names, g.String())
	}
	f.Evidence = []stig.Fact{{Source: h.UCP.URL(), Asked: listOfGrants, Answer: strings.Join(names, "; ")}}
	return []stig.Finding{f}, nil
}

// allGrants are those that an administrator sees; another sees a part.
func allGrants(ctx context.Context, h *host.Host) ([]ucp.Grant, error) {
	if err := h.UCP.RequireAdmin(ctx); err != nil {
		return nil, err
	}
	return h.UCP.Grants(ctx)
}

// judgeUCPGrants compares two sets. A grant to somebody that UCP does not name
// may be any of the plan's, so that then nothing is proven.
func judgeUCPGrants(grants []ucp.Grant, plan []string) stig.Finding {
	if plan == nil {
		return stig.Finding{Details: fmt.Sprintf("UCP has %d grants; whether they are the plan's is for the site to say: set ucp.grants in site.yaml, \"SUBJECT ROLE COLLECTION\" each", len(grants))}
	}
	var missing, beyond, unnamed []string
	for _, g := range grants {
		switch planned := slices.ContainsFunc(plan, g.Is); {
		case planned:
		case g.UnnamedSubject || g.UnnamedCollection:
			unnamed = append(unnamed, g.String())
		default:
			beyond = append(beyond, g.String())
		}
	}
	for _, text := range plan {
		if !slices.ContainsFunc(grants, func(g ucp.Grant) bool { return g.Is(text) }) {
			missing = append(missing, text)
		}
	}
	switch {
	case len(beyond) > 0 || len(missing) > 0 && len(unnamed) == 0:
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("the grants are not the plan's: missing %s, beyond it %s: mend them under Access Control > Grants, or the plan", listed(missing), listed(append(beyond, unnamed...)))}
	case len(unnamed) > 0:
		return stig.Finding{Details: fmt.Sprintf("UCP does not name who or what these grants are about: %s. Write them with their IDs into ucp.grants in site.yaml if they are the plan's", listed(unnamed))}
	default:
		return stig.Finding{Status: stig.NotAFinding, Details: fmt.Sprintf("the %d grants are the plan's", len(grants))}
	}
}
