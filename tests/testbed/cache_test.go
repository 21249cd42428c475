package testbed

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestRecipe follows a recipe that several want at the same time, and one that
// fails when half of it is done.
func TestRecipe(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("STIG_CACHE", cache)
	log := filepath.Join(t.TempDir(), "log")
	cooked := func(folder, then string) recipe {
		return recipe{name: "a program", folder: folder, env: []string{"WORD=made"}, hint: "is all there?", steps: func(bin string) [][]string {
			return [][]string{
				{"/bin/sh", "-c", `echo "$WORD" >"$1/program" && echo once >>"$2"`, "sh", bin, log},
				{"/bin/sh", "-c", then},
			}
		}}
	}

	good := cooked("good-v1", "true")
	if _, err := good.built(); !errors.Is(err, errNotBuilt) {
		t.Errorf("before it is built: %v", err)
	}
	if err := concurrently(slices.Repeat([]func() error{func() error {
		dir, err := good.build(t.Context(), io.Discard)
		if err == nil && dir != filepath.Join(cache, "good-v1") {
			err = errors.New("built in " + dir)
		}
		return err
	}}, 5)...); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(cache, "good-v1", "program")); string(text) != "made\n" {
		t.Errorf("the program is %q, %v", text, err)
	}
	if text, err := os.ReadFile(log); string(text) != "once\n" {
		t.Errorf("five builds at once built\n%s, %v", text, err)
	}

	bad := cooked("bad-v1", "exit 3")
	if _, err := bad.build(t.Context(), io.Discard); err == nil {
		t.Error("a step that fails fails nothing")
	}
	if _, err := bad.built(); !errors.Is(err, errNotBuilt) {
		t.Errorf("after it failed: %v", err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "good-v1" && e.Name() != lockName {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}
