package command

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
)

func (s status) writeTable(w io.Writer) error {
	paragraphs := append(s.engineParagraphs(), s.head())
	for _, carried := range s.known {
		p := paragraph{title: carried.GUN}
		if carried.Err != nil {
			p.add("Status", "starts are refused")
			p.addRefusal(carried.Err)
			paragraphs = append(paragraphs, p)
			continue
		}
		yes, no := vouchedFor(carried.Repository)
		p.add("Status", "accepted")
		p.add("Source", "%s", sources[carried.Source])
		p.add("Tags", "%s", someTags(yes))
		if len(no) > 0 {
			p.add("Refused", "%s", someTags(no))
		}
		p.add("Until", "%s", s.until(carried))
		if warning := s.warning(carried); warning != "" {
			p.add("Warning", "%s", warning)
		}
		paragraphs = append(paragraphs, p)
	}
	return writeParagraphs(w, paragraphs)
}

func (s status) head() paragraph {
	p := paragraph{title: "What docker-stig-authz goes by, as its files tell"}
	p.add("Policy", "%s", s.policyPath)
	if s.policyErr != nil {
		p.add("", "could not be read: %v", withSudo(s.policyErr))
		p.add("", "without a policy docker-stig-authz denies whatever it would have to judge")
	} else {
		pins, lists := s.scopes()
		p.add("Mode", "%s", s.policy.ContentTrust.Mode)
		p.add("Scopes", "%d: %d pinned by keys or certificates, %d with digests", pins+lists, pins, lists)
	}
	p.add("Logins", "%s", s.authPath)
	switch {
	case s.hostsErr != nil:
		p.add("", "could not be read: %v", withSudo(s.hostsErr))
	case len(s.hosts) == 0:
		p.add("", "none")
	default:
		p.add("", "%s", strings.Join(s.hosts, ", "))
	}
	p.add("State", "%s", s.state)
	switch {
	case s.knownErr != nil:
		p.add("", "could not be read: %v", withSudo(s.knownErr))
	case s.policyErr != nil:
		p.add("", "what is kept there cannot be judged without a policy")
	default:
		p.add("", "%s known, %d refused already", count(len(s.known), "repository", "repositories"), s.refused())
	}
	return p
}

func (s status) refused() int {
	n := 0
	for _, carried := range s.known {
		if carried.Err != nil {
			n++
		}
	}
	return n
}

// A jsonStatus is the status for a program. What was not looked at is not in it.
type jsonStatus struct {
	jsonEnforcing

	Policy       jsonPolicy
	Logins       jsonLogins
	State        jsonState
	Repositories []jsonKnown
}

type jsonPolicy struct {
	Path    string
	Mode    string `json:",omitempty"`
	Pins    int    // patterns with keys or certificates
	Digests int    // patterns with a list of digests
	Error   string `json:",omitempty"`
}

type jsonLogins struct {
	Path  string
	Hosts []string
	Error string `json:",omitempty"`
}

type jsonState struct {
	Path  string
	Error string `json:",omitempty"`
}

type jsonKnown struct {
	Name        string
	Accepted    bool
	Source      trust.Source `json:",omitempty"` // cache: of its trust server; bundle
	Tags        []string     // that are vouched for
	RefusedFrom string       `json:",omitempty"` // RFC 3339, UTC; absent: never, or already
	Warning     string       `json:",omitempty"`
	Reason      trust.Reason `json:",omitempty"` // why starts are refused already
	Error       string       `json:",omitempty"`
}

func (s status) writeJSON(w io.Writer) error {
	out := jsonStatus{
		jsonEnforcing: s.engine.json(),
		Policy:        jsonPolicy{Path: s.policyPath, Error: textOf(s.policyErr)},
		Logins:        jsonLogins{Path: s.authPath, Hosts: append([]string{}, s.hosts...), Error: textOf(s.hostsErr)},
		State:         jsonState{Path: s.state, Error: textOf(s.knownErr)},
		Repositories:  []jsonKnown{},
	}
	if s.policy != nil {
		out.Policy.Mode = string(s.policy.ContentTrust.Mode)
		out.Policy.Pins, out.Policy.Digests = s.scopes()
	}
	for _, carried := range s.known {
		yes, _ := vouchedFor(carried.Repository)
		known := jsonKnown{Name: carried.GUN, Accepted: carried.Err == nil, Source: carried.Source, Tags: append([]string{}, yes...), Warning: s.warning(carried), Error: textOf(carried.Err)}
		if refused := new(trust.Error); errors.As(carried.Err, &refused) {
			known.Reason = refused.Reason
		}
		if known.Accepted && !carried.Until.IsZero() {
			known.RefusedFrom = carried.Until.UTC().Format(time.RFC3339)
		}
		out.Repositories = append(out.Repositories, known)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, fs.ErrPermission) {
		err = withSudo(err)
	}
	return err.Error()
}
