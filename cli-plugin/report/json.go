package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// schemaVersion of the JSON checklist. It grows when a field changes its
// meaning or goes away, not when one is added.
const schemaVersion = "1.0"

type document struct {
	SchemaVersion string    `json:"schemaVersion"`
	Benchmark     guide     `json:"benchmark"`
	Target        target    `json:"target"`
	Tool          Tool      `json:"tool"`
	Started       time.Time `json:"started"`
	Ended         time.Time `json:"ended"`
	Summary       Summary   `json:"summary"`
	Results       []result  `json:"results"`
}

type guide struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Release string `json:"release"` // "V2R2"
	Date    string `json:"date"`
}

type target struct {
	Engine   string `json:"engine"`
	Edition  string `json:"edition,omitempty"`
	HostName string `json:"hostName,omitempty"`
	FQDN     string `json:"fqdn,omitempty"`
	IP       string `json:"ip,omitempty"`
	MAC      string `json:"mac,omitempty"`
}

// A Tool names the program that made a report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// A Summary counts requirements.
type Summary struct {
	Open          int            `json:"open"`
	NotReviewed   int            `json:"notReviewed"`
	NotAFinding   int            `json:"notAFinding"`
	NotApplicable int            `json:"notApplicable"`
	OpenByCAT     map[string]int `json:"openByCat"` // keys I, II and III
}

type result struct {
	VulnID   string         `json:"vulnId"`
	StigID   stig.ID        `json:"stigId"`
	RuleID   string         `json:"ruleId"`
	Severity stig.Severity  `json:"severity"`
	Status   stig.Status    `json:"status"`
	Title    string         `json:"title"`
	Details  string         `json:"details"`
	Findings []stig.Finding `json:"findings"`
	CCIs     []string       `json:"ccis"`

	Component string   `json:"component"`
	Facts     string   `json:"facts"` // hash of what was found: an answer in site.yaml may rest on it
	Comments  []string `json:"comments,omitempty"`
	Waived    bool     `json:"waived,omitempty"`
}

// Summarize counts a checklist's requirements.
func Summarize(c scan.Checklist) Summary {
	return Summary{
		Open:          c.Count(stig.Open),
		NotReviewed:   c.Count(stig.NotReviewed),
		NotAFinding:   c.Count(stig.NotAFinding),
		NotApplicable: c.Count(stig.NotApplicable),
		OpenByCAT: map[string]int{
			"I":   c.Open(stig.CATI),
			"II":  c.Open(stig.CATII) - c.Open(stig.CATI),
			"III": c.Open(stig.CATIII) - c.Open(stig.CATII),
		},
	}
}

func writeJSON(w io.Writer, c scan.Checklist, o Options) error {
	doc := document{
		SchemaVersion: schemaVersion,
		Benchmark:     guide{c.Benchmark.ID, c.Benchmark.Title, c.Benchmark.ReleaseName(), c.Benchmark.Date},
		Target:        target{c.Target, c.Edition, c.Asset.HostName, c.Asset.FQDN, c.Asset.IP, c.Asset.MAC},
		Tool:          o.Tool,
		Started:       c.Started,
		Ended:         c.Ended,
		Summary:       Summarize(c),
		Results:       []result{},
	}
	for _, r := range c.Results {
		doc.Results = append(doc.Results, result{
			r.VulnID, r.StigID, r.RuleID, r.Severity, r.Status, r.Title, r.Details, r.Findings, r.CCIs,
			r.Component, r.Facts, r.Comments, r.Waived,
		})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(doc)
}
