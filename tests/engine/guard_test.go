package engine

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestGuardOnDocker(t *testing.T) { testGuard(t, testbed.Docker) }

func TestGuardOnMoby(t *testing.T) { testGuard(t, testbed.Moby) }

// testGuard does through the guard what is done on the engine's own socket,
// and wants no difference, but for HTTP/2.
func testGuard(t *testing.T, engine testbed.Engine) {
	t.Helper()
	bare := newBed(t, engine)
	image := bare.must(t)(bare.UnsignedImage(t.Context(), "app:1")).Ref
	g := startGuard(t, bare.Testbed)
	through := &bed{Testbed: bare.Testbed, env: []string{"DOCKER_HOST=unix://" + g.socket}}
	both := twice{bare, through}

	t.Run("commands", func(t *testing.T) { both.commands(t, image) })
	t.Run("streams", func(t *testing.T) { through.streams(t, image) })
	t.Run("terminal", func(t *testing.T) { both.terminals(t, image) })
	t.Run("save and load", func(t *testing.T) { both.saveAndLoad(t, image) })
	t.Run("build", func(t *testing.T) { both.build(t, image) })
	t.Run("plugins of the client", func(t *testing.T) { through.clientPlugins(t, image) })
	t.Run("HTTP/2", func(t *testing.T) { g.http2(t, bare, engine) })
	t.Run("idle", func(t *testing.T) { g.idle(t) })
	t.Run("log", func(t *testing.T) { g.logsItsPeers(t, through) })
	t.Run("engine away", func(t *testing.T) { g.engineAway(t, through) })
}

// A guardProcess is docker-stig-authz guard before the engine of a testbed.
type guardProcess struct {
	*testbed.Testbed
	socket string
	log    string // file
	pid    int
}

func startGuard(tb testing.TB, bed *testbed.Testbed) *guardProcess {
	tb.Helper()
	g := &guardProcess{Testbed: bed, socket: filepath.Join(bed.Dir(), "g.sock"), log: filepath.Join(tb.TempDir(), "log")}
	log, err := os.Create(g.log)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(tb.Context(), filepath.Join(programs, "docker-stig-authz"), "guard",
		"--engine", "unix://"+g.bare(), "--socket", g.socket, "--group", "")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	g.pid = cmd.Process.Pid
	tb.Cleanup(func() {
		_ = cmd.Wait() // the test's context has told it to stop
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			tb.Errorf("the guard ended with exit code %d", code)
		}
		if tb.Failed() {
			text, _ := os.ReadFile(g.log)
			tb.Logf("the guard:\n%s", regexp.MustCompile(`(?m)^.*connection passed on.*\n`).ReplaceAll(text, nil))
		}
	})
	g.awaitLog(tb, `"msg":"guarding"`)
	return g
}

// bare is the engine's own socket.
func (g *guardProcess) bare() string { return filepath.Join(g.Dir(), "d.sock") }

// awaitLog waits for a line of the log with a text.
func (g *guardProcess) awaitLog(tb testing.TB, text string) string {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(g.log)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, text) {
				return line
			}
		}
		if time.Now().After(deadline) {
			tb.Fatalf("the guard's log lacks %q:\n%s", text, data)
		}
	}
}

// twice is the same engine without the guard and with it.
type twice struct{ bare, through *bed }

// same runs a docker command both ways and wants the same of it.
func (b twice) same(t *testing.T, args ...string) output {
	t.Helper()
	without, with := b.bare.docker(t, args...), b.through.docker(t, args...)
	if without != with {
		t.Errorf("docker %s:\nwithout the guard: %+v\nwith it: %+v", strings.Join(args, " "), without, with)
	}
	return with
}

func (b twice) commands(t *testing.T, image string) {
	t.Helper()
	for _, args := range [][]string{
		{"version"},
		{"ps", "--all"},
		{"image", "inspect", image},
		{"run", "--rm", "--network", "none", image},
		{"run", "--rm", "--network", "none", image, "sh", "-c", "echo out; echo err >&2; exit 7"},
		{"inspect", "no-such-container"},
		{"run", "--rm", b.bare.image("never:1")},
	} {
		b.same(t, args...)
	}
}
