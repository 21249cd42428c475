package enforce

import (
	"context"
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
	"github.com/docker-stig/docker-stig/shared/record"
)

// readInForce reads what the daemon that answers has said. pid is its process,
// 0 if that is not known.
func readInForce(state string, pid int) (*record.InForce, error) {
	said, err := record.ReadInForce(state)
	if err != nil {
		return nil, err
	}
	if pid != 0 && pid != said.PID {
		return nil, fmt.Errorf("%w: process %d said it, and process %d answers the engine", record.ErrNotSaid, said.PID, pid)
	}
	return &said, nil
}

// serving is the daemon that answers on the plugin's socket, 0 if that cannot
// be told.
func serving(ctx context.Context, init *Systemd, socket string) int {
	pid, err := process.Behind(ctx, socket)
	if err != nil {
		return 0
	}
	if process.Runs(pid, PluginName) {
		return pid
	}
	if init == nil {
		return 0
	}
	pid, _ = init.MainPID(ctx, pluginService) // 0: it is not that unit's
	return pid
}

// inForce compares the policy that was looked at with the one that is in force.
func (l Look) inForce(f *Finding) {
	if l.PolicyErr != nil || l.PluginErr != nil {
		return // told already
	}
	if l.InForceErr != nil {
		f.unknown(l.InForceErr, "run it as root, with the STIG_STATE of docker-stig-authz; one older than this program has to be restarted: systemctl restart docker-stig-authz")
		return
	}
	if l.InForce == nil {
		return // it could not be asked
	}
	said := l.InForce
	since := said.Since.UTC().Format(time.RFC3339)
	elsewhere := !sameFile(said.Path, l.PolicyPath)
	switch {
	case said.SHA256 == l.PolicySum && elsewhere:
		f.note(fmt.Sprintf("docker-stig-authz goes by %s, which says the same as %s", said.Path, l.PolicyPath), "give --policy "+said.Path)
	case said.SHA256 == l.PolicySum:
	case elsewhere:
		f.gap(fmt.Sprintf("docker-stig-authz goes by another policy than %s: by %s", l.PolicyPath, said.Path), "give --policy "+said.Path+", or start docker-stig-authz with --policy "+l.PolicyPath)
	default:
		f.Gaps = append(f.Gaps, Gap{
			What:   fmt.Sprintf("reload pending: docker-stig-authz does not go by what %s says now", l.PolicyPath),
			Detail: fmt.Sprintf("what it read is in force since %s, and is %s", since, said.Mode),
			Next:   "systemctl reload docker-stig-authz",
		})
	}
}
