package command

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/command"

	"github.com/docker-stig/docker-stig/shared/admission"
)

// allowedName is what is allowed, as a person writes it.
func allowedName(a admission.Allowance) string {
	name := a.Repository
	if ref, err := reference.ParseNormalizedNamed(name); err == nil {
		name = reference.FamiliarString(ref)
	}
	return name + "@" + a.Digest.String()
}

// writeAllowance says in plain words what is about to be opened, and what not.
func writeAllowance(w io.Writer, a admission.Allowance, now time.Time) error {
	p := paragraph{title: "Break-glass: this runs on this machine although nobody vouches for it"}
	p.add("Image", "%s", allowedName(a))
	p.add("Until", "%s", everywhere(a.Until, now))
	p.add("Reason", "%s", a.Reason)
	p.add("Author", "%s", a.Author)
	p.add("Opens", "pulling, making and starting containers of this digest, in this repository\nof this name; each use is logged with reason and author")
	p.add("Not", "what the policy revokes: that stays refused\nwhat self-protection refuses, such as --privileged: that stays refused\nany tag: it can move to other content\nany row of a checklist: this is no signature, and no finding goes away by it\nstarts after its end: its containers are not approved")
	return writeParagraphs(w, []paragraph{p})
}

// everywhere is a time in UTC and as the clock on the wall here has it.
func everywhere(t, now time.Time) string {
	const layout = "2006-01-02 15:04 MST"
	text := t.UTC().Format(layout)
	if here := t.Local().Format(layout); here != text {
		text += ", which is " + here + " here"
	}
	return fmt.Sprintf("%s (%s)", text, away(t.Sub(now)))
}

// A listedAllowance is an allowance with what it does now, for a program.
type listedAllowance struct {
	admission.Allowance
	Holds bool `json:"holds"`
}

func runAuthzAllowList(dockerCLI command.Cli, f format, now time.Time) error {
	list, err := allowances().List()
	if err != nil {
		return withSudo(err)
	}
	slices.SortStableFunc(list, func(a, b admission.Allowance) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Repository, b.Repository))
	})
	if f == jsonFormat {
		return writeAllowancesJSON(dockerCLI.Out(), list, now)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(dockerCLI.Out(), "Nothing is allowed by break-glass.")
		return err
	}
	var paragraphs []paragraph
	for _, a := range list {
		p := paragraph{title: allowedName(a)}
		switch {
		case a.Holds(now):
			p.add("Until", "%s", everywhere(a.Until, now))
		case now.Before(a.Until):
			p.add("Closed", "it was made on %s, later than this machine's clock says: how long it has lasted cannot be told", dated(a.Made, now))
		default:
			p.add("Ended", "%s", everywhere(a.Until, now))
		}
		p.add("Reason", "%s", a.Reason)
		p.add("Author", "%s, on %s", a.Author, dated(a.Made, now))
		paragraphs = append(paragraphs, p)
	}
	return writeParagraphs(dockerCLI.Out(), paragraphs)
}

func writeAllowancesJSON(w io.Writer, list []admission.Allowance, now time.Time) error {
	listed := []listedAllowance{}
	for _, a := range list {
		listed = append(listed, listedAllowance{Allowance: a, Holds: a.Holds(now)})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(listed)
}
