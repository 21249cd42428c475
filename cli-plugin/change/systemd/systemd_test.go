package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is a manager whose systemctl is a script, no systemd: it writes down
// what it is told, shows what it is given for a main process, and fails to do
// what is refused.
func fake(t *testing.T, mainPID, refused string) (m *Manager, told func() []string) {
	t.Helper()
	dir := t.TempDir()
	program, log := filepath.Join(dir, "systemctl"), filepath.Join(dir, "told")
	script := `#!/bin/sh
echo "$@" >>'` + log + `'
case "$2" in
` + refused + `) echo "Failed: no such unit" >&2; exit 5;;
show) echo '` + mainPID + `';;
esac
`
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &Manager{Program: program}, func() []string {
		raw, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(raw)), "\n")
	}
}

func TestDo(t *testing.T) {
	t.Parallel()
	m, told := fake(t, "", "nothing")
	for _, one := range []struct {
		what  string
		units []string
	}{
		{"reload", []string{"docker.service"}},
		{"restart", []string{"docker.service"}},
		{"reset-failed", []string{"docker.service"}},
		{"daemon-reload", nil},
		{"enable --now", []string{"a.socket", "b.service"}},
	} {
		if err := m.Do(t.Context(), one.what, one.units...); err != nil {
			t.Errorf("%s: %v", one.what, err)
		}
	}
	want := []string{
		"--no-ask-password reload docker.service", "--no-ask-password restart docker.service", "--no-ask-password reset-failed docker.service",
		"--no-ask-password daemon-reload", "--no-ask-password enable --now a.socket b.service",
	}
	if diff := cmp.Diff(want, told()); diff != "" {
		t.Error(diff)
	}
}

func TestMainPID(t *testing.T) {
	t.Parallel()
	for shown, want := range map[string]struct {
		pid  int
		says string
	}{"4242": {pid: 4242}, "0": {}, "": {says: "no main process of docker.service"}, "4242\n17": {says: "no main process of docker.service"}} {
		m, told := fake(t, shown, "nothing")
		pid, err := m.MainPID(t.Context(), "docker.service")
		if pid != want.pid || (err != nil) != (want.says != "") || err != nil && !strings.Contains(err.Error(), want.says) {
			t.Errorf("%q: process %d, %v", shown, pid, err)
		}
		if diff := cmp.Diff([]string{"--no-ask-password show --property=MainPID --value docker.service"}, told()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestRefused wants what systemctl says to reach the person.
func TestRefused(t *testing.T) {
	t.Parallel()
	m, _ := fake(t, "4242", "restart|show")
	if err := m.Do(t.Context(), "restart", "docker.service"); err == nil || !strings.Contains(err.Error(), "systemctl restart docker.service: exit status 5: Failed: no such unit") {
		t.Errorf("got %v", err)
	}
	if pid, err := m.MainPID(t.Context(), "docker.service"); err == nil || pid != 0 || !strings.Contains(err.Error(), "no such unit") {
		t.Errorf("process %d, %v", pid, err)
	}
	none := Manager{Program: filepath.Join(t.TempDir(), "systemctl")}
	if err := none.Do(t.Context(), "reload", "docker.service"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}
