// Package bench measures what docker-stig-authz costs those who use an engine:
// in its answers, in the engine's, and in memory; and how long docker stig
// takes for a whole host or registry. It proves nothing about what they decide;
// other folders of tests do.
//
// The plugin is measured against one that allows everything, made with
// docker/go-plugins-helpers, in the same run and in turn, so that what else the
// machine does falls on both. Both are processes of their own, as they are
// beside an engine: in the process of the one who asks, the scheduler's share
// would be measured. What is reported are medians and their ratios; table, in
// the folder below, holds them against what is wanted.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/go-plugins-helpers/authorization"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// allowAllSocket makes this program, run again, the plugin to compare with.
const allowAllSocket = "STIG_BENCH_ALLOW_ALL"

func TestMain(m *testing.M) {
	if socket := os.Getenv(allowAllSocket); socket != "" {
		fmt.Fprintln(os.Stderr, serveAllowAll(socket))
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "stig")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// An allowAll is the plugin to compare with.
type allowAll struct{}

func (allowAll) AuthZReq(authorization.Request) authorization.Response {
	return authorization.Response{Allow: true}
}

func (allowAll) AuthZRes(authorization.Request) authorization.Response {
	return authorization.Response{Allow: true}
}

func serveAllowAll(socket string) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", socket)
	if err != nil {
		return err
	}
	return authorization.NewHandler(allowAll{}).Serve(listener)
}

// programs is the folder with the built programs.
var programs string

// The programs, each built when a benchmark first needs it.
var (
	authzPlugin = sync.OnceValues(func() (string, error) { return build(testbed.AuthzPlugin) })
	cliPlugin   = sync.OnceValues(func() (string, error) { return build(testbed.CLIPlugin) })
)

// build builds a program as it is delivered.
func build(program string) (string, error) {
	path := filepath.Join(programs, filepath.Base(program))
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, program)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", program, err, out)
	}
	return path, nil
}

// A plugin is a process that answers on a socket.
type plugin struct {
	socket  string
	process *exec.Cmd
	log     strings.Builder
}

// ours starts docker-stig-authz as it is delivered: it records to a file and
// keeps approvals.
func ours(b *testing.B, policy, socket string) *plugin {
	b.Helper()
	path, err := authzPlugin()
	if err != nil {
		b.Fatal(err)
	}
	state := b.TempDir()
	return startPlugin(b, socket, exec.CommandContext(b.Context(), path, "serve", "--policy", policy, "--socket", socket,
		"--state", filepath.Join(state, "state"), "--log-file", filepath.Join(state, "log", "authz.log")))
}

// theirs starts the plugin to compare with.
func theirs(b *testing.B, socket string) *plugin {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), allowAllSocket+"="+socket)
	return startPlugin(b, socket, cmd)
}

// startPlugin waits until the plugin answers.
func startPlugin(b *testing.B, socket string, cmd *exec.Cmd) *plugin {
	b.Helper()
	p := &plugin{socket: socket, process: cmd}
	cmd.Stderr = &p.log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if b.Failed() {
			b.Logf("the plugin at %s said:\n%s", filepath.Base(socket), p.log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(b.Context(), "unix", socket)
		if err == nil {
			_ = conn.Close()
			return p
		}
		if time.Now().After(deadline) {
			b.Fatalf("the plugin does not listen: %v", err)
		}
	}
}

// resident is the memory that the plugin has, in bytes.
func (p *plugin) resident() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, ok := strings.Cut(string(status), "\nVmRSS:")
	line, _, _ := strings.Cut(after, "\n")
	if !ok {
		return 0, errors.New("the kernel does not tell VmRSS")
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
	return kib << 10, err
}
