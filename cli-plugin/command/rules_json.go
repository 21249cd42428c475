package command

import (
	"encoding/json"
	"io"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
)

// rulesSchema grows when a field of jsonRules changes its meaning or goes
// away, not when one is added.
const rulesSchema = "1.0"

// jsonRules are requirements for a program. What a checklist in JSON says of a
// requirement too has the same names there.
type jsonRules struct {
	SchemaVersion string     `json:"schemaVersion"`
	Benchmark     jsonGuide  `json:"benchmark"`
	Requirements  []jsonRule `json:"requirements"`
}

type jsonGuide struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Release string `json:"release"` // "V2R2"
	Date    string `json:"date"`
	Note    string `json:"note"`
}

type jsonRule struct {
	benchmark.Requirement

	DISA *jsonDISA `json:"disa,omitempty"`
}

// jsonDISA are DISA's own texts of one rule, and the release they are from.
type jsonDISA struct {
	Release string `json:"release"`
	benchmark.Texts
}

func writeRulesJSON(w io.Writer, guide benchmark.Benchmark, requirements []benchmark.Requirement, manual *benchmark.Guide) error {
	out := jsonRules{
		SchemaVersion: rulesSchema,
		Benchmark:     jsonGuide{guide.ID, guide.Title, guide.ReleaseName(), guide.Date, guide.Note},
		Requirements:  []jsonRule{},
	}
	for _, r := range requirements {
		if r.CIS == nil {
			r.CIS = map[string][]string{}
		}
		rule := jsonRule{Requirement: r}
		if texts, ok := textsOf(manual, r); ok {
			rule.DISA = &jsonDISA{manual.ReleaseName(), texts}
		}
		out.Requirements = append(out.Requirements, rule)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

// textsOf gives DISA's texts of a requirement, if there is a file that has
// them: V2R1 has no DKER-EE-999999.
func textsOf(manual *benchmark.Guide, r benchmark.Requirement) (benchmark.Texts, bool) {
	if manual == nil {
		return benchmark.Texts{}, false
	}
	texts, ok := manual.Rules[r.StigID]
	return texts, ok
}
