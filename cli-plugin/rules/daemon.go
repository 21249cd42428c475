package rules

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// daemonRules want the engine configured in a certain way.
var daemonRules = []Rule{
	hostsRule, fips, logRotation, logRotationValues, remoteLogs, logAlarm, shippedLogs,
	insecureRegistries, storageDriver, userlandProxy, experimental, supportedVersion,
}

// storageDriver wants any storage driver but aufs (V-235790, CAT II).
//
// https://docs.docker.com/engine/storage/drivers/select-storage-driver/
var storageDriver = Rule{
	IDs: []stig.ID{"DKER-EE-001810"},
	Check: engineOption("storage-driver", func(driver daemon.Value) string {
		if strings.TrimSpace(driver.String()) == "aufs" {
			return `aufs is no longer maintained: save the images, set "storage-driver": "overlay2" in daemon.json, and restart the engine, which then begins with an empty store`
		}
		return ""
	}),
	Steps: []Step{{"the storage driver in the engine's answer to info is not aufs", "engineOption"}},
	Readings: []string{
		"a driver that daemon.json or a flag sets for the next start is judged too, which the guide's grep does not see",
	},
}

// userlandProxy wants the userland proxy off on engines outside UCP (V-235791,
// CAT II). The engine turns it on unless told otherwise, so an engine that was
// told nothing is a finding.
//
// https://docs.docker.com/engine/network/packet-filtering-firewalls/
var userlandProxy = Rule{
	IDs:     []stig.ID{"DKER-EE-001830"},
	Fix:     setOption("DKER-EE-001830", "userland-proxy", false),
	Applies: outsideUCP,
	Check: engineOption("userland-proxy", func(on daemon.Value) string {
		if on.On() {
			return `set "userland-proxy": false in daemon.json and restart the engine`
		}
		return ""
	}),
	Steps: []Step{
		{"the engine is not a node of a UCP cluster", "outsideUCP"},
		{"dockerd runs with --userland-proxy=false", "engineOption"},
	},
	Readings: []string{
		"the guide looks at the command line alone; daemon.json has the same effect, is where the guide's own fix puts it, and counts too",
		"an engine belongs to a UCP cluster if containers of UCP run on it; a UCP image that was merely pulled proves nothing",
	},
}

// outsideUCP takes out nodes of a UCP cluster, whose own containers need the
// userland proxy.
func outsideUCP(ctx context.Context, h *host.Host) (string, error) {
	members, err := h.Members(ctx, host.UCP)
	if err != nil {
		return "", fmt.Errorf("telling whether the engine is a node of UCP: %w", err)
	}
	if len(members) == 0 {
		return "", nil
	}
	return "the engine is a node of a UCP cluster (" + strings.Join(members[:min(3, len(members))], ", ") + " runs), which needs the userland proxy", nil
}

// experimental wants experimental features off (V-235792, CAT II).
//
// https://docs.docker.com/reference/cli/dockerd/
var experimental = Rule{
	IDs: []stig.ID{"DKER-EE-001840"},
	Fix: setOption("DKER-EE-001840", "experimental", false),
	Check: engineOption("experimental", func(on daemon.Value) string {
		if on.On() {
			return `set "experimental": false in daemon.json and restart the engine`
		}
		return ""
	}),
	Steps: []Step{{"the engine says of itself that experimental features are off", "engineOption"}},
	Readings: []string{
		"info tells it at the same time as version, whose field newer engines leave out when it is false",
	},
}

// engineOption judges one option of dockerd. The fault says what to do about a
// value, "" if it is right.
func engineOption(name string, fault func(daemon.Value) string) func(context.Context, *host.Host) ([]stig.Finding, error) {
	return func(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
		o, err := h.Option(ctx, name)
		if err != nil {
			return nil, err
		}
		return []stig.Finding{judgeOption(o, fault)}, nil
	}
}

// judgeOption finds against what is in force, and against what the next start
// would bring. What is about to change passes only after it has changed.
func judgeOption(o host.Option, fault func(daemon.Value) string) stig.Finding {
	f := stig.Finding{Details: describe(o), Evidence: optionFacts(o)}
	if wrong := fault(o.Value); wrong != "" {
		f.Status = stig.Open
		f.Details += ". " + wrong
		return f
	}
	if wrong := fault(o.Next); o.Next != nil && wrong != "" {
		f.Status = stig.Open
		f.Details += fmt.Sprintf(". The next start would make it %s: %s", o.Next, wrong)
		return f
	}
	if o.Pending == "" {
		f.Status = stig.NotAFinding
	}
	return f
}

// describe says what an option is, who said so, and what everyone else says.
func describe(o host.Option) string {
	var said []string
	add := func(who string, value daemon.Value) {
		if value != nil && who != o.Source {
			said = append(said, fmt.Sprintf("%s %s", who, value))
		}
	}
	add(host.FromEngine, o.Running)
	if !strings.HasPrefix(o.Source, "--") {
		add("flag", o.Flag)
	}
	add("daemon.json", o.File)
	add("default", o.Default)
	text := fmt.Sprintf("%s is %s (%s", o.Name, o.Value, o.Source)
	if len(said) > 0 {
		text += "; " + strings.Join(said, ", ")
	}
	text += ")"
	if o.Unseen != nil {
		text += fmt.Sprintf("; what it is configured to be is unknown: %v", o.Unseen)
	}
	if o.Pending != "" {
		text += ". " + upperFirst(o.Pending)
	}
	return text
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

// optionFacts are who was asked for an option, and what each said.
func optionFacts(o host.Option) []stig.Fact {
	var facts []stig.Fact
	if o.Asked != "" {
		facts = append(facts, stig.Fact{Source: "engine", Asked: o.Asked, Answer: orUnset(o.Running)})
	}
	if o.Unseen != nil || o.PID == 0 {
		return facts
	}
	facts = append(
		facts,
		stig.Fact{Source: "command line of process " + strconv.Itoa(o.PID), Asked: o.Name, Answer: orUnset(o.Flag)},
		stig.Fact{Source: o.ConfigFile, Asked: o.Name, Answer: orUnset(o.File)},
	)
	if o.Next != nil && !o.Next.Same(o.Value) {
		facts = append(facts, stig.Fact{Source: "next start of dockerd", Asked: o.Name, Answer: o.Next.String()})
	}
	return facts
}

func orUnset(value daemon.Value) string {
	if value == nil {
		return "not set"
	}
	return value.String()
}
