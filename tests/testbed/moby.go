package testbed

import (
	"context"
	"io"
	"path/filepath"
)

// The newest Moby and runc that the Go module proxy has. Debian's runc 1.1.5
// fails under that dockerd, and so does one without the tag seccomp.
const (
	mobyVersion = "v2.0.0-beta.24"
	runcVersion = "v1.5.2"
)

// mobyRecipe builds dockerd as a program of its own module, and runc, which
// replaces modules and therefore cannot be built so, from a throw-away one.
var mobyRecipe = recipe{
	name:   "the moby engine",
	folder: "moby-" + mobyVersion + "-runc-" + runcVersion,
	env:    []string{"CGO_ENABLED=1"},
	hint:   "are libseccomp-dev, pkg-config and gcc there?",
	steps: func(bin string) [][]string {
		return [][]string{
			{"go", "install", "github.com/moby/moby/v2/cmd/dockerd@" + mobyVersion},
			{"go", "mod", "init", "throwaway"},
			{"go", "get", "github.com/opencontainers/runc@" + runcVersion},
			{"go", "build", "-tags", "seccomp", "-o", filepath.Join(bin, "runc"), "github.com/opencontainers/runc"},
		}
	},
}

// MobyDir is the folder with dockerd and runc that BuildMoby made.
func MobyDir() (string, error) { return mobyRecipe.built() }

// BuildMoby builds the second engine, unless that was done before, and returns
// the folder with dockerd and runc.
func BuildMoby(ctx context.Context, progress io.Writer) (string, error) {
	return mobyRecipe.build(ctx, progress)
}
