package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// stigManager has the parsers that STIG Manager's client uses, without a
// dependency of its own. It needs Node.js 20 or later.
//
// https://github.com/NUWCDIVNPT/stig-manager-client-modules
const stigManager = "@nuwcdivnpt/stig-manager-client-modules@1.6.7"

// clientModules is the folder node_modules with STIG Manager's parsers. Where
// they cannot be had the test is skipped; if STIG_REQUIRE_ENGINE is 1 it fails.
func clientModules(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, fmt.Sprintf("there is no %s here: install Node.js", program))
		}
	}
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(cache, "stig-manager-client-modules-1.6.7")
	if _, err := os.Stat(kept); err == nil {
		return filepath.Join(kept, "node_modules")
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(cache, "npm-") //nolint:usetesting // beside its later place, so that it can be renamed
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	install := exec.CommandContext(t.Context(), "npm", "install", "--prefix", work, "--ignore-scripts", "--no-audit", "--no-fund", stigManager)
	install.Dir = work
	if said, err := install.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("npm cannot install %s: %v\n%s", stigManager, err, said))
	}
	// It gets its name when all of it is there. Another run may have been faster.
	if err := os.Rename(work, kept); err != nil {
		if _, there := os.Stat(kept); there != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(kept, "node_modules")
}

// cacheDir is where tests keep what they fetched.
func cacheDir() (string, error) {
	if dir := os.Getenv("STIG_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep what is fetched: %w: set STIG_CACHE to a folder", err)
	}
	return filepath.Join(dir, "docker-stig"), nil
}

// skip leaves the test out where it cannot run, and fails it where everything
// has to.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("STIG_REQUIRE_ENGINE") == "1" {
		t.Fatalf("STIG_REQUIRE_ENGINE=1, but %s", why)
	}
	t.Skip(why)
}
