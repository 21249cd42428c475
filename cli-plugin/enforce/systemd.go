package enforce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
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
type Systemd struct{ Program string }

// RunningSystemd is nil where systemd does not run: sd_booted(3).
func RunningSystemd() *Systemd {
	if _, err := os.Lstat("/run/systemd/system"); err != nil {
		return nil
	}
	return &Systemd{Program: "systemctl"}
}

func (s *Systemd) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Program, append([]string{"--no-ask-password"}, args...)...) //nolint:forbidigo,gosec // the one program of this package; its arguments are constants
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Do tells units something: reload, restart, stop, start, "enable --now".
func (s *Systemd) Do(ctx context.Context, what string, units ...string) error {
	_, err := s.run(ctx, append(strings.Fields(what), units...)...)
	return err
}

// MainPID is the main process of a service, 0 if it does not run.
func (s *Systemd) MainPID(ctx context.Context, unit string) (int, error) {
	out, err := s.run(ctx, "show", "--property=MainPID", "--value", unit)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}

// reloadEngine has the engine read daemon.json again.
func reloadEngine(ctx context.Context, init *Systemd, d *Dockerd) error {
	if d.Managed && init != nil {
		return init.Do(ctx, "reload", engineService)
	}
	if !runs(d.PID, "dockerd") {
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
	pid, err := peerOf(ctx, socket)
	if err != nil {
		return fmt.Errorf("docker-stig-authz does not answer: start it (systemctl start docker-stig-authz.socket) (%w)", err)
	}
	if !runs(pid, PluginName) {
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
