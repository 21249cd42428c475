// Package stig holds the words of DISA's checklists: identifiers, severities,
// statuses and findings. It decides nothing; both programs and every rule
// speak through it. The terms are those of DISA's STIG Viewer checklist
// (CKL), version 2.
package stig

import (
	"fmt"
	"strings"
	"time"
)

// An ID names a requirement: the STIG ID of DISA's guide, such as
// "DKER-EE-001770" (the version element of an XCCDF rule).
type ID string

// The three requirements about signed content that the project exists for.
const (
	VendorSigned  ID = "DKER-EE-001770" // V-235788
	RegistryTags  ID = "DKER-EE-004260" // V-235846
	TrustEnforced ID = "DKER-EE-004370" // V-235847
)

// Severity is DISA's category of a requirement. The zero value is unset.
type Severity int

// CAT I is the most severe. In XCCDF the three are high, medium and low.
const (
	CATI Severity = iota + 1
	CATII
	CATIII
)

// String gives the name a checklist prints, such as "CAT II".
func (s Severity) String() string {
	switch s {
	case CATI:
		return "CAT I"
	case CATII:
		return "CAT II"
	case CATIII:
		return "CAT III"
	default:
		return "CAT ?"
	}
}

// XCCDF gives the XCCDF severity: high, medium or low.
func (s Severity) XCCDF() string {
	switch s {
	case CATI:
		return "high"
	case CATII:
		return "medium"
	case CATIII:
		return "low"
	default:
		return "unknown"
	}
}

// UnmarshalText reads what ParseSeverity does.
func (s *Severity) UnmarshalText(text []byte) error {
	parsed, err := ParseSeverity(string(text))
	*s = parsed
	return err
}

// MarshalText writes XCCDF's word, as checklists do.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.XCCDF()), nil }

// ParseSeverity reads "CAT II", "II", "2" or the XCCDF word "medium", in
// either case.
func ParseSeverity(text string) (Severity, error) {
	switch strings.TrimSpace(strings.TrimPrefix(strings.ToUpper(text), "CAT")) {
	case "I", "1", "HIGH":
		return CATI, nil
	case "II", "2", "MEDIUM":
		return CATII, nil
	case "III", "3", "LOW":
		return CATIII, nil
	default:
		return 0, fmt.Errorf("%q is no severity: want I, II or III", text)
	}
}

// Status is the answer a checklist gives to one requirement. The zero value
// is NotReviewed, so that what nobody set claims nothing.
type Status int

// The statuses in the order of a checklist's caution: the worst of several
// findings decides a requirement (see Worst).
const (
	NotReviewed Status = iota
	NotApplicable
	NotAFinding
	Open
)

var statusNames = map[Status]string{
	NotReviewed:   "Not_Reviewed",
	NotApplicable: "Not_Applicable",
	NotAFinding:   "NotAFinding",
	Open:          "Open",
}

// String gives the word of a CKL file, such as "Not_Reviewed".
func (s Status) String() string {
	if name, ok := statusNames[s]; ok {
		return name
	}
	return fmt.Sprintf("Status(%d)", int(s))
}

// MarshalText writes the word of a CKL file.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word of a CKL file.
func (s *Status) UnmarshalText(text []byte) error {
	for status, name := range statusNames {
		if name == string(text) {
			*s = status
			return nil
		}
	}
	return fmt.Errorf("%q is no checklist status", text)
}

// Fact is one piece of evidence: what was asked, of whom, and what came back.
// Only fields that were judged belong in it; secrets never do.
type Fact struct {
	Source string `json:"source"` // who was asked: "engine", "dpkg", "https://ucp.example.com"
	Asked  string `json:"asked"`  // what: "GET /api/ucp/config-toml", a path, a key
	Answer string `json:"answer"` // the judged part of what came back
}

// A Finding is what a rule says of one object it judged.
type Finding struct {
	Object   string    `json:"object,omitempty"` // container, file, repository:tag; empty: the host
	Status   Status    `json:"status"`
	Details  string    `json:"details"`
	Evidence []Fact    `json:"evidence,omitempty"`
	Expires  time.Time `json:"expires,omitzero"` // when what it rests on ends, UTC
}

// Worst is the status of a requirement with these findings: Open if any is;
// then NotReviewed if any is, because an unanswered object may yet be open;
// then NotAFinding; NotApplicable only if all are. Without findings it is
// NotReviewed.
func Worst(findings []Finding) Status {
	rank := map[Status]int{NotApplicable: 1, NotAFinding: 2, NotReviewed: 3, Open: 4}
	worst := NotReviewed
	for i, f := range findings {
		if i == 0 || rank[f.Status] > rank[worst] {
			worst = f.Status
		}
	}
	return worst
}
