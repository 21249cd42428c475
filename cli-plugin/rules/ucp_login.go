package rules

import (
	"context"
	"fmt"
	"slices"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// ucpSessions wants the cap of sessions per user at the plan's figure, and
// never 0, which switches it off (V-235775 and V-235829, CAT III).
//
// https://docs.docker.com/ee/ucp/admin/configure/set-session-timeout/
var ucpSessions = Rule{
	IDs:     []stig.ID{"DKER-EE-001000", "DKER-EE-002970"},
	Applies: managed(host.UCP, hasUCP),
	Check:   checkUCPSessions,
	Steps: []Step{
		{"sign in to UCP and export its configuration", "ucp.ConfigTOML"},
		{"[auth.sessions] per_user_limit is the figure of the security plan", "judgeUCPSessions"},
		{"and it is not 0", "judgeUCPSessions"},
	},
	Readings: []string{
		"Only V-235829 names 0 as a finding. It is one of V-235775 too, which wants sessions limited: 0 limits none, even if the plan says 0.",
		"Where the key is absent UCP takes 10, older releases 5. The export does not tell which, so a plan with either figure is Not_Reviewed until the key is set; any other figure differs from both.",
	},
	Fix: fixUCPSessions,
}

const sessionsKey = "auth.sessions.per_user_limit"

// defaultSessions are the caps that UCP takes for an absent key: that of
// current releases, and of those before.
var defaultSessions = []int64{10, 5}

func checkUCPSessions(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	doc, err := h.UCP.Document(ctx)
	if err != nil {
		return nil, err
	}
	got, found, err := ucp.Lookup[int64](doc, sessionsKey)
	if err != nil {
		return nil, err
	}
	f := judgeUCPSessions(got, found, h.Site.UCP.SessionsPerUser)
	f.Object = "[auth.sessions] per_user_limit of " + h.UCP.URL()
	f.Evidence = []stig.Fact{configFact(h.UCP.URL(), sessionsKey, got, found)}
	return []stig.Finding{f}, nil
}

func judgeUCPSessions(got int64, found bool, plan *int) stig.Finding {
	const mend = "set it under Admin Settings > Authentication & Authorization, or in ucp-config.toml"
	const ask = "set ucp.sessions-per-user in site.yaml to the security plan's figure"
	said := fmt.Sprintf("it is %d", got)
	if !found {
		said = "it is not set, so UCP's default counts: 10, or 5 in older releases"
	}
	switch {
	case found && got <= 0:
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("%s, so sessions are not limited: %s", said, mend)}
	case plan != nil && *plan <= 0:
		return stig.Finding{Status: stig.Open, Details: said + ", and ucp.sessions-per-user in site.yaml says 0, which is no limit: " + ask}
	case plan == nil:
		return stig.Finding{Details: said + "; whether that is the plan's figure is for the site to say: " + ask}
	case found && got == int64(*plan):
		return stig.Finding{Status: stig.NotAFinding, Details: said + ", the plan's figure"}
	case !found && slices.Contains(defaultSessions, int64(*plan)):
		return stig.Finding{Details: fmt.Sprintf("%s, and the plan says %d; which default it is cannot be seen: %s", said, *plan, mend)}
	default:
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("%s, and the plan says %d: %s", said, *plan, mend)}
	}
}

// ucpLDAP wants users signed in through the site's directory (V-235780, CAT II).
//
// https://docs.docker.com/ee/ucp/admin/configure/external-auth/
var ucpLDAP = Rule{
	IDs:     []stig.ID{"DKER-EE-001100"},
	Applies: managed(host.UCP, hasUCP),
	Check:   checkUCPLDAP,
	Steps: []Step{
		{"sign in to UCP and export its configuration", "ucp.ConfigTOML"},
		{"[auth] backend is \"ldap\"", "judgeUCPSetting"},
		{"the directory's settings are right, and its server meets the STIG of its operating system: a person sees that in the web console and puts it into answers", "checkUCPLDAP"},
	},
	Readings: []string{
		"The command-line check looks at backend alone, while the text wants LDAP \"properly configured\" and the directory's server to meet its own STIG. UCP leaves [auth.ldap] out of its export, so backend = \"ldap\" is half of the answer, and an answer in site.yaml is the other.",
		"The later Mirantis guide takes SAML for LDAP. This one wants both, and V-235821 judges SAML.",
	},
	Fix: byPerson(checkUCPLDAP, "A wrong directory locks everybody out, so keep UCP's own administrator at hand. There, turn LDAP on, enter the directory's ldaps URL, its reader's name and password and the search for users, try a user's login with Test, save, and sign in as that user; then enter what was seen into site.yaml under answers.DKER-EE-001100"),
}

func checkUCPLDAP(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	findings, err := checkUCPSettings(ctx, h, ucpSetting{"auth.backend", "ldap", "managed", "Admin Settings > Authentication & Authorization"})
	for i, f := range findings {
		if f.Status == stig.NotAFinding {
			findings[i].Status = stig.NotReviewed
			findings[i].Details += "; UCP does not export the directory's settings, so a person has to see that server, reader and filters are the site's, and that the directory's server meets the STIG of its operating system. Put that into site.yaml under answers.DKER-EE-001100"
		}
	}
	return findings, err
}
