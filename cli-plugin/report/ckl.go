package report

import (
	"encoding/xml"
	"io"
	"net"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
)

// writeCKL writes a checklist of STIG Viewer 2 by DISA's schema 2.5: elements
// in its order, attributes in the order and with the names that STIG Viewer
// itself writes, be they wrong (Security_Override_Guidance).
//
// encoding/xml would do, but for its line ends: it writes them as references,
// and people compare checklists.
func writeCKL(w io.Writer, c scan.Checklist, o Options) error {
	x := &xmlWriter{}
	x.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	x.open("CHECKLIST")
	x.asset(c)
	x.open("STIGS")
	x.open("iSTIG")
	x.open("STIG_INFO")
	guide := guideOf(c)
	stigUUID := idOf(c.Asset.HostName, guide.ID, guide.ReleaseInfo)
	for _, data := range [][2]string{
		{"version", guide.Version},
		{"classification", "UNCLASSIFIED"},
		{"customname", ""},
		{"stigid", guide.ID},
		{"description", c.Benchmark.Note},
		{"filename", guide.Filename},
		{"releaseinfo", guide.ReleaseInfo},
		{"title", guide.Title},
		{"uuid", stigUUID},
		{"notice", guide.Notice},
		{"source", guide.Source},
	} {
		x.pair("SI_DATA", "SID_NAME", data[0], "SID_DATA", data[1])
	}
	x.close("STIG_INFO")
	for _, r := range c.Results {
		x.vuln(c, guide, r, stigUUID, o)
	}
	x.close("iSTIG")
	x.close("STIGS")
	x.close("CHECKLIST")
	_, err := io.WriteString(w, x.b.String())
	return err
}

// asset is the machine. Readers refuse a host name that is empty, and an FQDN
// without a dot.
func (x *xmlWriter) asset(c scan.Checklist) {
	a := c.Asset
	fqdn := a.FQDN
	if !strings.Contains(fqdn, ".") && net.ParseIP(fqdn) == nil {
		fqdn = ""
	}
	x.open("ASSET")
	x.leaf("ROLE", "None")
	x.leaf("ASSET_TYPE", "Computing")
	if a.Marking != "" {
		x.leaf("MARKING", a.Marking)
	}
	x.leaf("HOST_NAME", clip(a.HostName, 255))
	x.leaf("HOST_IP", a.IP)
	x.leaf("HOST_MAC", a.MAC)
	x.leaf("HOST_FQDN", fqdn)
	x.leaf("TARGET_COMMENT", targetComment(c))
	x.leaf("TECH_AREA", a.TechnologyArea)
	x.leaf("TARGET_KEY", guideOf(c).TargetKey)
	x.leaf("WEB_OR_DATABASE", "false")
	x.leaf("WEB_DB_SITE", "")
	x.leaf("WEB_DB_INSTANCE", "")
	x.close("ASSET")
}

// vuln is one requirement.
func (x *xmlWriter) vuln(c scan.Checklist, guide benchmark.Guide, r scan.Result, stigUUID string, o Options) {
	t := textsOf(c, r)
	x.open("VULN")
	attributes := [][2]string{
		{"Vuln_Num", t.VulnID},
		{"Severity", r.Severity.XCCDF()},
		{"Group_Title", t.GroupTitle},
		{"Rule_ID", t.RuleID},
		{"Rule_Ver", string(r.StigID)},
		{"Rule_Title", t.Title},
		{"Vuln_Discuss", t.Discussion},
		{"IA_Controls", t.IAControls},
		{"Check_Content", t.Check},
		{"Fix_Text", t.Fix},
		{"False_Positives", t.FalsePositives},
		{"False_Negatives", t.FalseNegatives},
		{"Documentable", t.Documentable},
		{"Mitigations", t.Mitigations},
		{"Potential_Impact", t.PotentialImpacts},
		{"Third_Party_Tools", t.ThirdPartyTools},
		{"Mitigation_Control", t.MitigationControl},
		{"Responsibility", t.Responsibility},
		{"Security_Override_Guidance", t.SeverityOverrideGuidance},
		{"Check_Content_Ref", t.CheckRefName},
		{"Weight", t.Weight},
		{"Class", "Unclass"},
		{"STIGRef", guide.Title + " :: Version " + guide.Version + ", " + guide.ReleaseInfo},
		{"TargetKey", guide.TargetKey},
		{"STIG_UUID", stigUUID},
	}
	for _, id := range t.LegacyIDs {
		attributes = append(attributes, [2]string{"LEGACY_ID", id})
	}
	for _, cci := range t.CCIs {
		attributes = append(attributes, [2]string{"CCI_REF", cci})
	}
	for _, a := range attributes {
		x.pair("STIG_DATA", "VULN_ATTRIBUTE", a[0], "ATTRIBUTE_DATA", a[1])
	}
	x.leaf("STATUS", r.Status.String())
	x.leaf("FINDING_DETAILS", findingDetails(r))
	x.leaf("COMMENTS", comments(r, o))
	x.leaf("SEVERITY_OVERRIDE", "")
	x.leaf("SEVERITY_JUSTIFICATION", "")
	x.close("VULN")
}

// An xmlWriter writes elements without attributes, one a line.
type xmlWriter struct{ b strings.Builder }

func (x *xmlWriter) raw(text string)   { x.b.WriteString(text) }
func (x *xmlWriter) open(name string)  { x.raw("<" + name + ">\n") }
func (x *xmlWriter) close(name string) { x.raw("</" + name + ">\n") }

func (x *xmlWriter) leaf(name, text string) {
	x.raw("<" + name + ">")
	x.text(text)
	x.raw("</" + name + ">\n")
}

// pair writes a name and its value; STIG Viewer leaves an empty SID_DATA out.
func (x *xmlWriter) pair(around, nameTag, name, valueTag, value string) {
	x.raw("<" + around + "><" + nameTag + ">" + name + "</" + nameTag + ">")
	if value != "" || valueTag != "SID_DATA" {
		x.raw("<" + valueTag + ">")
		x.text(value)
		x.raw("</" + valueTag + ">")
	}
	x.raw("</" + around + ">\n")
}

// literal undoes what EscapeText does to line ends and tabs, which XML keeps.
var literal = strings.NewReplacer("&#xA;", "\n", "&#x9;", "\t", "&#39;", "'", "&#34;", `"`)

func (x *xmlWriter) text(text string) {
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(legal(text))) // a builder takes all
	x.raw(literal.Replace(escaped.String()))
}

// clip shortens a text to a number of bytes that readers take.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
