package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"testbed": main})
}

// TestScripts runs the program as a shell script does.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", os.Getenv("HOME")) // the cache of the moby engine is below it
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "engine" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			err := testbed.Available(t.Context(), testbed.Docker)
			if os.Getenv(testbed.RequireEngine) == "1" {
				return true, err
			}
			return err == nil, nil
		},
	})
}
