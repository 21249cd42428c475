package report

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// The documents of STIG Viewer 3, cklb_version 1.0. Texts are strings and never
// null: readers other than STIG Viewer want them so.
type (
	cklb struct {
		Title       string     `json:"title"`
		ID          string     `json:"id"`
		STIGs       []cklbSTIG `json:"stigs"`
		Active      bool       `json:"active"`
		Mode        int        `json:"mode"` // 1: not opened by STIG Viewer yet
		HasPath     bool       `json:"has_path"`
		Target      cklbTarget `json:"target_data"`
		CKLBVersion string     `json:"cklb_version"`
	}
	cklbTarget struct {
		TargetType     string  `json:"target_type"`
		HostName       string  `json:"host_name"`
		IPAddress      string  `json:"ip_address"`
		MACAddress     string  `json:"mac_address"`
		FQDN           string  `json:"fqdn"`
		Comments       string  `json:"comments"`
		Role           string  `json:"role"`
		IsWebDatabase  bool    `json:"is_web_database"`
		TechnologyArea string  `json:"technology_area"`
		WebDBSite      string  `json:"web_db_site"`
		WebDBInstance  string  `json:"web_db_instance"`
		Classification *string `json:"classification"`
	}
	cklbSTIG struct {
		Name        string     `json:"stig_name"`
		DisplayName string     `json:"display_name"`
		ID          string     `json:"stig_id"`
		ReleaseInfo string     `json:"release_info"`
		Version     string     `json:"version"` // without it STIG Manager reads revision 0
		UUID        string     `json:"uuid"`
		Reference   string     `json:"reference_identifier"`
		Size        int        `json:"size"`
		Rules       []cklbRule `json:"rules"`
	}
	cklbRule struct {
		UUID              string         `json:"uuid"`
		STIGUUID          string         `json:"stig_uuid"`
		GroupID           string         `json:"group_id"`
		GroupIDSrc        string         `json:"group_id_src"`
		RuleID            string         `json:"rule_id"` // without "_rule"
		RuleIDSrc         string         `json:"rule_id_src"`
		TargetKey         string         `json:"target_key"`
		STIGRef           string         `json:"stig_ref"`
		Weight            string         `json:"weight"`
		Classification    string         `json:"classification"`
		Severity          string         `json:"severity"`
		RuleVersion       stig.ID        `json:"rule_version"`
		GroupTitle        string         `json:"group_title"`
		RuleTitle         string         `json:"rule_title"`
		FixText           string         `json:"fix_text"`
		Reference         string         `json:"reference_identifier"`
		FalsePositives    string         `json:"false_positives"`
		FalseNegatives    string         `json:"false_negatives"`
		Discussion        string         `json:"discussion"`
		CheckContent      string         `json:"check_content"`
		Documentable      string         `json:"documentable"`
		Mitigations       string         `json:"mitigations"`
		PotentialImpacts  string         `json:"potential_impacts"`
		ThirdPartyTools   string         `json:"third_party_tools"`
		MitigationControl string         `json:"mitigation_control"`
		Responsibility    string         `json:"responsibility"`
		OverrideGuidance  string         `json:"security_override_guidance"`
		IAControls        string         `json:"ia_controls"`
		CheckRef          cklbCheckRef   `json:"check_content_ref"`
		LegacyIDs         []string       `json:"legacy_ids"`
		CCIs              []string       `json:"ccis"`
		GroupTree         []cklbGroup    `json:"group_tree"`
		Status            string         `json:"status"`
		Overrides         map[string]any `json:"overrides"`
		Comments          string         `json:"comments"`
		FindingDetails    string         `json:"finding_details"`
	}
	cklbCheckRef struct {
		Href string `json:"href"`
		Name string `json:"name"`
	}
	cklbGroup struct {
		ID          string `json:"id"`
		Title       string `json:"title"`
		Description string `json:"description"`
	}
)

// writeCKLB writes a checklist of STIG Viewer 3.
func writeCKLB(w io.Writer, c scan.Checklist, o Options) error {
	guide, a := guideOf(c), c.Asset
	stigUUID := idOf(a.HostName, guide.ID, guide.ReleaseInfo)
	stigs := cklbSTIG{
		Name:        guide.Title,
		DisplayName: strings.TrimSuffix(guide.Title, " Security Technical Implementation Guide"),
		ID:          guide.ID,
		ReleaseInfo: guide.ReleaseInfo,
		Version:     guide.Version,
		UUID:        stigUUID,
		Reference:   guide.TargetKey,
		Size:        len(c.Results),
		Rules:       []cklbRule{},
	}
	for _, r := range c.Results {
		rule := newCKLBRule(c, r, o)
		rule.UUID, rule.STIGUUID = idOf(stigUUID, string(r.StigID)), stigUUID
		rule.TargetKey, rule.Reference = guide.TargetKey, guide.TargetKey
		rule.STIGRef = guide.Title + " :: Version " + guide.Version + ", " + guide.ReleaseInfo
		stigs.Rules = append(stigs.Rules, rule)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(cklb{
		Title: a.HostName + " " + stigs.DisplayName, ID: idOf(a.HostName, "checklist", guide.ID), STIGs: []cklbSTIG{stigs},
		Active: true, Mode: 1, HasPath: true, CKLBVersion: "1.0",
		Target: cklbTarget{
			TargetType: "Computing", HostName: clip(a.HostName, 255), IPAddress: a.IP, MACAddress: a.MAC, FQDN: a.FQDN,
			Comments: targetComment(c), Role: "None", TechnologyArea: a.TechnologyArea,
		},
	})
}

func newCKLBRule(c scan.Checklist, r scan.Result, o Options) cklbRule {
	t := textsOf(c, r)
	return cklbRule{
		GroupID: t.VulnID, GroupIDSrc: t.VulnID, RuleID: strings.TrimSuffix(t.RuleID, "_rule"), RuleIDSrc: t.RuleID,
		Weight: t.Weight, Classification: "UNCLASSIFIED", Severity: r.Severity.XCCDF(), RuleVersion: r.StigID,
		GroupTitle: t.Title, RuleTitle: t.Title, FixText: t.Fix, // STIG Viewer repeats the rule's title; the group's is in the tree
		FalsePositives: t.FalsePositives, FalseNegatives: t.FalseNegatives, Discussion: t.Discussion, CheckContent: t.Check,
		Documentable: t.Documentable, Mitigations: t.Mitigations, PotentialImpacts: t.PotentialImpacts,
		ThirdPartyTools: t.ThirdPartyTools, MitigationControl: t.MitigationControl, Responsibility: t.Responsibility,
		OverrideGuidance: t.SeverityOverrideGuidance, IAControls: t.IAControls,
		CheckRef:  cklbCheckRef{t.CheckRef, t.CheckRefName},
		LegacyIDs: append([]string{}, t.LegacyIDs...), CCIs: append([]string{}, t.CCIs...),
		GroupTree: []cklbGroup{{t.VulnID, t.GroupTitle, "<GroupDescription></GroupDescription>"}},
		Status:    cklbStatus[r.Status], Overrides: map[string]any{},
		Comments: comments(r, o), FindingDetails: findingDetails(r),
	}
}

// cklbStatus are the words of CKLB.
var cklbStatus = map[stig.Status]string{
	stig.NotReviewed:   "not_reviewed",
	stig.NotApplicable: "not_applicable",
	stig.Open:          "open",
	stig.NotAFinding:   "not_a_finding",
}
