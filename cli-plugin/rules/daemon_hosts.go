package rules

import (
	"context"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// hostsRule wants no engine that listens on TCP (V-235776, CAT II).
//
// https://docs.docker.com/engine/daemon/remote-access/
var hostsRule = Rule{
	IDs:   []stig.ID{"DKER-EE-001050"},
	Check: judgeHosts,
	Fix:   fixHosts,
	Steps: []Step{{"no -H or --host of dockerd's command line is a tcp:// address", "judgeHosts"}},
	Readings: []string{
		"the title speaks of nodes of a UCP cluster, the check of every engine: every engine is judged. UCP itself listens in a container of its own, so its ports are no listeners of dockerd",
		"hosts in daemon.json, the systemd unit with its drop-ins, and a socket unit behind fd:// open the same door as the flag, and count too",
		"an address without a scheme is TCP, as dockerd reads it; TLS changes nothing, the guide wants no TCP listener at all",
	},
}

func judgeHosts(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	o, err := h.Option(ctx, "hosts")
	if err != nil {
		return nil, err
	}
	d, err := h.Dockerd(ctx)
	if err != nil {
		return nil, err
	}
	f := judgeOption(o, func(value daemon.Value) string { return tcpFault(daemon.Hosts(value)) })
	if !strings.Contains(o.Value.String()+o.Next.String(), "fd://") {
		return []stig.Finding{f}, nil
	}
	sockets := stig.Finding{Object: "socket unit of " + d.Unit, Status: stig.NotAFinding, Details: "it listens on " + daemon.Value(d.Listens).String()}
	for _, listen := range d.Listens {
		if !slices.ContainsFunc(localListens, func(local string) bool { return strings.HasPrefix(listen, local) }) {
			sockets.Status = stig.Open
			sockets.Details = "it hands the engine a listener on " + listen + ": take that ListenStream out, and restart socket and service"
		}
	}
	switch {
	case d.SocketErr != nil:
		sockets.Status, sockets.Details = stig.NotReviewed, d.SocketErr.Error()
	case len(d.Listens) == 0:
		sockets.Object, sockets.Status = "socket unit", stig.NotReviewed
		sockets.Details = "the engine takes its listener from systemd (fd://), and which one that is cannot be told: look at systemctl list-sockets, and answer under answers.DKER-EE-001050 in site.yaml"
	}
	sockets.Evidence = []stig.Fact{{Source: "systemd", Asked: "ListenStream", Answer: daemon.Value(d.Listens).String()}}
	return []stig.Finding{f, sockets}, nil
}

// localListens are how a ListenStream begins that no network reaches: a path,
// an abstract name, or a folder that systemd fills in (systemd.unit(5)).
var localListens = []string{"/", "@", "%t/"}

// tcpFault names the addresses that are no local socket.
func tcpFault(hosts []string) string {
	var open []string
	for _, address := range hosts {
		if !strings.HasPrefix(address, "unix://") && !strings.HasPrefix(address, "fd://") {
			open = append(open, address)
		}
	}
	if len(open) == 0 {
		return ""
	}
	return "the engine listens on " + strings.Join(open, ", ") + ": take that out of its flags or of hosts in daemon.json, restart it, and reach it over ssh"
}
