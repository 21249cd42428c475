package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// trustEnforced wants UCP to run only images signed by the site's teams
// (V-235847 and V-235838, CAT II).
//
// DISA's command line looks at require_content_trust alone; its steps in the
// web console want the organizations and teams to match the site's list too,
// so both count. The discussion calls LDAP and the audit level imperative;
// V-235780 and V-235778 judge those, and here they are reported.
var trustEnforced = Rule{
	IDs:     []stig.ID{stig.TrustEnforced, "DKER-EE-003590"},
	Applies: managed(host.UCP, hasUCP),
	Check:   checkTrustEnforced,
	Steps: []Step{
		{"sign in to UCP and export its configuration", "ucp.ConfigTOML"},
		{"[trust_configuration] require_content_trust is true", "judgeTrustEnforced"},
		{"the organizations and teams that have to sign are the site's", "judgeTrustEnforced"},
	},
	Readings: []string{
		"The command-line check looks at require_content_trust alone; the steps in the web console want organizations and teams to be the site's, too. Both count, as the requirement is one.",
		"V-235847 calls LDAP and the audit level imperative. V-235780 and V-235778 judge those, and here they are reported.",
	},
	Fix: fixTrustEnforced,
}

func checkTrustEnforced(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	doc, err := h.UCP.Document(ctx)
	if err != nil {
		return nil, err
	}
	config, err := doc.Config()
	if err != nil {
		return nil, err
	}
	f := judgeTrustEnforced(config, h.Site.UCP.RequireSignatureFrom)
	f.Object = h.UCP.URL()
	f.Evidence = configFacts(h.UCP.URL(), config)
	return []stig.Finding{f}, nil
}

func judgeTrustEnforced(config ucp.Config, want []string) stig.Finding {
	switch {
	case !config.HasRequireContentTrust:
		return stig.Finding{Status: stig.Open, Details: "require_content_trust is not set, so UCP runs unsigned images"}
	case !config.RequireContentTrust:
		return stig.Finding{Status: stig.Open, Details: "require_content_trust is false, so UCP runs unsigned images"}
	case want == nil:
		return stig.Finding{Details: fmt.Sprintf("require_content_trust is true; whether require_signature_from (%s) is the site's list is for the site to say: set ucp.require-signature-from in site.yaml", listed(config.RequireSignatureFrom))}
	}
	missing, extra := difference(want, config.RequireSignatureFrom), difference(config.RequireSignatureFrom, want)
	if len(missing)+len(extra) > 0 {
		return stig.Finding{Status: stig.Open, Details: fmt.Sprintf("require_signature_from is not the site's list: missing %s, beyond it %s", listed(missing), listed(extra))}
	}
	return stig.Finding{Status: stig.NotAFinding, Details: fmt.Sprintf("require_content_trust is true, and require_signature_from is the site's list (%s)", listed(want))}
}

func configFacts(url string, config ucp.Config) []stig.Fact {
	content := "absent"
	if config.HasRequireContentTrust {
		content = fmt.Sprint(config.RequireContentTrust)
	}
	fact := func(key, answer string) stig.Fact {
		return stig.Fact{Source: url, Asked: "GET /api/ucp/config-toml, " + key, Answer: answer}
	}
	return []stig.Fact{
		fact("trust_configuration.require_content_trust", content),
		fact("trust_configuration.require_signature_from", listed(config.RequireSignatureFrom)),
		fact("auth.backend (judged by V-235780)", orAbsent(config.AuthBackend)),
		fact("audit_log_configuration.level (judged by V-235778)", orAbsent(config.AuditLevel)),
	}
}

func orAbsent(text string) string {
	if text == "" {
		return "absent"
	}
	return text
}

func listed(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, ", ")
}

// difference is what a has and b has not.
func difference(a, b []string) []string {
	var only []string
	for _, item := range a {
		if !slices.Contains(b, item) {
			only = append(only, item)
		}
	}
	return only
}

// fixTrustEnforced sets both keys in place. The site's list, when it is not
// given, leaves require_signature_from as it is.
func fixTrustEnforced(ctx context.Context, h *host.Host) (change.Wanted, error) {
	doc, err := h.UCP.Document(ctx)
	if err != nil {
		return change.Wanted{}, err
	}
	config, err := doc.Config()
	if err != nil {
		return change.Wanted{}, err
	}
	ids := []stig.ID{stig.TrustEnforced, "DKER-EE-003590"}
	from := h.Site.UCP.RequireSignatureFrom
	var settings []ucpSetting
	if !config.RequireContentTrust {
		settings = append(settings, ucpSetting{key: "trust_configuration.require_content_trust", want: true})
	}
	if len(difference(from, config.RequireSignatureFrom)) > 0 || from != nil && len(difference(config.RequireSignatureFrom, from)) > 0 {
		settings = append(settings, ucpSetting{key: "trust_configuration.require_signature_from", want: from})
	}
	wanted, err := setInUCP(h, doc, ids, settings...)
	if err == nil && len(wanted.Changes) > 0 {
		wanted.Notes = append(wanted.Notes, trustWarnings(ctx, h)...)
	}
	return wanted, err
}

// trustWarnings says what to know before content trust is enforced.
func trustWarnings(ctx context.Context, h *host.Host) []string {
	var warnings []string
	if h.Site.UCP.RequireSignatureFrom == nil {
		warnings = append(warnings, "site.yaml has no ucp.require-signature-from, so require_signature_from stays as it is, and the requirement stays Not_Reviewed until the site says whose signatures it wants.")
	}
	return append(warnings, refusedWorkloads(ctx, h)...)
}

// refusedWorkloads names the images that run on this engine and that UCP would
// refuse to start again.
func refusedWorkloads(ctx context.Context, h *host.Host) []string {
	images, err := h.Images(ctx)
	if err != nil {
		return []string{"Which running images UCP would refuse is unknown: " + err.Error()}
	}
	var warnings []string
	for _, image := range images {
		if image.Running == 0 || image.Of(host.UCP) || image.Of(host.DTR) {
			continue
		}
		if why := whyRefused(ctx, h, image); why != "" {
			warnings = append(warnings, fmt.Sprintf("%v, which %d running containers use, may no longer be deployed by UCP: %s", image, image.Running, why))
		}
	}
	return warnings
}

func whyRefused(ctx context.Context, h *host.Host, image host.Image) string {
	if image.Name == nil {
		return "it has no name that could be signed"
	}
	if h.Trust == nil {
		return "whether it is signed is unknown without a policy (--policy)"
	}
	if _, err := h.Trust.Verify(ctx, trust.Question{Ref: image.Name, Content: image.Content}); err != nil {
		return err.Error()
	}
	return ""
}
