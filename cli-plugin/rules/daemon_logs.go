package rules

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// remoteDrivers are those that the guide lists.
var remoteDrivers = []string{"syslog", "awslogs", "splunk", "gcplogs", "logentries"}

// otherDrivers come with the engine and are not in the guide's list.
var otherDrivers = []string{"json-file", "local", "none", "journald", "fluentd", "gelf", "etwlogs"}

var driverReadings = []string{
	"the driver that the running engine uses decides; --log-driver counts as log-driver in daemon.json does",
	"a driver that is not one of the engine's own is a third-party plugin if the engine lists it, or if its name has a tag as those of plugins do",
	"journald, fluentd and gelf are not in the guide's list, although they can forward; logentries is, although engines since 25.0 lack it",
	"containers may be made with a log driver of their own; the guide asks for the engine's default alone",
	contradiction,
}

// remoteLogs wants a default log driver that can send logs elsewhere (V-235831,
// CAT II).
//
// https://docs.docker.com/engine/logging/configure/
var remoteLogs = Rule{
	IDs:      []stig.ID{"DKER-EE-003230"},
	Fix:      fixLogDriver("DKER-EE-003230"),
	Check:    judgeLogDriver,
	Steps:    []Step{{"log-driver of the engine is syslog, awslogs, splunk, gcplogs, logentries or a plugin", "judgeLogDriver"}},
	Readings: driverReadings,
}

// logAlarm wants somebody told when logs stop coming (V-235787, CAT III).
var logAlarm = Rule{
	IDs:   []stig.ID{"DKER-EE-001590"},
	Fix:   fixLogDriver("DKER-EE-001590"),
	Check: judgeAlarm,
	Steps: []Step{
		{"log-driver of the engine is one that can send logs elsewhere", "judgeLogDriver"},
		{"the SIEM's administrator is asked for the alarm: an answer in site.yaml", "judgeAlarm"},
	},
	Readings: driverReadings,
}

// shippedLogs wants logs sent to the server that feeds the SIEM (V-235833,
// CAT II).
//
// https://docs.docker.com/engine/logging/drivers/syslog/
var shippedLogs = Rule{
	IDs:   []stig.ID{"DKER-EE-003320"},
	Fix:   fixLogDriver("DKER-EE-003320"),
	Check: judgeShipping,
	Steps: []Step{
		{"log-driver of the engine is one that can send logs elsewhere", "judgeLogDriver"},
		{"the driver is configured to send to the log server or SIEM", "judgeShipping"},
	},
	Readings: append([]string{
		"the guide has an administrator show where logs go; the address of syslog and splunk is compared with logging.address in site.yaml, every other way is for a person",
	}, driverReadings...),
}

// judgeLogDriver judges the default log driver.
func judgeLogDriver(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	o, err := h.Option(ctx, "log-driver")
	if err != nil {
		return nil, err
	}
	f := judgeOption(o, func(driver daemon.Value) string {
		if slices.Contains(otherDrivers, driver.String()) {
			return `it is not in the guide's list: set "log-driver" in daemon.json to syslog, awslogs, splunk, gcplogs or a log plugin, with its log-opts, and restart the engine; containers keep their driver until they are made anew`
		}
		return ""
	})
	name := o.Value.String()
	if f.Status != stig.NotAFinding || slices.Contains(remoteDrivers, name) {
		return []stig.Finding{f}, nil
	}
	info, err := h.Info(ctx)
	if err != nil {
		return nil, err
	}
	f.Evidence = append(f.Evidence, stig.Fact{Source: "engine", Asked: "GET /info Plugins.Log", Answer: strings.Join(info.Plugins.Log, ", ")})
	if strings.Contains(name, ":") || slices.Contains(info.Plugins.Log, name) {
		f.Details += ", a third-party plugin"
		return []stig.Finding{f}, nil
	}
	f.Status = stig.NotReviewed
	f.Details += ", which is neither a driver of the engine's own nor among its enabled plugins: enable the plugin (docker plugin enable), or put an answer into site.yaml"
	return []stig.Finding{f}, nil
}

// judgeAlarm judges the driver, and leaves the alarm to a person.
func judgeAlarm(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	findings, err := judgeLogDriver(ctx, h)
	if err == nil && stig.Worst(findings) == stig.NotAFinding {
		findings = append(findings, stig.Finding{
			Object:  "SIEM",
			Details: "a person has to see that the SIEM warns the ISSO and the SA when this engine's logs stop coming: put the answer under answers.DKER-EE-001590 in site.yaml",
		})
	}
	return findings, err
}

// destinations are the log-opts that say where a driver sends.
var destinations = map[string]string{"syslog": "syslog-address", "splunk": "splunk-url"}

// judgeShipping judges the driver, and where it sends.
func judgeShipping(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	findings, err := judgeLogDriver(ctx, h)
	if err != nil || stig.Worst(findings) != stig.NotAFinding {
		return findings, err
	}
	driver, err := h.Option(ctx, "log-driver")
	if err != nil {
		return nil, err
	}
	target := stig.Finding{Object: "log server"}
	key, ok := destinations[driver.Value.String()]
	if !ok {
		target.Details = fmt.Sprintf("where %s sends is for a person to see: put the answer under answers.DKER-EE-003320 in site.yaml", driver.Value)
		return append(findings, target), nil
	}
	o, err := h.Option(ctx, "log-opts", key)
	if err != nil {
		target.Details = err.Error()
		return append(findings, target), nil
	}
	for _, member := range []*daemon.Value{&o.Value, &o.Flag, &o.File, &o.Next} {
		*member = withoutPassword(*member)
	}
	wanted := h.Site.Logging.Address
	target = judgeOption(o, func(opts daemon.Value) string {
		address, _ := opts.Get(key)
		if address == "" && key == destinations["splunk"] {
			return "log-opts has no " + key + ", without which splunk sends nothing: add it in daemon.json and restart the engine"
		}
		if wanted == "" || isLocal(address) || sameAddress(address, wanted) {
			return ""
		}
		return fmt.Sprintf("%s is not %s, as the site's plan says (logging.address in site.yaml): change log-opts in daemon.json and restart the engine", address, wanted)
	})
	target.Object = "log server"
	address, _ := o.Value.Get(key)
	switch {
	case target.Status != stig.NotAFinding:
	case isLocal(address):
		target.Status = stig.NotReviewed
		target.Details += ". Logs go to this host's own log daemon; whether that one forwards them is for a person to see: put the answer under answers.DKER-EE-003320 in site.yaml"
	case wanted == "":
		target.Status = stig.NotReviewed
		target.Details += ". Give logging.address in site.yaml: the address of the log server that feeds the SIEM"
	}
	return append(findings, target), nil
}

// withoutPassword takes the user out of addresses.
func withoutPassword(opts daemon.Value) daemon.Value {
	for i, member := range opts {
		key, address, _ := strings.Cut(member, "=")
		u, err := url.Parse(address)
		switch {
		case err != nil:
			opts[i] = key + "=" + address[strings.LastIndexByte(address, '@')+1:]
		case u.User != nil:
			u.User = nil
			opts[i] = key + "=" + u.String()
		}
	}
	return opts
}

// isLocal reports whether logs stay on the host: syslog without an address, or
// with one of a socket or of loopback.
func isLocal(address string) bool {
	u, err := url.Parse(address)
	if address == "" || err == nil && strings.HasPrefix(u.Scheme, "unix") {
		return true
	}
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// usualPorts are those that the drivers take where an address has none.
var usualPorts = map[string]string{"udp": "514", "tcp": "514", "tcp+tls": "514", "https": "443", "http": "80"}

func portOf(u *url.URL) string { return cmp.Or(u.Port(), usualPorts[u.Scheme]) }

// sameAddress compares addresses of a log server. The site may leave scheme
// and port to the engine.
func sameAddress(got, want string) bool {
	if !strings.Contains(want, "://") {
		want = "any://" + want
	}
	a, errA := url.Parse(got)
	b, errB := url.Parse(want)
	if errA != nil || errB != nil || !strings.EqualFold(a.Hostname(), b.Hostname()) || a.Hostname() == "" {
		return false
	}
	if b.Scheme == "any" {
		return b.Port() == "" || portOf(a) == b.Port()
	}
	return a.Scheme == b.Scheme && (b.Port() == "" || portOf(a) == portOf(b))
}
