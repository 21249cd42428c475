package rules

import (
	"context"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
)

// fixAutolock locks managers that start again.
func fixAutolock(context.Context, *host.Host) (change.Wanted, error) {
	c, err := change.SetSetting(change.SwarmSpec, "the swarm", "/EncryptionConfig/AutoLockManagers", true, "DKER-EE-002400")
	return change.Wanted{
		Changes: []change.Change{c},
		Notes:   []string{"a manager that starts again asks for the key that docker swarm unlock-key prints: keep it where the swarm cannot lose it"},
	}, err
}

// fixExpiry gives certificates of nodes the plan's lifetime.
func fixExpiry(_ context.Context, h *host.Host) (change.Wanted, error) {
	want, err := time.ParseDuration(h.Site.Swarm.NodeCertExpiry)
	if err != nil || want <= 0 {
		return change.Wanted{Person: []string{"how long certificates of nodes live is for the site to say: give swarm.node-cert-expiry in site.yaml, and run docker stig fix again"}}, nil //nolint:nilerr // it says what to do instead
	}
	c, err := change.SetSetting(change.SwarmSpec, "the swarm", "/CAConfig/NodeCertExpiry", want.Nanoseconds(), "DKER-EE-005080")
	return change.Wanted{Changes: []change.Change{c}}, err
}
