// Package engine holds the tests of whole programs on real engines, registry
// and Notary server: docker stig and docker-stig-authz as a user has them.
// What a request was refused for is told by its message; that it was refused
// is proved by the engine's containers.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// programs is the folder with the built programs.
var programs string

func TestMain(m *testing.M) {
	os.Exit(testbed.Main(m, &programs, testbed.CLIPlugin, testbed.AuthzPlugin))
}

// A bed is a testbed with docker stig installed in it.
type bed struct {
	*testbed.Testbed
	env []string // beside the testbed's own
}

func newBed(t *testing.T, engine testbed.Engine) *bed {
	t.Helper()
	b := &bed{Testbed: testbed.Start(t, engine)}
	plugins := filepath.Join(b.variable("DOCKER_CONFIG"), "cli-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(programs, "docker-stig"), filepath.Join(plugins, "docker-stig")); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bed) variable(name string) string {
	for _, entry := range b.Env() {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// image is the name of an image in the testbed's registry.
func (b *bed) image(name string) string { return b.Registry() + "/" + name }

// output is what a program said and how it ended.
type output struct {
	stdout, stderr string
	code           int
}

// docker runs the docker client and gives all it said.
func (b *bed) docker(t *testing.T, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.variable("STIG_DOCKER"), args...)
	cmd.Env = append(append(os.Environ(), b.Env()...), b.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	exited := new(exec.ExitError)
	if err != nil && !errors.As(err, &exited) {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// stig runs docker stig and wants an exit code.
func (b *bed) stig(t *testing.T, code int, args ...string) output {
	t.Helper()
	out := b.docker(t, append([]string{"stig"}, args...)...)
	if out.code != code {
		t.Errorf("docker stig %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), out.code, code, out.stdout, out.stderr)
	}
	return out
}

// enforce starts docker-stig-authz on the testbed's policy and makes the
// engine ask it.
func (b *bed) enforce(t *testing.T) {
	t.Helper()
	b.enforceFrom(t, t.TempDir())
}

// enforceFrom is enforce for a plugin that keeps its state in a folder.
func (b *bed) enforceFrom(t *testing.T, state string) {
	t.Helper()
	socket := filepath.Join(b.PluginSockets(), "docker-stig-authz.sock")
	plugin := exec.CommandContext(t.Context(), filepath.Join(programs, "docker-stig-authz"), "serve",
		"--policy", b.PolicyFile(), "--socket", socket, "--state", state, "--log-file", filepath.Join(state, "authz.log"))
	plugin.Cancel = func() error { return plugin.Process.Signal(os.Interrupt) }
	var log strings.Builder
	plugin.Stderr = &log
	if err := plugin.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = plugin.Wait() // the test's context has ended it
		if t.Failed() {
			t.Logf("docker-stig-authz:\n%s", log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the plugin does not listen:\n%s", log.String())
		}
	}
	if err := b.RestartEngine(t.Context(), []byte(`{"authorization-plugins": ["docker-stig-authz"]}`)); err != nil {
		t.Fatal(err)
	}
}

// containers are the engine's, as comparable text: a request that was refused
// changes none and adds none.
func (b *bed) containers(t *testing.T) []string {
	t.Helper()
	list, err := b.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, c := range list {
		texts = append(texts, fmt.Sprintf("%s %s %s %s", c.ID, c.Image, c.State, c.Started))
	}
	slices.Sort(texts)
	return texts
}

// untouched runs f and wants no container made, started or removed by it.
func (b *bed) untouched(t *testing.T, f func()) {
	t.Helper()
	before := b.containers(t)
	f()
	if after := b.containers(t); !slices.Equal(before, after) {
		t.Errorf("the containers changed\nfrom %v\nto   %v", before, after)
	}
}

func fromJSON(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
}
