// Package benchmark holds the requirements of each guide as data: identifiers,
// severities and cross references as DISA publishes them, titles and texts in
// our own words. What is done about a requirement is package rules' business.
//
// The guide is DISA's Docker Enterprise 2.x Linux/UNIX STIG, V2R2, in
// docker-enterprise-2.x.json, whose rows stand in the guide's own order. Where
// the guide contradicts itself or is wrong, the row says what we go by.
//
// DISA's texts are not in here: ReadXCCDF takes them from the file that DISA
// publishes (XCCDF 1.1), which the user brings along.
package benchmark

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Benchmark is one guide in one release.
type Benchmark struct {
	ID           string        `json:"id"`
	Title        string        `json:"title"`
	Version      string        `json:"version"`
	Release      string        `json:"release"`
	Date         string        `json:"date"` // of the release, YYYY-MM-DD
	Note         string        `json:"note"`
	Requirements []Requirement `json:"requirements"`
}

// A Decider says what it takes to answer a requirement.
type Decider string

// The deciders.
const (
	ByProgram Decider = "program" // what can be seen decides
	BySite    Decider = "site"    // with a value, or a person's answer, from site.yaml
	ByPerson  Decider = "person"  // a document or an interview; nothing can be seen
)

// Components lists what a requirement can be about, from the engine outwards.
func Components() []string { return []string{"engine", "host", "swarm", "ucp", "dtr", "org"} }

// A Requirement is one row of a guide.
type Requirement struct {
	StigID    stig.ID             `json:"stigId"`    // "DKER-EE-001770"
	VulnID    string              `json:"vulnId"`    // "V-235788"
	RuleID    string              `json:"ruleId"`    // of this release, "SV-235788r960954_rule"
	OtherIDs  []string            `json:"otherIds"`  // Vuln and Rule IDs of earlier releases
	Severity  stig.Severity       `json:"severity"`  // in the file, XCCDF's word
	Component string              `json:"component"` // one of Components
	Decided   Decider             `json:"decided"`
	SRGs      []string            `json:"srgs"` // the group's own first, then those it satisfies too
	CCIs      []string            `json:"ccis"`
	CIS       map[string][]string `json:"cis"` // CIS Docker Benchmark numbers by its version
	MKE       string              `json:"mke"` // Mirantis Kubernetes Engine STIG V2R1
	CheckID   string              `json:"checkId"`
	FixID     string              `json:"fixId"`
	Title     string              `json:"title"`
	Check     string              `json:"check"`
	Fix       string              `json:"fix"`
}

//go:embed docker-enterprise-2.x.json
var dockerEnterprise []byte

// DockerEnterprise is the Docker Enterprise 2.x STIG, V2R2.
func DockerEnterprise() (Benchmark, error) {
	var b Benchmark
	decoder := json.NewDecoder(bytes.NewReader(dockerEnterprise))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&b); err != nil {
		return Benchmark{}, fmt.Errorf("reading the benchmark: %w", err)
	}
	return b, nil
}

// ReleaseName is "V2R2", as DISA writes it.
func (b Benchmark) ReleaseName() string { return "V" + b.Version + "R" + b.Release }

// Find gives the requirement that a name means: a Vuln ID, a STIG ID, or a
// Rule ID of any release, with or without revision and "_rule", in any case.
func (b Benchmark) Find(name string) (Requirement, bool) {
	for _, r := range b.Requirements {
		for _, id := range r.Names() {
			if canonical(id) == canonical(name) || base(id) == canonical(name) {
				return r, true
			}
		}
	}
	return Requirement{}, false
}

// Names lists every identifier the requirement has had.
func (r Requirement) Names() []string {
	return append([]string{r.VulnID, string(r.StigID), r.RuleID}, r.OtherIDs...)
}

func canonical(id string) string {
	return strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(id)), "_RULE")
}

// base is a rule ID without its revision: SV-235788 of SV-235788r960954_rule.
func base(id string) string {
	id = canonical(id)
	if strings.HasPrefix(id, "SV-") {
		id, _, _ = strings.Cut(id, "R")
	}
	return id
}
