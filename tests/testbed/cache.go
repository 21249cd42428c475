package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// errNotBuilt says that something is not in the cache.
var errNotBuilt = errors.New("not built yet: run `go run ./tests/testbed/cmd/testbed build`, which takes minutes")

// buildPatience is how long a build waits for another: on two cores, the
// longest takes a quarter of an hour when the go command has nothing cached.
const buildPatience = 30 * time.Minute

// A recipe makes programs that Debian lacks from what the Go module proxy has.
type recipe struct {
	name   string // for people
	folder string // in the cache; tells the versions
	env    []string
	hint   string // of what to look at when it fails
	steps  func(bin string) [][]string
}

// cacheDir is where programs that were built are kept between testbeds.
func cacheDir() (string, error) {
	if dir := os.Getenv("STIG_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no place to keep what is built: %w: set STIG_CACHE to a folder", err)
	}
	return filepath.Join(dir, "docker-stig"), nil
}

// built is the folder with the programs.
func (r recipe) built() (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, r.folder)
	if !exists(dir) {
		return "", fmt.Errorf("%s: %w", r.name, errNotBuilt)
	}
	return dir, nil
}

// build makes the programs, unless that was done before, and returns their
// folder, which gets its name only when all are in it.
func (r recipe) build(ctx context.Context, progress io.Writer) (string, error) {
	if dir, err := r.built(); !errors.Is(err, errNotBuilt) {
		return dir, err
	}
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	lock, err := lockDir(ctx, cache, buildPatience)
	if err != nil {
		return "", err
	}
	defer lock.release()
	if dir, err := r.built(); !errors.Is(err, errNotBuilt) {
		return dir, err // by whoever had the lock
	}
	work := filepath.Join(cache, "unfinished")
	if err := os.RemoveAll(work); err != nil { // of a build that was killed
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	bin := filepath.Join(work, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	if err := r.follow(ctx, work, bin, progress); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", r.name, err, r.hint)
	}
	dir := filepath.Join(cache, r.folder)
	return dir, os.Rename(bin, dir)
}

// follow runs the steps in a throw-away module.
func (r recipe) follow(ctx context.Context, work, bin string, progress io.Writer) error {
	steps := r.steps(bin)
	for i, argv := range steps {
		line := strings.Join(argv, " ")
		_, _ = fmt.Fprintf(progress, "%s, step %d of %d: %s\n", r.name, i+1, len(steps), line)
		cmd := command(ctx, argv...)
		cmd.Dir = work
		cmd.Env = append(append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "GOWORK=off"), r.env...)
		cmd.Stdout, cmd.Stderr = progress, progress
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}
