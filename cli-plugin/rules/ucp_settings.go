package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A ucpSetting is one key of UCP's configuration and the value it has to have.
type ucpSetting struct {
	key   string // "auth.sessions.lifetime_minutes"
	want  any    // a bool, an int64 or a string
	unset any    // what UCP takes where the key is absent
	where string // in the web console
}

// ucpSettingsRules want keys of UCP's configuration at a value that the guide
// names. What UCP takes for an absent key is from its configuration guide:
// https://docs.docker.com/ee/ucp/admin/configure/ucp-configuration-file/
var ucpSettingsRules = []Rule{
	// V-235778, CAT II: the audit log holds requests, not their metadata alone.
	ucpSettingsRule("DKER-EE-001080", nil,
		ucpSetting{"audit_log_configuration.level", "request", "", "Admin Settings > Audit Logs"}),
	// V-235797, CAT II: UCP sends nobody what is done with it.
	ucpSettingsRule("DKER-EE-001910", nil,
		ucpSetting{"tracking_configuration.disable_usageinfo", true, false, "Admin Settings > Usage"},
		ucpSetting{"tracking_configuration.disable_tracking", true, false, "Admin Settings > Usage"}),
	// V-235821, CAT II: users sign in through the site's identity provider.
	saml,
	// V-235825, CAT II: a session ends after 10 minutes, whatever is done in it.
	ucpSettingsRule("DKER-EE-002490", []string{
		"Where a key is absent UCP takes 60 and 20 (older releases 4320 and 1440); both are findings.",
	},
		ucpSetting{"auth.sessions.lifetime_minutes", int64(10), int64(60), "Admin Settings > Authentication & Authorization"},
		ucpSetting{"auth.sessions.renewal_threshold_minutes", int64(0), int64(20), "Admin Settings > Authentication & Authorization"}),
}

// saml wants a person's hand: without the site's identity provider behind it,
// the setting alone would send users nowhere.
var saml = func() Rule {
	r := ucpSettingsRule("DKER-EE-002180", []string{
		"The guide wants SAML \"properly configured\" and checks samlEnabled alone. So do we: whether idpMetadataURL and spHost are the site's is for a person to see.",
	}, ucpSetting{"auth.samlEnabled", true, false, "Admin Settings > Authentication & Authorization"})
	r.Fix = byPerson(r.Check, "First register UCP with the site's identity provider. Then, there under SAML, enter the address of the provider's metadata and UCP's own host (idpMetadataURL and spHost of [auth.saml]), turn SAML on, save, and sign in through the provider in another browser before this session ends")
	return r
}()

// ucpSettingsRule makes a Rule of settings, each judged by itself.
func ucpSettingsRule(id stig.ID, readings []string, settings ...ucpSetting) Rule {
	steps := []Step{{"sign in to UCP and export its configuration", "ucp.ConfigTOML"}}
	for _, s := range settings {
		steps = append(steps, Step{fmt.Sprintf("%s is %s", s.title(), tomlText(s.want)), "judgeUCPSetting"})
	}
	return Rule{
		IDs:     []stig.ID{id},
		Applies: managed(host.UCP, hasUCP),
		Check: func(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
			return checkUCPSettings(ctx, h, settings...)
		},
		Steps:    steps,
		Readings: readings,
		Fix:      fixUCPSettings([]stig.ID{id}, settings...),
	}
}

func checkUCPSettings(ctx context.Context, h *host.Host, settings ...ucpSetting) ([]stig.Finding, error) {
	doc, err := h.UCP.Document(ctx)
	if err != nil {
		return nil, err
	}
	var findings []stig.Finding
	for _, s := range settings {
		findings = append(findings, judgeUCPSetting(doc, h.UCP.URL(), s))
	}
	return findings, nil
}

// judgeUCPSetting finds against a key with any other value than the one
// wanted. A key of another type is no answer, and a default passes only where
// the key's table is there.
func judgeUCPSetting(doc ucp.Document, url string, s ucpSetting) stig.Finding {
	f := stig.Finding{Object: s.title() + " of " + url}
	got, found, err := s.in(doc)
	if err != nil {
		f.Details = err.Error()
		return f
	}
	f.Evidence = []stig.Fact{configFact(url, s.key, got, found)}
	said := fmt.Sprintf("it is %s", tomlText(got))
	if !found {
		got = s.unset
		said = fmt.Sprintf("it is not set, so UCP's default counts: %s", tomlText(got))
	}
	if table := s.key[:strings.LastIndexByte(s.key, '.')]; !found && got == s.want && !doc.HasTable(table) {
		f.Details = fmt.Sprintf("the configuration has no [%s] at all and may not be whole, so its defaults prove nothing: look under %s", table, s.where)
		return f
	}
	if got != s.want {
		f.Status = stig.Open
		f.Details = fmt.Sprintf("%s, and has to be %s: set it under %s, or in ucp-config.toml", said, tomlText(s.want), s.where)
		return f
	}
	f.Status, f.Details = stig.NotAFinding, said
	return f
}

// in finds the value in a document, of the type that is wanted.
func (s ucpSetting) in(doc ucp.Document) (got any, found bool, err error) {
	switch s.want.(type) {
	case bool:
		return untyped(ucp.Lookup[bool](doc, s.key))
	case int64:
		return untyped(ucp.Lookup[int64](doc, s.key))
	case string:
		return untyped(ucp.Lookup[string](doc, s.key))
	default:
		return nil, false, errors.New("the table of settings wants a type that is none of TOML: please report this")
	}
}

func untyped[T any](got T, found bool, err error) (any, bool, error) { return got, found, err }

// title is the key as ucp-config.toml writes it: "[auth.sessions] per_user_limit".
func (s ucpSetting) title() string {
	at := strings.LastIndexByte(s.key, '.')
	return "[" + s.key[:at] + "] " + s.key[at+1:]
}

// configFact is what UCP's configuration says of one key.
func configFact(url, key string, got any, found bool) stig.Fact {
	answer := "absent"
	if found {
		answer = tomlText(got)
	}
	return stig.Fact{Source: url, Asked: "GET /api/ucp/config-toml, " + key, Answer: answer}
}

// tomlText writes a value as TOML does, and not more than a line of it.
func tomlText(value any) string {
	text, ok := value.(string)
	if !ok {
		return fmt.Sprint(value)
	}
	const most = 80 // characters; legal values are words
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

// ucpRules are all about UCP, but for its certificate and its trust in images.
var ucpRules = slices.Concat(ucpSettingsRules, []Rule{ucpSessions, ucpLDAP, ucpScheduling, ucpGrants, ucpMinimumTLS, clientCertificate})
