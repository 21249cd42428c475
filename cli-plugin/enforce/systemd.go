package enforce

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/docker-stig/docker-stig/cli-plugin/change/systemd"
	"github.com/docker-stig/docker-stig/cli-plugin/host/process"
)

// The units that are told what to do.
const (
	engineService = "docker.service"
	engineSocket  = "docker.socket"
	pluginService = PluginName + ".service"
	guardSocket   = "docker-stig-guard.socket"
	guardService  = "docker-stig-guard.service"
)

// A Systemd tells units what to do, through systemctl.
type Systemd = systemd.Manager

// RunningSystemd is nil where systemd does not run.
func RunningSystemd() *Systemd { return systemd.Running() }

// reloadEngine has the engine read daemon.json again.
func reloadEngine(ctx context.Context, init *Systemd, d *Dockerd) error {
	if d.Managed && init != nil {
		return init.Do(ctx, "reload", engineService)
	}
	if !process.Runs(d.PID, "dockerd") {
		return errors.New("the engine does not run any more: start it")
	}
	return hangup(d.PID)
}

// reloadPlugin has the daemon read the policy again.
func reloadPlugin(ctx context.Context, init *Systemd, socket string) error {
	if init != nil {
		if pid, err := init.MainPID(ctx, pluginService); err == nil && pid > 0 {
			return init.Do(ctx, "reload", pluginService)
		}
	}
	pid, err := process.Behind(ctx, socket)
	if err != nil {
		return fmt.Errorf("docker-stig-authz does not answer: start it (systemctl start docker-stig-authz.socket) (%w)", err)
	}
	if !process.Runs(pid, PluginName) {
		return nil // systemd holds the socket, and the service reads the policy when it starts
	}
	return hangup(pid)
}

func hangup(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("sending SIGHUP to process %d: %w", pid, err)
	}
	return nil
}
