package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// TestAuthzLogin tries logins on a real trust server behind a token server
// before it keeps them.
func TestAuthzLogin(t *testing.T) {
	b := newBed(t, testbed.Docker)
	_, tokens := b.guardedTrust(t)
	file := filepath.Join(t.TempDir(), "auth.json")
	tokens.Requests()
	if out := b.authzLogin(t, file, wrongPassword); out.code != 1 || !strings.Contains(out.stderr, "nothing was kept") {
		t.Errorf("a wrong password: exit code %d, %s", out.code, out.stderr)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a wrong password was kept")
	}
	if asked := byUser(tokens); asked != 1 {
		t.Errorf("a wrong password was tried %d times", asked)
	}
	if out := b.authzLogin(t, file, password); out.code != 0 || !strings.Contains(out.stdout, "accepted it") {
		t.Errorf("the right password: exit code %d, %s%s", out.code, out.stdout, out.stderr)
	}
}

// authzLogin runs docker stig authz login with a password on standard input.
func (b *bed) authzLogin(t *testing.T, file, password string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.variable("STIG_DOCKER"), "stig", "authz", "login", "--auth-file", file, "--username", user, "--password-stdin", b.Registry())
	cmd.Env = append(append(os.Environ(), b.Env()...), b.env...)
	cmd.Stdin = strings.NewReader(password)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exited := new(exec.ExitError); err != nil && !errors.As(err, &exited) {
		t.Fatalf("docker stig authz login: %v", err)
	}
	out := output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	secret(t, out.stdout+out.stderr)
	return out
}
