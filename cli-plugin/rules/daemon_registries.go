package rules

import (
	"context"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// insecureRegistries wants TLS towards every registry (V-235789, CAT II).
//
// https://docs.docker.com/reference/cli/dockerd/#insecure-registries
var insecureRegistries = Rule{
	IDs:   []stig.ID{"DKER-EE-001800"},
	Check: judgeRegistries,
	Fix:   fixRegistries,
	Steps: []Step{{"dockerd runs without --insecure-registry", "judgeRegistries"}},
	Readings: []string{
		"what the running engine says of its registries decides, and insecure-registries in daemon.json counts as the flag does",
		"127.0.0.0/8 and ::1/128 are insecure in every engine and cannot be taken out: they are no finding, unless the flag or daemon.json names them",
	},
}

func judgeRegistries(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	o, err := h.Option(ctx, "insecure-registries")
	if err != nil {
		return nil, err
	}
	fault := func(registries daemon.Value) string {
		if len(registries) == 0 {
			return ""
		}
		return `give these registries certificates that the engine trusts (/etc/docker/certs.d), take their --insecure-registry flags away, set "insecure-registries": [] in daemon.json, and restart the engine`
	}
	f := judgeOption(o, fault)
	if set := append(o.Flag[:len(o.Flag):len(o.Flag)], o.File...); f.Status != stig.Open && len(set) > 0 {
		f.Status = stig.Open // the flag is the finding, even where it changes nothing
		f.Details += ". " + fault(set)
	}
	return []stig.Finding{f}, nil
}
