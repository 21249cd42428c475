package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RequireEngine is the environment variable which, set to 1, makes Start fail
// where it would skip.
const RequireEngine = "STIG_REQUIRE_ENGINE"

// abandonable matches the folders of tests' testbeds. Short, because sockets
// lie in them.
const abandonable = "stig-tb-*"

// Start brings a testbed up for a test and takes it down after it. Where no
// real engine can be had the test is skipped, and fails if STIG_REQUIRE_ENGINE
// is 1. A test binary that was killed leaves a testbed behind; the next Start
// takes it down.
func Start(tb testing.TB, engine Engine) *Testbed {
	tb.Helper()
	if reason := Available(tb.Context(), engine); reason != nil {
		missing(tb, "a real engine, as root and with `make deps`", reason)
	}
	if err := takeDownAbandoned(tb.Context()); err != nil {
		tb.Logf("taking down what killed tests left behind: %v", err)
	}
	dir, err := os.MkdirTemp("", strings.TrimSuffix(abandonable, "*")) //nolint:usetesting // TempDir's paths are too long for sockets
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { removeAfter(tb, dir) })
	self, err := readStat(os.Getpid())
	if err != nil {
		tb.Fatal(err)
	}
	up, err := up(tb.Context(), Options{Dir: dir, Engine: engine}, process{Name: tb.Name(), PID: os.Getpid(), Start: self.start})
	if err != nil {
		tb.Fatalf("bringing the testbed up: %v", err)
	}
	return up
}

// missing ends a test that lacks what it needs.
func missing(tb testing.TB, what string, reason error) {
	tb.Helper()
	if os.Getenv(RequireEngine) == "1" {
		tb.Fatalf("needs %s, which %s=1 demands: %v", what, RequireEngine, reason)
	}
	tb.Skipf("needs %s: %v", what, reason)
}

func removeAfter(tb testing.TB, dir string) {
	tb.Helper()
	if up, err := Open(dir); err == nil && tb.Failed() {
		tb.Logf("the engine said last:\n%s", up.tail("engine"))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 2*time.Minute)
	defer cancel()
	if err := errors.Join(Down(ctx, dir), os.RemoveAll(dir)); err != nil {
		tb.Errorf("taking the testbed down: %v", err)
	}
}

// Available returns nil if a testbed can be had here, and else the reason why
// not. Where STIG_REQUIRE_ENGINE is 1 it builds the second engine if need be.
func Available(ctx context.Context, engine Engine) error {
	if err := privileged(); err != nil {
		return err
	}
	_, err := findPrograms(ctx, engine)
	if errors.Is(err, errNotBuilt) && os.Getenv(RequireEngine) == "1" {
		_, err = BuildMoby(ctx, os.Stderr)
	}
	return err
}

// capSysAdmin is the number of CAP_SYS_ADMIN in capability.h. Mounts and
// namespaces need it.
const capSysAdmin = 21

// privileged returns an error unless this process may make namespaces.
func privileged() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("running as user %d, not as root", uid)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "\nCapEff:")
	line, _, _ := strings.Cut(after, "\n")
	effective, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return fmt.Errorf("reading this process's capabilities: %w", err)
	}
	if effective&(1<<capSysAdmin) == 0 {
		return errors.New("root here lacks CAP_SYS_ADMIN: run outside the container, or in a privileged one")
	}
	return nil
}

// takeDownAbandoned takes down the testbeds of tests that are no more.
func takeDownAbandoned(ctx context.Context) error {
	states, err := filepath.Glob(filepath.Join(os.TempDir(), abandonable, stateName))
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range states {
		dir := filepath.Dir(name)
		l, err := openLedger(dir)
		if err != nil || l.state.Owner.PID == 0 || l.state.Owner.alive() {
			continue // going, a person's, or in use
		}
		errs = append(errs, Down(ctx, dir), os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
