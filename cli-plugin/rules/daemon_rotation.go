package rules

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

const contradiction = "the guide contradicts itself: this requirement wants options that only the drivers json-file and local take, DKER-EE-001590, 003230 and 003320 want a remote driver, and the engine does not start with both. A log plugin that takes both, or a waiver for the one that the site cannot keep, settles it"

// logRotation wants containers' logs bounded (V-235786, CAT II).
//
// https://docs.docker.com/engine/logging/drivers/json-file/
var logRotation = Rule{
	IDs: []stig.ID{"DKER-EE-001370"},
	Fix: fixRotation("DKER-EE-001370"),
	Check: func(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
		return judgeRotation(ctx, h, nil)
	},
	Steps: []Step{{"log-opts of the engine has max-size and max-file", "judgeRotation"}},
	Readings: []string{
		"--log-opt on the command line has the same effect as log-opts in daemon.json, and counts too",
		"whether the values are those of the site's plan is judged by DKER-EE-003310; values that bound nothing, or that the drivers refuse, are a finding here too",
		contradiction,
	},
}

// logRotationValues wants the bounds to be those of the site's plan (V-235832,
// CAT II).
var logRotationValues = Rule{
	IDs: []stig.ID{"DKER-EE-003310"},
	Fix: fixRotation("DKER-EE-003310"),
	Check: func(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
		plan := h.Site.Logging
		findings, err := judgeRotation(ctx, h, func(opts daemon.Value) string { return planFault(opts, plan.MaxSize, plan.MaxFile) })
		if err == nil && stig.Worst(findings) == stig.NotAFinding && (plan.MaxSize == "" || plan.MaxFile == "") {
			findings[0].Status = stig.NotReviewed
			findings[0].Details += ". Give logging.max-size and logging.max-file in site.yaml, as the site's security plan has them"
		}
		return findings, err
	},
	Steps: []Step{
		{"log-opts of the engine has max-size and max-file", "judgeRotation"},
		{"both have the values of the system security plan", "planFault"},
	},
	Readings: []string{
		"sizes are compared as the engine's drivers read them, in thousands: 10m is 10M and 10000k",
		contradiction,
	},
}

// judgeRotation wants both options there, and then what more says of them.
func judgeRotation(ctx context.Context, h *host.Host, more func(daemon.Value) string) ([]stig.Finding, error) {
	o, err := h.Option(ctx, "log-opts", "max-size", "max-file")
	if err != nil {
		return nil, err
	}
	driver, err := h.Option(ctx, "log-driver")
	if err != nil {
		return nil, err
	}
	f := judgeOption(o, func(opts daemon.Value) string {
		if missing := missingKeys(opts, "max-size", "max-file"); missing != "" {
			return missing + rotationAdvice(driver.Value)
		}
		if unbounded := unboundedBy(opts); unbounded != "" {
			return unbounded
		}
		if more == nil {
			return ""
		}
		return more(opts)
	})
	return []stig.Finding{f}, nil
}

// rotationAdvice says how to add the options, or that the driver takes none.
func rotationAdvice(driver daemon.Value) string {
	name := driver.String()
	if slices.Contains(localDrivers, name) {
		return `: add it to "log-opts" in daemon.json, as a text in quotes ("10m", "3"), and restart the engine; containers keep the old options until they are made anew`
	}
	return fmt.Sprintf(". Do not just add it: the log driver is %s, and %s", name, contradiction)
}

// localDrivers take max-size and max-file.
var localDrivers = []string{"json-file", "local"}

func missingKeys(opts daemon.Value, keys ...string) string {
	var missing []string
	for _, key := range keys {
		if value, ok := opts.Get(key); !ok || value == "" {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "log-opts has no " + strings.Join(missing, " and no ")
}

// unboundedBy names a value that bounds nothing, or that the drivers refuse.
func unboundedBy(opts daemon.Value) string {
	size, _ := opts.Get("max-size")
	if bytes, err := units.FromHumanSize(size); err != nil || bytes <= 0 {
		return fmt.Sprintf(`max-size is %q, which is no size such as "10m": change log-opts in daemon.json and restart the engine`, size)
	}
	files, _ := opts.Get("max-file")
	if number, err := strconv.Atoi(files); err != nil || number < 1 {
		return fmt.Sprintf(`max-file is %q, which is no number such as "3": change log-opts in daemon.json and restart the engine`, files)
	}
	return ""
}

// planFault compares with the plan, as far as it is given.
func planFault(opts daemon.Value, size, files string) string {
	var wrong []string
	if got, _ := opts.Get("max-size"); size != "" && !sameSize(got, size) {
		wrong = append(wrong, fmt.Sprintf("max-size is %q and not %q", got, size))
	}
	if got, _ := opts.Get("max-file"); files != "" && !sameNumber(got, files) {
		wrong = append(wrong, fmt.Sprintf("max-file is %q and not %q", got, files))
	}
	if len(wrong) == 0 {
		return ""
	}
	return strings.Join(wrong, ", ") + " as the site's plan says (logging in site.yaml): change log-opts in daemon.json and restart the engine"
}

// sameSize reads sizes as the engine's log drivers do.
func sameSize(a, b string) bool {
	left, leftErr := units.FromHumanSize(a)
	right, rightErr := units.FromHumanSize(b)
	return a == b || leftErr == nil && rightErr == nil && left == right
}

func sameNumber(a, b string) bool {
	left, leftErr := strconv.Atoi(a)
	right, rightErr := strconv.Atoi(b)
	return a == b || leftErr == nil && rightErr == nil && left == right
}
