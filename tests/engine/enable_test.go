package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestEnableOnDocker(t *testing.T) { testEnable(t, testbed.Docker) }

func TestEnableOnMoby(t *testing.T) { testEnable(t, testbed.Moby) }

// daemonJSON is what an administrator has written, with white space of theirs.
const daemonJSON = "{ \"labels\":\n\t[\"site=a\"] ,\n\t\"debug\": false}\n\n"

// testEnable switches an engine over on which something would break, and back.
func testEnable(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	unsigned := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	if err := b.Pin("permissive", "prod/app"); err != nil {
		t.Fatal(err)
	}
	if out := b.docker(t, "create", "--name", "good", "--network", "none", signed.Ref); out.code != 0 {
		t.Fatal(out.stderr)
	}
	if out := b.docker(t, "create", "--name", "bad", "--network", "none", unsigned.Ref); out.code != 0 {
		t.Fatal(out.stderr)
	}
	b.startPlugin(t)
	before := b.configure(t)
	enable := []string{"authz", "enable", "--yes", "--confirm-within", "0"}

	out := b.stig(t, 2, "authz", "status")
	contains(t, out.stdout, "This engine does NOT enforce: the policy is permissive", "does not name it")
	if engine == testbed.Moby {
		contains(t, b.stig(t, 2, enable...).stderr, "HTTP/2", "--guard")
		contains(t, b.stig(t, 2, append(enable, "--guard")...).stderr, "docker.socket of systemd")
		enable = append(enable, "--without-guard")
	}
	out = b.stig(t, 2, enable...)
	contains(t, out.stdout, "bad (", "stopped, image "+unsigned.Ref, "unsigned", `"digests": {"`+b.image("prod/app"))
	contains(t, out.stderr, "1 of 2 containers would not start any more")
	if strings.Contains(out.stdout, "good (") {
		t.Errorf("the signed container is named, too:\n%s", out.stdout)
	}
	out = b.stig(t, 2, append(enable, "--accept-breakage", "--dry-run")...)
	contains(t, out.stdout, `+`, `"authorization-plugins": ["docker-stig-authz"],`, `"enforced"`)
	before.same(t)

	b.stig(t, 0, append(enable, "--accept-breakage")...)
	b.untouched(t, func() {
		b.refused(t, "unsigned", "run", "--network", "none", unsigned.Ref)
		b.refused(t, "unsigned", "start", "bad")
	})
	if out := b.docker(t, "start", "good"); out.code != 0 {
		t.Errorf("the signed container does not start: %s", out.stderr)
	}
	if approvals, err := os.ReadDir(filepath.Join(b.variable("STIG_STATE"), "approvals")); err != nil || len(approvals) != 1 {
		t.Errorf("approvals %v, want that of the signed container (%v)", approvals, err)
	}
	if engine == testbed.Docker {
		contains(t, b.stig(t, 0, "authz", "status").stdout, "This engine runs only what "+b.PolicyFile()+" vouches for\n")
	} else {
		contains(t, b.stig(t, 2, "authz", "status").stdout, "This engine does NOT enforce: the engine serves gRPC over HTTP/2")
	}
	contains(t, b.stig(t, 0, append(enable, "--accept-breakage")...).stdout, "There is nothing to change")

	b.stig(t, 2, "authz", "disable", "--dry-run")
	b.stig(t, 0, "authz", "disable", "--yes")
	before.same(t)
	if out := b.docker(t, "run", "--rm", "--network", "none", unsigned.Ref); out.code != 0 {
		t.Errorf("after disabling: %s", out.stderr)
	}
	contains(t, b.stig(t, 1, "authz", "disable", "--yes").stderr, "has changed nothing here")
}

// TestDisableAfterOthersChangedTheFiles takes out what was enabled, and leaves
// what came since.
func TestDisableAfterOthersChangedTheFiles(t *testing.T) {
	b := newBed(t, testbed.Docker)
	if err := b.WritePolicy(map[string]any{"digests": map[string][]string{"example.com/app": {"sha256:" + strings.Repeat("a", 64)}}}); err != nil {
		t.Fatal(err)
	}
	b.startPlugin(t)
	b.configure(t)
	b.stig(t, 0, "authz", "enable", "--yes")
	replace(t, b.DaemonJSON(), "false", "true")
	replace(t, b.PolicyFile(), "example.com/app", "example.com/other")
	contains(t, b.stig(t, 0, "authz", "disable", "--yes").stdout, "was changed since")
	if got, want := read(t, b.DaemonJSON()), strings.Replace(daemonJSON, "false", "true", 1); got != want {
		t.Errorf("daemon.json is %q, want %q", got, want)
	}
	if policy := read(t, b.PolicyFile()); !strings.Contains(policy, "example.com/other") || !strings.Contains(policy, `"permissive"`) {
		t.Errorf("the policy is\n%s", policy)
	}
}

// TestEnableIsTakenBack spoils an enable in several ways. Each has to leave
// everything as it was, and an engine that works.
func TestEnableIsTakenBack(t *testing.T) {
	b := newBed(t, testbed.Docker)
	if err := b.WritePolicy(nil); err != nil {
		t.Fatal(err)
	}
	before := b.configure(t)
	enable := []string{"authz", "enable", "--yes", "--accept-breakage"}

	t.Run("the plugin does not answer", func(t *testing.T) {
		contains(t, b.stig(t, 2, enable...).stderr, "docker-stig-authz does not answer")
		before.same(t)
	})
	t.Run("the plugin hangs on the engine's questions", func(t *testing.T) {
		b.hangingPlugin(t)
		contains(t, b.stig(t, 1, enable...).stderr, "did not answer through the plugin within", "everything was taken back")
		b.healthy(t, before)
	})
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			asked := b.hangingPlugin(t)
			cmd := b.direct(t, nil, enable...)
			select {
			case <-asked: // daemon.json is changed, and the engine has read it
			case <-time.After(time.Minute):
				t.Fatal("the engine does not ask")
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			b.awaitTakenBack(t)
			b.healthy(t, before)
		})
	}
	t.Run("nobody confirms", func(t *testing.T) {
		b.startPlugin(t)
		here, there := terminal(t)
		defer here.Close()
		cmd := b.direct(t, there, append(enable, "--confirm-within", "2s")...)
		if err := cmd.Wait(); err == nil {
			t.Error("it was kept")
		}
		contains(t, said(cmd), "nobody confirmed within 2s", "everything was taken back")
		b.healthy(t, before)
	})
	t.Run("the command stops before it is confirmed", func(t *testing.T) {
		b.startPlugin(t)
		here, there := terminal(t)
		defer here.Close()
		cmd := b.direct(t, there, append(enable, "--confirm-within", "2s")...)
		b.awaitEnforced(t)
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the keeper ends it
		b.awaitTakenBack(t)
		b.healthy(t, before)
	})
	t.Run("confirmed", func(t *testing.T) {
		b.startPlugin(t)
		here, there := terminal(t)
		defer here.Close()
		cmd := b.direct(t, there, enable...)
		if _, err := here.WriteString("yes\n"); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, said(cmd))
		}
		b.awaitEnforced(t)
		b.stig(t, 0, "authz", "disable", "--yes")
		b.healthy(t, before)
	})
}

// TestEnableOfALargePolicyIsTakenBack, by the keeper and by disable: a policy
// may have 32 MiB.
func TestEnableOfALargePolicyIsTakenBack(t *testing.T) {
	b := newBed(t, testbed.Docker)
	if err := b.WritePolicy(nil); err != nil {
		t.Fatal(err)
	}
	large := read(t, b.PolicyFile()) + strings.Repeat("// a comment of the site\n", 5<<20/25)
	if err := os.WriteFile(b.PolicyFile(), []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	b.startPlugin(t)
	before := b.configure(t)
	enable := []string{"authz", "enable", "--yes", "--accept-breakage", "--confirm-within"}
	here, there := terminal(t)
	defer here.Close()
	cmd := b.direct(t, there, append(enable, "2s")...)
	if err := cmd.Wait(); err == nil {
		t.Error("it was kept")
	}
	contains(t, said(cmd), "everything was taken back")
	b.healthy(t, before)
	b.stig(t, 0, append(enable, "0")...)
	b.awaitEnforced(t)
	b.stig(t, 0, "authz", "disable", "--yes")
	b.healthy(t, before)
}

// TestEnableWithoutItsKeeper: what was to take everything back is killed, and
// then somebody says yes. Without it nothing is kept.
func TestEnableWithoutItsKeeper(t *testing.T) {
	b := newBed(t, testbed.Docker)
	if err := b.WritePolicy(nil); err != nil {
		t.Fatal(err)
	}
	before := b.configure(t)
	b.startPlugin(t)
	here, there := terminal(t)
	defer here.Close()
	cmd := b.direct(t, there, "authz", "enable", "--yes", "--accept-breakage")
	await(t, "the question", func() bool { return strings.Contains(said(cmd), "unless you say yes") })
	keeper := childOf(t, cmd.Process.Pid)
	if err := syscall.Kill(keeper, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := here.WriteString("yes\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was kept")
	}
	contains(t, said(cmd), "has ended; everything was taken back")
	b.healthy(t, before)
}

// childOf is the one child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	child := 0
	await(t, "a child", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, list := range lists {
			raw, _ := os.ReadFile(list)
			if _, err := fmt.Sscan(string(raw), &child); err == nil {
				return true
			}
		}
		return false
	})
	return child
}

// TestDisableWhatTheFilesSaidBefore: they named the plugin, and enforced, and
// the engine had not read them. Enabling changes no file, and disabling none.
func TestDisableWhatTheFilesSaidBefore(t *testing.T) {
	b := newBed(t, testbed.Docker)
	if err := b.WritePolicy(enforcing); err != nil {
		t.Fatal(err)
	}
	b.startPlugin(t)
	if err := os.WriteFile(b.DaemonJSON(), []byte(`{"authorization-plugins": ["docker-stig-authz"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	b.stig(t, 0, "authz", "enable", "--yes")
	out := b.stig(t, 0, "authz", "disable", "--yes")
	contains(t, out.stdout, "It changed no file", "goes on asking docker-stig-authz", "take docker-stig-authz out of daemon.json")
	b.stig(t, 0, "authz", "status")
	b.stig(t, 0, "authz", "enable", "--yes")
}

// A setup is what the files were, with their modes.
type setup map[string]string

// configure writes the engine's configuration and notes what there is.
func (b *bed) configure(t *testing.T) setup {
	t.Helper()
	if err := os.WriteFile(b.DaemonJSON(), []byte(daemonJSON), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.DaemonJSON(), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(b.DaemonJSON(), 0, 7); err != nil {
		t.Fatal(err)
	}
	s := setup{}
	for _, path := range []string{b.DaemonJSON(), b.PolicyFile()} {
		s[path] = inspect(t, path)
	}
	return s
}

func (s setup) same(t *testing.T) {
	t.Helper()
	for path, want := range s {
		if got := inspect(t, path); got != want {
			t.Errorf("%s is %q, was %q", path, got, want)
		}
	}
}

// inspect gives a file's bytes, mode and owner.
func inspect(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d %s", info.Mode(), stat.Uid, stat.Gid, read(t, path))
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func replace(t *testing.T, path, from, to string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Replace(read(t, path), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, want := range words {
		if !strings.Contains(text, want) {
			t.Errorf("want %q in\n%s", want, text)
		}
	}
}

func (b *bed) pluginSocket() string {
	return filepath.Join(b.PluginSockets(), "docker-stig-authz.sock")
}

// A plugin is a docker-stig-authz that runs, with its log.
type plugin struct {
	*os.Process

	log string
}

// startPlugin starts docker-stig-authz; the engine is not told of it.
func (b *bed) startPlugin(t *testing.T) plugin {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "docker-stig-authz"), "serve",
		"--policy", b.PolicyFile(), "--socket", b.pluginSocket(), "--state", b.variable("STIG_STATE"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended it
		if t.Failed() {
			t.Logf("docker-stig-authz:\n%s", read(t, log.Name()))
		}
	})
	await(t, "the plugin listens", func() bool { _, err := os.Stat(b.pluginSocket()); return err == nil })
	return plugin{cmd.Process, log.Name()}
}

// reload has the plugin read its policy, and waits until it says what came of
// it.
func (p plugin) reload(t *testing.T, words string) {
	t.Helper()
	before := strings.Count(read(t, p.log), words)
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, words, func() bool { return strings.Count(read(t, p.log), words) > before })
}

// hangingPlugin does all that is wanted of a plugin, until the engine asks: it
// sends along its caller's User-Agent. The first such question is told.
func (b *bed) hangingPlugin(t *testing.T) <-chan struct{} {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", b.pluginSocket())
	if err != nil {
		t.Fatal(err)
	}
	asked, over := make(chan struct{}, 1), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/Plugin.Activate" {
			_, _ = w.Write([]byte(`{"Implements":["authz"]}`))
			return
		}
		var question struct {
			RequestURI     string `json:"RequestUri"`
			RequestHeaders map[string]string
		}
		_ = json.NewDecoder(r.Body).Decode(&question)
		if question.RequestHeaders["User-Agent"] != "" {
			select {
			case asked <- struct{}{}:
			default:
			}
			<-over
		}
		_, _ = fmt.Fprintf(w, `{"Allow":%t}`, question.RequestURI == "/_ping")
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { close(over); _ = server.Close() })
	return asked
}

// direct starts docker stig by its own name: the docker command would stand
// between it and a signal.
func (b *bed) direct(t *testing.T, stdin *os.File, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "docker-stig"), append([]string{"stig"}, args...)...)
	cmd.Env = append(append(os.Environ(), b.Env()...), b.env...)
	cmd.Stderr = new(speech)
	if stdin != nil {
		cmd.Stdin = stdin
		defer stdin.Close()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A speech is what a program says, heard while it speaks.
type speech struct {
	mu   sync.Mutex
	text []byte
}

func (s *speech) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, p...)
	return len(p), nil
}

// said is what a program of direct has said so far on standard error.
func said(cmd *exec.Cmd) string {
	s := cmd.Stderr.(*speech)
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// healthy wants files as they were and an engine that makes containers.
func (b *bed) healthy(t *testing.T, before setup) {
	t.Helper()
	before.same(t)
	image := "scratch-" + fmt.Sprint(time.Now().UnixNano())
	if out := b.docker(t, "volume", "create", image); out.code != 0 {
		t.Errorf("the engine refuses: %s", out.stderr)
	}
	contains(t, b.stig(t, 2, "authz", "status").stdout, "the policy is permissive")
}

func (b *bed) journal() string {
	return filepath.Join(b.variable("STIG_STATE"), "enable", "journal.json")
}

// awaitTakenBack waits until there is nothing left to take back.
func (b *bed) awaitTakenBack(t *testing.T) {
	t.Helper()
	await(t, "everything is taken back", func() bool { _, err := os.Stat(b.journal()); return os.IsNotExist(err) })
}

// awaitEnforced waits until the engine refuses what nobody vouches for.
func (b *bed) awaitEnforced(t *testing.T) {
	t.Helper()
	await(t, "the engine enforces", func() bool {
		out := b.docker(t, "create", "example.com/nobody:1")
		return strings.Contains(out.stderr, "denied by plugin docker-stig-authz")
	})
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// terminal opens a pseudoterminal, as pty(7) has it: our side and the
// program's.
func terminal(t *testing.T) (here, there *os.File) {
	t.Helper()
	here, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(here.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(here.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if there, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return here, there
}
