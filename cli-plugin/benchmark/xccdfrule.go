package benchmark

import (
	"fmt"
	"strings"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// The elements of XCCDF 1.1 that are read, as DISA uses them: a group for each
// rule.
type (
	xccdfGroup struct {
		ID    string      `xml:"id,attr"`
		Title string      `xml:"title"`
		Rules []xccdfRule `xml:"Rule"`
	}
	xccdfRule struct {
		ID          string           `xml:"id,attr"`
		Weight      string           `xml:"weight,attr"`
		Version     string           `xml:"version"` // the STIG ID
		Title       string           `xml:"http://checklists.nist.gov/xccdf/1.1 title"`
		Description string           `xml:"description"`
		Reference   xccdfReference   `xml:"reference"`
		Idents      []xccdfIdent     `xml:"ident"`
		Fixtext     string           `xml:"fixtext"`
		Fix         xccdfFix         `xml:"fix"`
		Check       xccdfManualCheck `xml:"check"`
	}
	xccdfReference struct {
		Source     string `xml:"http://purl.org/dc/elements/1.1/ source"`
		Identifier string `xml:"http://purl.org/dc/elements/1.1/ identifier"`
	}
	xccdfIdent struct {
		System string `xml:"system,attr"`
		Value  string `xml:",chardata"`
	}
	xccdfFix struct {
		ID string `xml:"id,attr"`
	}
	xccdfManualCheck struct {
		System  string `xml:"system,attr"`
		Content string `xml:"check-content"`
		Ref     struct {
			Href string `xml:"href,attr"`
			Name string `xml:"name,attr"`
		} `xml:"check-content-ref"`
	}
)

// add files the rules of a group.
func (g *Guide) add(group xccdfGroup) error {
	for _, rule := range group.Rules {
		id := stig.ID(strings.TrimSpace(rule.Version))
		if _, twice := g.Rules[id]; twice {
			return fmt.Errorf("rule %q is in it twice", id)
		}
		if len(g.Rules) == maxRules {
			return fmt.Errorf("at most %d rules are read", maxRules)
		}
		if g.TargetKey == "" {
			g.TargetKey = rule.Reference.Identifier
		}
		g.Rules[id] = rule.texts(group)
	}
	return nil
}

func (r xccdfRule) texts(group xccdfGroup) Texts {
	t := Texts{
		VulnID: group.ID, RuleID: r.ID, GroupTitle: group.Title, Title: r.Title, Weight: r.Weight,
		LegacyIDs: []string{}, CCIs: []string{},
		CheckID: r.Check.System, CheckRef: r.Check.Ref.Href, CheckRefName: r.Check.Ref.Name, Check: r.Check.Content,
		FixID: r.Fix.ID, Fix: r.Fixtext,
	}
	for _, ident := range r.Idents {
		switch {
		case strings.HasSuffix(ident.System, "/cci"):
			t.CCIs = append(t.CCIs, strings.TrimSpace(ident.Value))
		case strings.HasSuffix(ident.System, "/legacy"):
			t.LegacyIDs = append(t.LegacyIDs, strings.TrimSpace(ident.Value))
		}
	}
	t.describe(r.Description)
	return t
}

// describe takes a rule's description apart. It holds elements, but as text,
// and what they hold is not escaped once more: a discussion that speaks of
// <nil> would be no XML. So each is what stands between its tags.
func (t *Texts) describe(description string) {
	for name, field := range map[string]*string{
		"VulnDiscussion":           &t.Discussion,
		"FalsePositives":           &t.FalsePositives,
		"FalseNegatives":           &t.FalseNegatives,
		"Documentable":             &t.Documentable,
		"Mitigations":              &t.Mitigations,
		"SeverityOverrideGuidance": &t.SeverityOverrideGuidance,
		"PotentialImpacts":         &t.PotentialImpacts,
		"ThirdPartyTools":          &t.ThirdPartyTools,
		"MitigationControl":        &t.MitigationControl,
		"Responsibility":           &t.Responsibility,
		"IAControls":               &t.IAControls,
	} {
		_, rest, opened := strings.Cut(description, "<"+name+">")
		inside, _, closed := strings.Cut(rest, "</"+name+">")
		if opened && closed {
			*field = inside
		}
	}
}
