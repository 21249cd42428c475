package rules

import (
	"context"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// isolationRules want containers kept apart from their host.
var isolationRules = []Rule{
	// V-235802, CAT II. https://docs.docker.com/engine/containers/run/#runtime-privilege-and-linux-capabilities
	containerRule{id: "DKER-EE-001960", filtered: true, asked: "HostConfig.Privileged", judge: privileged}.rule(
		[]Step{{"HostConfig.Privileged of every container that no line of docker ps with ucp, kube or dtr names is not true", "privileged"}},
	),
}

func privileged(_ context.Context, _ *host.Host, c host.Container) (string, error) {
	if c.HostConfig.Privileged {
		return "it is privileged (Privileged is true): make it anew without --privileged", nil
	}
	return "", nil
}
