package rules

import (
	"context"
	"fmt"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A containerRule judges containers one by one. A container without a fault
// gets no finding of its own: a host has hundreds.
type containerRule struct {
	id      stig.ID
	running bool // only those that run
	// filtered: the guide's check leaves out the lines of docker ps that name
	// ucp, kube or dtr. What they name is a part of UCP or DTR.
	filtered bool
	// judge gives what is wrong with a container, "" if nothing.
	judge func(ctx context.Context, h *host.Host, c host.Container) (string, error)
	asked string // the field that is judged, for the evidence
}

// check judges each container, and sums up those that pass.
func (r containerRule) check(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	containers, err := h.Containers(ctx)
	if err != nil {
		return nil, err
	}
	var findings []stig.Finding
	var passed, left int
	for _, c := range containers {
		switch {
		case c.Err != nil:
			findings = append(findings, stig.Finding{Object: "container " + c.Title(), Details: c.Err.Error()})
			continue
		case r.leavesOut(h, c):
			left++
			continue
		case r.running && !c.Runs():
			continue
		}
		fault, err := r.judge(ctx, h, c)
		switch {
		case err != nil:
			findings = append(findings, stig.Finding{Object: "container " + c.Title(), Details: err.Error()})
		case fault != "":
			findings = append(findings, stig.Finding{
				Object: "container " + c.Title(), Status: stig.Open, Details: fault,
				Evidence: []stig.Fact{{Source: "engine", Asked: r.asked + " of container " + c.Title(), Answer: fault}},
			})
		default:
			passed++
		}
	}
	return append([]stig.Finding{r.summary(passed, left)}, findings...), nil
}

// leavesOut reports whether a container of UCP or DTR is not judged.
func (r containerRule) leavesOut(h *host.Host, c host.Container) bool {
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

// summary is what is said of the containers that pass.
func (r containerRule) summary(passed, left int) stig.Finding {
	f := stig.Finding{Status: stig.NotAFinding, Details: fmt.Sprintf("%d containers pass", passed)}
	if r.running {
		f.Details = fmt.Sprintf("%d running containers pass", passed)
	}
	if left > 0 {
		f.Details += fmt.Sprintf("; %d of UCP and DTR were left out", left)
	}
	return f
}

// rule makes a Rule of it.
func (r containerRule) rule(steps []Step, readings ...string) Rule {
	return Rule{IDs: []stig.ID{r.id}, Check: r.check, Steps: steps, Readings: readings}
}
