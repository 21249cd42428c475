package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The newest Moby and runc that the Go module proxy has. Debian's runc 1.1.5
// fails under that dockerd, and so does one without the tag seccomp.
const (
	mobyVersion = "v2.0.0-beta.24"
	runcVersion = "v1.5.2"
)

// errNotBuilt says that the second engine is not in the cache.
var errNotBuilt = errors.New("the moby engine is not built: run `go run ./tests/testbed/cmd/testbed build`, which takes minutes")

// cacheDir is where built engines are kept between testbeds.
func cacheDir() (string, error) {
	if dir := os.Getenv("STIG_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep the moby engine: %w: set STIG_CACHE to a folder", err)
	}
	return filepath.Join(dir, "docker-stig"), nil
}

func mobyPath(cache string) string {
	return filepath.Join(cache, "moby-"+mobyVersion+"-runc-"+runcVersion)
}

// MobyDir is the folder with dockerd and runc that BuildMoby made.
func MobyDir() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := mobyPath(cache)
	if !exists(dir) {
		return "", errNotBuilt
	}
	return dir, nil
}

// BuildMoby builds the second engine from the Go module proxy, unless that
// was done before, and returns the folder with dockerd and runc. The folder
// gets its name only when both are in it.
func BuildMoby(ctx context.Context, progress io.Writer) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := mobyPath(cache)
	if exists(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "unfinished-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	bin := filepath.Join(work, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	if err := buildInto(ctx, work, bin, progress); err != nil {
		return "", fmt.Errorf("building the moby engine: %w", err)
	}
	// Somebody else may have been faster; theirs is as good.
	if err := os.Rename(bin, dir); err != nil && !exists(dir) {
		return "", err
	}
	return dir, nil
}

// buildInto builds dockerd as a program of its own module, and runc, which
// replaces modules and therefore cannot be built so, from a throw-away one.
func buildInto(ctx context.Context, work, bin string, progress io.Writer) error {
	steps := [][]string{
		{"go", "install", "github.com/moby/moby/v2/cmd/dockerd@" + mobyVersion},
		{"go", "mod", "init", "throwaway"},
		{"go", "get", "github.com/opencontainers/runc@" + runcVersion},
		{"go", "build", "-tags", "seccomp", "-o", filepath.Join(bin, "runc"), "github.com/opencontainers/runc"},
	}
	for i, argv := range steps {
		_, _ = fmt.Fprintf(progress, "moby engine, step %d of %d: %s\n", i+1, len(steps), strings.Join(argv, " "))
		cmd := command(ctx, argv...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=1")
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w: are libseccomp-dev, pkg-config and gcc there?", strings.Join(argv, " "), err)
		}
	}
	return nil
}
