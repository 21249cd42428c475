package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A member is one of daemon.json and the value it is to have; nil takes it out.
type member struct {
	pointer string
	value   any
}

// inConfig sets members of the engine's daemon.json. What a flag sets as well
// is for a person to take off the command line first: the engine does not start
// with both. Where the file is right already and the engine has not read it,
// the engine is told to.
func inConfig(ctx context.Context, h *host.Host, id stig.ID, option string, members ...member) (change.Wanted, error) {
	o, err := h.Option(ctx, option)
	if err != nil {
		return change.Wanted{}, err
	}
	d, err := h.Dockerd(ctx)
	if err != nil {
		return change.Wanted{}, err
	}
	if d.ConfigErr != nil {
		return change.Wanted{}, fmt.Errorf("%s cannot be edited as it is: %w", d.ConfigFile, d.ConfigErr)
	}
	if refusal := d.Next.Refusal(); d.NextErr == nil && refusal != "" {
		return change.Wanted{Person: []string{"the engine would not start again, so nothing of it is changed: " + refusal + ", and run docker stig fix again"}}, nil
	}
	if o.Flag != nil {
		spec, _ := daemon.Lookup(option)
		return change.Wanted{Person: []string{fmt.Sprintf(
			"dockerd is started with --%s %s: take the flag out of its unit (systemctl edit --full docker), and run docker stig fix again", spec.Flag, o.Flag)}}, nil
	}
	var wanted change.Wanted
	for _, m := range members {
		set := change.RemoveOption(d.ConfigFile, m.pointer, id)
		if m.value != nil {
			if set, err = change.SetOption(d.ConfigFile, m.pointer, m.value, id); err != nil {
				return change.Wanted{}, err
			}
		}
		wanted.Changes = append(wanted.Changes, set)
	}
	if o.Pending != "" {
		wanted.Changes = append(wanted.Changes, change.Change{Serves: []stig.ID{id}, Disruption: change.Restart, Engine: &change.Engine{Why: o.Pending}})
	}
	return wanted, nil
}

// setOption fixes a rule about one option of dockerd that has one right value.
func setOption(id stig.ID, option string, value any) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		return inConfig(ctx, h, id, option, member{"/" + option, value})
	}
}

// fixHosts takes TCP addresses out of daemon.json. Who reaches the engine by
// them is cut off, so it is done only when the rule is named.
func fixHosts(ctx context.Context, h *host.Host) (change.Wanted, error) {
	o, err := h.Option(ctx, "hosts")
	if err != nil {
		return change.Wanted{}, err
	}
	var local []string
	for _, address := range o.File {
		if tcpFault(daemon.Hosts(daemon.Value{address})) == "" {
			local = append(local, address)
		}
	}
	if len(local) == len(o.File) {
		return change.Wanted{Person: []string{"no TCP address is in daemon.json: take it out of dockerd's unit (systemctl cat docker.service docker.socket), and restart the engine"}}, nil
	}
	var value any // nil: without an address the engine listens where it always did
	if len(local) > 0 {
		value = local
	}
	wanted, err := inConfig(ctx, h, "DKER-EE-001050", "hosts", member{"/hosts", value})
	for i := range wanted.Changes {
		wanted.Changes[i].ByName = "who reaches the engine over TCP is cut off"
	}
	return wanted, err
}

// fixRegistries lets the engine trust no registry without TLS. It reads that
// again without a restart.
func fixRegistries(ctx context.Context, h *host.Host) (change.Wanted, error) {
	wanted, err := inConfig(ctx, h, "DKER-EE-001800", "insecure-registries", member{"/insecure-registries", []string{}})
	if err == nil && len(wanted.Changes) > 0 {
		wanted.Notes = append(wanted.Notes, "registries that the engine reached without TLS, or with certificates it does not know, cannot be reached any more: put their authority's certificate into /etc/docker/certs.d/REGISTRY/ca.crt")
	}
	return wanted, err
}

// fixRotation bounds the logs as the site's plan says, where the log driver
// takes bounds and the site wants no other.
func fixRotation(id stig.ID) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		plan := h.Site.Logging
		driver, err := h.Option(ctx, "log-driver")
		switch {
		case err != nil:
			return change.Wanted{}, err
		case plan.Address != "" || !slices.Contains(localDrivers, driver.Value.String()):
			return change.Wanted{Notes: []string{fmt.Sprintf("max-size and max-file are not set for %s: %s", id, contradiction)}}, nil
		case plan.MaxSize == "" || plan.MaxFile == "":
			return change.Wanted{Person: []string{"how large logs may grow is for the site to say: give logging.max-size and logging.max-file in site.yaml, and run docker stig fix again"}}, nil
		}
		wanted, err := inConfig(ctx, h, id, "log-opts", member{"/log-opts/max-size", plan.MaxSize}, member{"/log-opts/max-file", plan.MaxFile})
		return withOldContainers(wanted), err
	}
}

// fixLogDriver sends logs to the plan's server. Only syslog needs no more than
// an address: other services want tokens, which a plan must not hold.
func fixLogDriver(id stig.ID) Fix {
	return func(ctx context.Context, h *host.Host) (change.Wanted, error) {
		address := h.Site.Logging.Address
		if !syslogAddress(address) {
			return change.Wanted{Person: []string{"where logs go is for the site to say: give logging.address in site.yaml, for syslog as tcp+tls://HOST:PORT, tcp:// or udp://, and run docker stig fix again; for other services set log-driver and log-opts in daemon.json yourself"}}, nil
		}
		wanted, err := inConfig(
			ctx, h, id, "log-driver",
			member{"/log-driver", "syslog"}, member{"/log-opts/syslog-address", address},
			member{"/log-opts/max-size", nil}, member{"/log-opts/max-file", nil}, // syslog takes neither, and the engine would not start
		)
		return withOldContainers(wanted), err
	}
}

// syslogAddress reports whether an address is one that syslog-address takes.
func syslogAddress(address string) bool {
	scheme, host, ok := strings.Cut(address, "://")
	return ok && host != "" && slices.Contains([]string{"tcp", "udp", "tcp+tls"}, scheme)
}

// withOldContainers says whom a change of log options does not reach.
func withOldContainers(wanted change.Wanted) change.Wanted {
	if len(wanted.Changes) > 0 {
		wanted.Notes = append(wanted.Notes, "containers that are there keep the log driver and options that they were made with: make them anew")
	}
	return wanted
}
