package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// maxAnswer bounds what evidence shows of one container.
const maxAnswer = 2 << 10 // bytes; dozens of mounts

// A containerRule judges containers one by one. A container without a fault
// gets no finding of its own: a host has hundreds.
type containerRule struct {
	id      stig.ID
	also    stig.ID // asks for the same; empty: none does
	running bool    // only those that run
	// filtered: the guide's check leaves out the lines of docker ps that name
	// ucp, kube or dtr. What they name is a part of UCP or DTR.
	filtered bool
	asked    string                   // the field that is judged, for the evidence
	answer   func(host.Container) any // what it says; nil: see what was found
	// judge gives what is wrong with a container, "" if nothing.
	judge func(ctx context.Context, h *host.Host, c host.Container) (string, error)
	// list is that of site.yaml which says what containers may have; nil: none.
	list *siteList
	// engine judges what the engine does to all of them; nil: nothing.
	engine func(ctx context.Context, h *host.Host) (stig.Finding, error)
	// aside is what the summary counts beside those that pass; "": nothing.
	aside func(c host.Container) string
}

// judgeContainers judges each container, and sums up those that pass.
func judgeContainers(ctx context.Context, h *host.Host, r containerRule) ([]stig.Finding, error) {
	if err := r.list.validate(h.Site.Containers); err != nil {
		return nil, err
	}
	containers, err := h.Containers(ctx)
	if err != nil {
		return nil, err
	}
	sum := containerSummary{asides: map[string]int{}}
	var findings []stig.Finding
	for _, c := range containers {
		switch {
		case leftOut(h, r, c):
			sum.left++
		case c.Err != nil:
			findings = append(findings, stig.Finding{Object: objectOf(c), Details: c.Err.Error()})
		case r.running && c.State == nil:
			findings = append(findings, stig.Finding{Object: objectOf(c), Details: "whether it runs is unknown: the engine's answer has no state; look at docker inspect"})
		case r.running && !c.Runs():
		default:
			if f := r.judgeOne(ctx, h, c, &sum); f != nil {
				findings = append(findings, *f)
			}
		}
	}
	findings = append([]stig.Finding{r.summary(sum)}, findings...)
	if r.engine == nil {
		return findings, nil
	}
	f, err := r.engine(ctx, h)
	if err != nil {
		f = stig.Finding{Details: err.Error()}
	}
	f.Object = "engine"
	return append(findings, f), nil
}

// judgeOne gives a finding of its own to a container that does not pass.
func (r containerRule) judgeOne(ctx context.Context, h *host.Host, c host.Container, sum *containerSummary) *stig.Finding {
	fault, err := r.judge(ctx, h, c)
	switch {
	case err != nil:
		return &stig.Finding{Object: objectOf(c), Details: err.Error(), Evidence: r.evidence(c, err.Error())}
	case fault != "":
		return &stig.Finding{Object: objectOf(c), Status: stig.Open, Details: fault + ownerAdvice(c), Evidence: r.evidence(c, fault)}
	}
	sum.passed++
	if r.aside != nil {
		if aside := r.aside(c); aside != "" {
			sum.asides[aside]++
		}
	}
	return nil
}

// evidence is the judged field as the engine gave it, and what was found where
// no field holds it.
func (r containerRule) evidence(c host.Container, fault string) []stig.Fact {
	answer := fault
	if r.answer != nil {
		raw, err := json.Marshal(r.answer(c))
		if err != nil {
			raw = []byte("it cannot be written: " + err.Error())
		}
		answer = string(raw)
	}
	if len(answer) > maxAnswer {
		answer = strings.ToValidUTF8(answer[:maxAnswer], "") + " …"
	}
	return []stig.Fact{{Source: "engine", Asked: r.asked + " of container " + c.Title(), Answer: answer}}
}

// leftOut reports whether a container of UCP or DTR is not judged.
func leftOut(h *host.Host, r containerRule, c host.Container) bool {
	if c.System == "" {
		return false
	}
	switch h.Site.Containers.System {
	case "judge":
		return false
	case "skip":
		return true
	default:
		return r.filtered
	}
}

// Labels by which swarm and compose mark what they make.
const (
	serviceLabel = "com.docker.swarm.service.name"
	projectLabel = "com.docker.compose.project"
)

func labelOf(c host.Container, name string) string {
	if c.Config == nil {
		return "" // it could not be inspected
	}
	return c.Config.Labels[name]
}

// objectOf names a container in a finding, and what made it.
func objectOf(c host.Container) string {
	object := "container " + c.Title()
	switch service, project := labelOf(c, serviceLabel), labelOf(c, projectLabel); {
	case service != "":
		object += " (service " + service + ")"
	case project != "":
		object += " (compose project " + project + ")"
	}
	return object
}

// ownerAdvice says that a container which something else makes comes back as
// it was.
func ownerAdvice(c host.Container) string {
	switch service, project := labelOf(c, serviceLabel), labelOf(c, projectLabel); {
	case service != "":
		return "; change it in service " + service + ", which makes its containers"
	case project != "":
		return "; change it in the compose file of project " + project
	default:
		return ""
	}
}

// A containerSummary counts the containers that need no finding of their own.
type containerSummary struct {
	passed, left int
	asides       map[string]int
}

// summary is what is said of the containers that pass.
func (r containerRule) summary(s containerSummary) stig.Finding {
	kind := "containers"
	if r.running {
		kind = "running containers"
	}
	details := fmt.Sprintf("%d %s pass", s.passed, kind)
	if s.left > 0 {
		details += fmt.Sprintf("; %d of UCP and DTR were left out", s.left)
	}
	for _, aside := range slices.Sorted(maps.Keys(s.asides)) {
		details += fmt.Sprintf("; %d %s", s.asides[aside], aside)
	}
	fact := stig.Fact{Source: "engine", Asked: r.asked + " of each of the " + kind, Answer: fmt.Sprintf("nothing to find fault with in %d", s.passed)}
	return stig.Finding{Status: stig.NotAFinding, Details: details, Evidence: []stig.Fact{fact}}
}

// rule makes a Rule of it. The steps are those that judge; which containers
// are judged are steps of their own.
func (r containerRule) rule(steps []Step, readings ...string) Rule {
	which := []Step{{"all containers are listed, running or not, and each is inspected", "judgeContainers"}}
	if r.running {
		which = []Step{{"the running containers are listed, and each is inspected", "judgeContainers"}}
	}
	if r.filtered {
		which = append(which, Step{"lines of docker ps that name ucp, kube or dtr are left out", "leftOut"})
		readings = append(readings, systemReading)
	}
	ids := []stig.ID{r.id}
	if r.also != "" {
		ids = append(ids, r.also)
	}
	check := func(ctx context.Context, h *host.Host) ([]stig.Finding, error) { return judgeContainers(ctx, h, r) }
	return Rule{IDs: ids, Check: check, Steps: slices.Concat(which, steps), Readings: readings, Fix: fixContainers(r.id, check), Containers: true}
}

// systemReading is that of every rule whose check filters docker ps.
const systemReading = "The guide's filter drops every line with ucp, kube or dtr in it, so a container called kubernetes-dashboard, or one that names itself dtr, escapes it. What is left out here are the containers that labels or images show to be parts of UCP and DTR, and on a node of UCP the pods in kube-system; they are counted. containers.system in site.yaml judges or skips all of them."
