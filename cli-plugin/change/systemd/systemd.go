// Package systemd tells units what to do, through systemctl. Which unit, and
// when, its callers decide.
package systemd

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change/program"
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
	out, err := program.Run(ctx, append([]string{m.Program, "--no-ask-password"}, args...)...)
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, nil
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
	pid, err := strconv.Atoi(out)
	if err != nil {
		return 0, fmt.Errorf("systemctl tells no main process of %s: %w", unit, err)
	}
	return pid, nil
}
