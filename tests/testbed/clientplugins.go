package testbed

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// The last compose of the second major version, and the buildx that it is made
// of: so the two share what is compiled, which is nearly everything. Debian 12
// has the first compose alone, which is no plugin of the client.
const (
	composeVersion = "v2.40.3"
	buildxVersion  = "v0.29.1"
)

var clientPluginsRecipe = recipe{
	name:   "compose and buildx",
	folder: "compose-" + composeVersion + "-buildx-" + buildxVersion,
	env:    []string{"CGO_ENABLED=0"},
	hint:   "does the Go module proxy answer?",
	steps: func(bin string) [][]string {
		const compose, buildx = "github.com/docker/compose/v2/cmd", "github.com/docker/buildx/cmd/buildx"
		build := func(program, pkg string) []string {
			return []string{"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(bin, program), pkg}
		}
		return [][]string{
			{"go", "mod", "init", "throwaway"},
			{"go", "get", compose + "@" + composeVersion, buildx + "@" + buildxVersion},
			build("docker-compose", compose),
			build("docker-buildx", buildx),
		}
	},
}

// BuildClientPlugins builds docker compose and docker buildx, unless that was
// done before, and returns the folder with docker-compose and docker-buildx.
func BuildClientPlugins(ctx context.Context, progress io.Writer) (string, error) {
	return clientPluginsRecipe.build(ctx, progress)
}

// ClientPlugins is the folder with docker-compose and docker-buildx, for a
// test. Where it is not built the test is skipped; if STIG_REQUIRE_ENGINE is 1
// it is built now, or the test fails.
func ClientPlugins(tb testing.TB) string {
	tb.Helper()
	dir, err := clientPluginsRecipe.built()
	if errors.Is(err, errNotBuilt) && os.Getenv(RequireEngine) == "1" {
		dir, err = BuildClientPlugins(tb.Context(), os.Stderr)
	}
	if err != nil {
		missing(tb, "docker's client plugins", err)
	}
	return dir
}
