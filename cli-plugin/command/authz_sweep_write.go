package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// writeTable names what a person has to see to, and counts the rest.
func (s *swept) writeTable(w io.Writer, all bool, now time.Time) error {
	var paragraphs []paragraph
	for _, list := range []struct {
		title      string
		containers []*sweptContainer
		shown      bool
	}{
		{"Run, and would be refused now:", s.refused, true},
		{"Could not be judged, and run:", s.unanswered, true},
		{"Do not run, and would be refused at start:", s.waiting, all},
	} {
		if len(list.containers) == 0 || !list.shown {
			continue
		}
		paragraphs = append(paragraphs, paragraph{title: list.title})
		for _, c := range list.containers {
			paragraphs = append(paragraphs, c.paragraph(now))
		}
	}
	return writeParagraphs(w, append(paragraphs, paragraph{title: s.sum(all)}))
}

// sum is the answer in a line.
func (s *swept) sum(all bool) string {
	parts := []string{
		count(len(s.refused), "runs that would be refused", "run that would be refused"),
		count(len(s.unanswered), "runs that could not be judged", "run that could not be judged"),
	}
	if s.allowed > 0 {
		parts = append(parts, count(s.allowed, "runs by break-glass", "run by break-glass"))
	}
	waiting := count(len(s.waiting), "does not run and would be refused at start", "do not run and would be refused at start")
	if len(s.waiting) > 0 && !all {
		waiting += " (--all names them)"
	}
	return "Judged " + count(s.judged, "container", "containers") + ": " + strings.Join(append(parts, waiting), ", ")
}

func (c *sweptContainer) paragraph(now time.Time) paragraph {
	p := paragraph{title: fmt.Sprintf("%s (%.12s)", c.name, c.id)}
	if c.image != "" {
		p.add("Image", "%s", printable(c.image))
	}
	p.add("Reason", "%s", reasonOf(c.err))
	if next := c.next(); next != "" {
		p.add("Next", "%s", next)
	}
	if !c.since.IsZero() {
		p.add("Since", "%s", dated(c.since, now))
	}
	if again := c.again(); again != "" {
		p.add("Restart", "%s", again)
	}
	if c.service != "" {
		p.add("Service", "%s", c.replaced())
	}
	return p
}

// next is what to do about the image. A refused configuration says itself
// which setting would allow it.
func (c *sweptContainer) next() string {
	if !isTrustError(c.err) {
		return ""
	}
	return trust.Advice(c.err)
}

// restarts says what becomes of a stopped container by its restart policy. One
// that was stopped by a signal has ended with an error.
var restarts = map[container.RestartPolicyMode]string{
	container.RestartPolicyAlways:    "once stopped, it starts again when the engine starts, which asks nobody",
	container.RestartPolicyOnFailure: "once stopped, it may start again when the engine starts, which asks nobody",
}

// again says how a stopped container comes back, and how to keep it from that.
func (c *sweptContainer) again() string {
	text, ok := restarts[c.restart]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s: %s; what keeps it from that: docker update --restart=no %s, or docker rm %[3]s", c.restart, text, c.name)
}

// replaced says that a swarm keeps up the number of its tasks.
func (c *sweptContainer) replaced() string {
	name := printable(c.service)
	return fmt.Sprintf("%s: its swarm starts another when this one is stopped; on a manager: docker service update --image IMAGE@DIGEST %[1]s, or docker service rm %[1]s", name)
}

// writeStopped reports what became of each that was to be stopped.
func (s *swept) writeStopped(w io.Writer) error {
	var b strings.Builder
	for _, c := range s.refused {
		if c.stopErr != nil {
			fmt.Fprintf(&b, "Not stopped: %s (%.12s): %v\n", c.name, c.id, c.stopErr)
			continue
		}
		fmt.Fprintf(&b, "Stopped %s (%.12s)\n", c.name, c.id)
		if again := c.again(); again != "" {
			fmt.Fprintf(&b, "  restart policy %s\n", again)
		}
		if c.service != "" {
			fmt.Fprintf(&b, "  service %s\n", c.replaced())
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// A jsonSwept is what a sweep has found, for a program.
type jsonSwept struct {
	Judged     int
	Allowed    int                  // run by break-glass
	Refused    []jsonSweptContainer // run, and would be refused
	Unanswered []jsonSweptContainer // run, and could not be judged
	NotRunning int                  // would be refused at start
	Waiting    []jsonSweptContainer `json:",omitempty"` // those, with --all
}

type jsonSweptContainer struct {
	ID      string
	Name    string
	Image   string
	Since   string                      `json:",omitempty"` // RFC 3339, UTC
	Restart container.RestartPolicyMode `json:",omitempty"`
	Service string                      `json:",omitempty"` // of a swarm
	Reason  trust.Reason                `json:",omitempty"` // of its image
	Error   string
	Next    string `json:",omitempty"`
	Stopped bool
	// StopError says why it was not stopped.
	StopError string `json:",omitempty"`
}

func (s *swept) writeJSON(w io.Writer, all bool) error {
	out := jsonSwept{Judged: s.judged, Allowed: s.allowed, Refused: inJSON(s.refused), Unanswered: inJSON(s.unanswered), NotRunning: len(s.waiting)}
	if all {
		out.Waiting = inJSON(s.waiting)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

func inJSON(list []*sweptContainer) []jsonSweptContainer {
	out := []jsonSweptContainer{}
	for _, c := range list {
		one := jsonSweptContainer{
			ID: c.id, Name: c.name, Image: c.image, Restart: c.restart, Service: c.service,
			Error: c.err.Error(), Next: c.next(), Stopped: c.stopped, StopError: textOf(c.stopErr),
		}
		if !c.since.IsZero() {
			one.Since = c.since.UTC().Format(time.RFC3339)
		}
		if refused := new(trust.Error); errors.As(c.err, &refused) {
			one.Reason = refused.Reason
		}
		out = append(out, one)
	}
	return out
}
