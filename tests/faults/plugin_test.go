package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/renameio/v2"
)

// watchdog is how long systemd would wait for a sign of life.
const watchdog = 2 * time.Second

// A plugin is docker-stig-authz in the hands of what stands in systemd's
// place: its socket is open whether it lives or not, and it says how it is.
type plugin struct {
	socket  *os.File // that of the engine's questions
	says    string   // path of the socket where it tells its state
	policy  string
	state   string // folder
	records string // file of its decisions
	log     string // file of what it says

	process *exec.Cmd

	mu   sync.Mutex
	told map[string]int // how often it told a state
}

func newPlugin(t *testing.T, b *bed) *plugin {
	t.Helper()
	dir := t.TempDir()
	p := &plugin{
		says: filepath.Join(dir, "notify"), policy: b.PolicyFile(), log: filepath.Join(dir, "log"), told: map[string]int{},
	}
	p.keepIn(dir)
	p.open(t, filepath.Join(b.PluginSockets(), "docker-stig-authz.sock"))
	p.hear(t)
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			t.Logf("docker-stig-authz said last:\n%s", p.tail())
		}
	})
	p.start(t)
	return p
}

// keepIn has the next plugin keep its state and records in a folder.
func (p *plugin) keepIn(dir string) {
	p.state, p.records = filepath.Join(dir, "state"), filepath.Join(dir, "records", "authz.log")
}

// open opens the socket that outlives plugins.
func (p *plugin) open(t *testing.T, path string) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close() // nobody accepts here: a copy stays open
	if p.socket, err = listener.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.socket.Close() })
}

// hear counts what the plugin tells systemd.
func (p *plugin) hear(t *testing.T) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.says, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for buf := make([]byte, 512); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			state, _, _ := strings.Cut(string(buf[:n]), "\n")
			p.mu.Lock()
			p.told[state]++
			p.mu.Unlock()
		}
	}()
}

func (p *plugin) count(state string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.told[state]
}

// begin starts a plugin on the socket, as systemd would. The variable names
// the process that the socket is for, so the shell becomes the plugin.
func (p *plugin) begin(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.process = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`,
		filepath.Join(programs, "docker-stig-authz"), "serve", "--policy", p.policy, "--state", p.state, "--log-file", p.records)
	p.process.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+p.says, "GOMEMLIMIT=400MiB", // as the unit has it
		fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	p.process.ExtraFiles = []*os.File{p.socket}
	p.process.Stderr = log
	if err := p.process.Start(); err != nil {
		t.Fatal(err)
	}
}

// start starts a plugin and waits until it is ready.
func (p *plugin) start(t *testing.T) {
	t.Helper()
	p.tells(t, "READY=1", func() { p.begin(t) })
}

// tells waits until the plugin tells a state because of what f does.
func (p *plugin) tells(t *testing.T, state string, f func()) {
	t.Helper()
	before := p.count(state)
	f()
	for end := time.Now().Add(patience); p.count(state) == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the plugin does not tell %s; it said last:\n%s", state, p.tail())
		}
	}
}

// kill ends the plugin in the middle of whatever it does.
func (p *plugin) kill(t *testing.T) {
	t.Helper()
	if p.process == nil {
		return
	}
	_ = p.process.Process.Kill()
	_ = p.process.Wait() // it was killed, or was dead already
	p.process = nil
}

// stop tells the plugin to stop, wants it to end well, and says how long that
// took.
func (p *plugin) stop(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	p.signal(t, syscall.SIGTERM)
	if err := p.process.Wait(); err != nil {
		t.Errorf("stopping the plugin: %v\n%s", err, p.tail())
	}
	p.process = nil
	return time.Since(began)
}

func (p *plugin) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.process.Process.Signal(s); err != nil {
		t.Fatalf("the plugin is gone: %v\n%s", err, p.tail())
	}
}

// reload replaces the policy, as editors of ours do, and waits until the
// plugin has read it.
func (p *plugin) reload(t *testing.T, policy []byte) {
	t.Helper()
	if err := renameio.WriteFile(p.policy, policy, 0o644); err != nil {
		t.Fatal(err)
	}
	p.tells(t, "READY=1", func() { p.signal(t, syscall.SIGHUP) })
}

// said is the length of the log so far.
func (p *plugin) said() int64 {
	info, err := os.Stat(p.log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// since is what the plugin said after that.
func (p *plugin) since(t *testing.T, said int64) string {
	t.Helper()
	log, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(log[said:])
}

// tail is the end of what it said.
func (p *plugin) tail() string {
	log, _ := os.ReadFile(p.log)
	return string(log[max(0, len(log)-4000):])
}

// size reads a line of /proc/PID/status, in bytes.
func (p *plugin) size(t *testing.T, key string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "\n"+key+":")
	line, _, _ := strings.Cut(after, "\n")
	kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
	if err != nil {
		t.Fatalf("reading %s: %v", key, err)
	}
	return kib << 10
}

// files counts the descriptors that the plugin has open.
func (p *plugin) files(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
