// Package systemd tells units what to do, through systemctl. Which unit, and
// when, its callers decide.
package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// A Manager is the systemd that runs this machine.
type Manager struct{ Program string }

// Running is nil where systemd does not run: sd_booted(3).
func Running() *Manager {
	if _, err := os.Lstat("/run/systemd/system"); err != nil {
		return nil
	}
	return &Manager{Program: "systemctl"}
}

func (m *Manager) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.Program, append([]string{"--no-ask-password"}, args...)...) //nolint:forbidigo,gosec // the one program of this package; its arguments are constants and names of units
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Do tells units something: reload, restart, stop, start, "enable --now".
func (m *Manager) Do(ctx context.Context, what string, units ...string) error {
	_, err := m.run(ctx, append(strings.Fields(what), units...)...)
	return err
}

// MainPID is the main process of a service, 0 if it does not run.
func (m *Manager) MainPID(ctx context.Context, unit string) (int, error) {
	out, err := m.run(ctx, "show", "--property=MainPID", "--value", unit)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(out))
}
