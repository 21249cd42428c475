package site

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// An Asset says what the machine is called in evidence, where what it says of
// itself will not do.
type Asset struct {
	HostName       string `yaml:"host-name"`
	IP             string `yaml:"ip"`
	MAC            string `yaml:"mac"`
	FQDN           string `yaml:"fqdn"`
	Comment        string `yaml:"comment"`
	TechnologyArea string `yaml:"technology-area"` // as STIG Viewer lists them
	Marking        string `yaml:"marking"`         // such as CUI
}

// A Date is a day, and what it dates is valid through its end in UTC. The zero
// Date is none.
type Date struct{ time.Time }

// UnmarshalYAML reads YYYY-MM-DD.
func (d *Date) UnmarshalYAML(text []byte) error {
	value := trimQuotes(strings.TrimSpace(string(text)))
	day, err := time.Parse(time.DateOnly, value)
	if err != nil {
		return fmt.Errorf("%q is no date: want YYYY-MM-DD", value)
	}
	d.Time = day
	return nil
}

// Past reports whether the day is over.
func (d Date) Past(now time.Time) bool { return !d.IsZero() && !now.Before(d.Ends()) }

// Ends is the first moment after the day.
func (d Date) Ends() time.Time { return d.AddDate(0, 0, 1) }

// String is the day, YYYY-MM-DD.
func (d Date) String() string { return d.Format(time.DateOnly) }

// An Answer settles a requirement that the program leaves to a person.
type Answer struct {
	Status  stig.Status `yaml:"status"`
	Comment string      `yaml:"comment"`
	By      string      `yaml:"by"`
	Expires Date        `yaml:"expires"`
	// When is the status that the program is expected to come to; without it
	// Not_Reviewed.
	When stig.Status `yaml:"when"`
	// Facts is the hash of what the program found when the answer was given,
	// as check prints it; empty: whatever it finds.
	Facts string `yaml:"facts"`
}

// A Waiver accepts the risk of an open requirement, and leaves it open.
type Waiver struct {
	Rule stig.ID `yaml:"rule"`
	// Objects are patterns of what the waiver is for, such as "container
	// legacy-*"; without them it is for all.
	Objects  []string `yaml:"objects"`
	Reason   string   `yaml:"reason"`
	Approver string   `yaml:"approver"`
	Ticket   string   `yaml:"ticket"`
	Expires  Date     `yaml:"expires"`
}

// For reports whether the waiver is for an object of a finding.
func (w Waiver) For(object string) bool {
	if len(w.Objects) == 0 {
		return true
	}
	name, _, _ := strings.Cut(object, " (") // whose it is may stand behind: "container web (service shop)"
	return slices.ContainsFunc(w.Objects, func(pattern string) bool {
		whole, err := path.Match(pattern, object)
		bare, bareErr := path.Match(pattern, name)
		return whole && err == nil || bare && bareErr == nil
	})
}

// A Citation names the checklist in which components were assessed for the
// whole cluster.
type Citation struct {
	Components []string `yaml:"components"` // ucp, dtr, swarm or org
	Checklist  string   `yaml:"checklist"`  // its file or title
	By         string   `yaml:"by"`
	Expires    Date     `yaml:"expires"`
}

// wrongWord finds the date or status that is none, for the error of the parser
// does not say where it is.
func wrongWord(name string, raw []byte) error {
	type words struct{ Status, When, Expires string }
	var loose struct {
		Answers    map[string]words
		Waivers    []words
		AssessedIn words `yaml:"assessed-in"`
	}
	if yaml.Unmarshal(raw, &loose) != nil {
		return nil
	}
	all := map[string]words{"$.assessed-in": loose.AssessedIn}
	for id, w := range loose.Answers {
		all["$.answers."+id] = w
	}
	for i, w := range loose.Waivers {
		all[fmt.Sprintf("$.waivers[%d]", i)] = w
	}
	for _, at := range slices.Sorted(maps.Keys(all)) {
		w := all[at]
		if _, err := time.Parse(time.DateOnly, w.Expires); w.Expires != "" && err != nil {
			return fault(name, raw, at+".expires", "%q is no date: want YYYY-MM-DD", w.Expires)
		}
		for key, word := range map[string]string{"status": w.Status, "when": w.When} {
			if err := new(stig.Status).UnmarshalText([]byte(word)); word != "" && err != nil {
				return fault(name, raw, at+"."+key, "%v: want Open, NotAFinding, Not_Applicable or Not_Reviewed", err)
			}
		}
	}
	return nil
}

// factsHash is a hash as check prints it.
var factsHash = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// A complaint is what is wrong with a value, and where.
type complaint struct{ path, message string }

// complaints are about what types cannot say of values, answers, waivers and
// the citation.
func (s Site) complaints() []complaint {
	var found []complaint
	add := func(wrong bool, path, format string, args ...any) {
		if wrong {
			found = append(found, complaint{path, fmt.Sprintf(format, args...)})
		}
	}
	add(!slices.Contains(technologyAreas, s.Asset.TechnologyArea), "$.asset.technology-area", "STIG Viewer knows no technology area %q: want one of %s", s.Asset.TechnologyArea, strings.Join(technologyAreas[1:], ", "))
	add(!slices.Contains([]string{"", "guide", "judge", "skip"}, s.Containers.System), "$.containers.system", "%q is no way to judge containers of UCP and DTR: want guide, judge or skip", s.Containers.System)
	if expiry := s.Swarm.NodeCertExpiry; expiry != "" {
		d, err := time.ParseDuration(expiry)
		add(err != nil || d <= 0, "$.swarm.node-cert-expiry", "%q is no lifetime: want hours, such as 2160h for 90 days", expiry)
	}
	for _, limits := range []limitList{memoryLimits, cpuShares, pidsLimits} {
		found = append(found, limits.complaints(s.Containers)...)
	}
	for id, a := range s.Answers {
		at := fmt.Sprintf("$.answers.%s", id)
		add(!stigID.MatchString(string(id)), at, "%q is no STIG ID: want DKER-EE- and six digits", id)
		add(a.Status == stig.NotReviewed, at, "an answer needs a status: NotAFinding, Open or Not_Applicable")
		add(a.By == "" || a.Comment == "", at, "an answer needs by (who gave it) and comment (why it is so)")
		add(a.Facts != "" && !factsHash.MatchString(a.Facts), at+".facts", "want the hash as docker stig check --format json prints it: sha256:…")
	}
	for i, w := range s.Waivers {
		at := fmt.Sprintf("$.waivers[%d]", i)
		add(!stigID.MatchString(string(w.Rule)), at, "a waiver needs rule, a STIG ID such as DKER-EE-002010")
		add(w.Reason == "" || w.Approver == "" || w.Expires.IsZero(), at, "a waiver needs reason, approver and expires (YYYY-MM-DD)")
		for j, pattern := range w.Objects {
			_, err := path.Match(pattern, "")
			add(err != nil, fmt.Sprintf("%s.objects[%d]", at, j), "%q is no pattern", pattern)
		}
	}
	if c := s.AssessedIn; c != nil {
		add(c.Checklist == "" || c.By == "" || len(c.Components) == 0, "$.assessed-in", "assessed-in needs components, checklist and by")
		for i, component := range c.Components {
			add(!citable[component], fmt.Sprintf("$.assessed-in.components[%d]", i), "%q is not assessed for a cluster: want ucp, dtr, swarm or org", component)
		}
	}
	return found
}

// technologyAreas are those that DISA's checklist schema 2.5 knows.
var technologyAreas = []string{
	"", "Application Review", "Boundary Security", "CDS Admin Review", "CDS Technical Review", "Database Review",
	"Domain Name System (DNS)", "Exchange Server", "Host Based System Security (HBSS)", "Internal Network", "Mobility",
	"Releasable Networks (REL)", "Releaseable Networks (REL)", "Traditional Security", "UNIX OS", "VVOIP Review", "Web Review",
	"Windows OS", "Other Review",
}

var (
	stigID  = regexp.MustCompile(`^DKER-EE-[0-9]{6}$`)
	citable = map[string]bool{"ucp": true, "dtr": true, "swarm": true, "org": true}
)

func trimQuotes(text string) string {
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}
