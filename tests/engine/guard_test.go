package engine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

// A guard is docker-stig-authz guard before the engine of a testbed.
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

// streams are answers that come as they come, and input that ends before the
// output does.
func (b *bed) streams(t *testing.T, image string) {
	t.Helper()
	t.Run("input that ends", func(t *testing.T) {
		got := b.dockerWith(t, "some\ninput\n", "run", "--rm", "--interactive", "--network", "none", image, "sh", "-c", "cat; echo after")
		if got.code != 0 || got.stdout != "some\ninput\nafter\n" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("attach", func(t *testing.T) {
		if out := b.docker(t, "run", "--detach", "--interactive", "--name", "attached", "--network", "none", image, "sh", "-c", "read line; echo got $line; exit 5"); out.code != 0 {
			t.Fatal(out.stderr)
		}
		// Its input stays open: the engine ends the output of attach with it.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := b.command(ctx, "attach", "attached")
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var shown strings.Builder
		cmd.Stdout = &shown
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(input, "words\n"); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // the exit code is looked at
		if code := cmd.ProcessState.ExitCode(); code != 5 || shown.String() != "got words\n" {
			t.Errorf("exit code %d after %q", code, shown.String())
		}
	})
	t.Run("events and logs", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := strconv.FormatInt(time.Now().Unix(), 10)
		events := b.stream(ctx, t, "events", "--since", begun, "--filter", "container=followed", "--format", "{{.Action}}")
		if out := b.docker(t, "create", "--name", "followed", "--interactive", "--network", "none", image, "sh", "-c", "echo first; read line; echo $line"); out.code != 0 {
			t.Fatal(out.stderr)
		}
		if out := b.docker(t, "start", "followed"); out.code != 0 {
			t.Fatal(out.stderr)
		}
		logs := b.stream(ctx, t, "logs", "--follow", "followed")
		if line, err := logs.ReadString('\n'); line != "first\n" {
			t.Fatalf("%q, %v", line, err)
		}
		b.dockerWith(t, "second\n", "attach", "followed")
		if rest, err := io.ReadAll(logs); string(rest) != "second\n" {
			t.Errorf("the log went on with %q, %v", rest, err)
		}
		for want := range strings.FieldsSeq("create start attach die") {
			if line, err := events.ReadString('\n'); !strings.HasPrefix(line, want) {
				t.Errorf("event %q, %v, want %s", line, err, want)
			}
		}
	})
	t.Run("dial-stdio", func(t *testing.T) {
		got := b.dockerWith(t, "GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n", "system", "dial-stdio")
		if !strings.HasPrefix(got.stdout, "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(got.stdout, "OK") {
			t.Errorf("%+v", got)
		}
	})
}

// dockerWith runs the client with an input that ends.
func (b *bed) dockerWith(t *testing.T, input string, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := b.command(ctx, args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (b *bed) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.variable("STIG_DOCKER"), args...)
	cmd.Env = append(append(os.Environ(), b.Env()...), b.env...)
	return cmd
}

// stream gives what the client says while it runs, which it does as long as
// the test at most.
func (b *bed) stream(ctx context.Context, t *testing.T, args ...string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	cmd := b.command(ctx, args...)
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return bufio.NewReader(said)
}

// terminals are sessions on a pseudoterminal, typed line by line.
func (b twice) terminals(t *testing.T, image string) {
	t.Helper()
	if out := b.bare.docker(t, "run", "--detach", "--tty", "--name", "lasting", "--network", "none", image, "sleep", "600"); out.code != 0 {
		t.Fatal(out.stderr)
	}
	defer b.bare.docker(t, "rm", "--force", "lasting")
	for name, args := range map[string][]string{
		"exec": {"exec", "--interactive", "--tty", "lasting", "sh"},
		"run":  {"run", "--rm", "--interactive", "--tty", "--network", "none", image, "sh"},
	} {
		t.Run(name, func(t *testing.T) {
			without, codeWithout := b.bare.typed(t, "echo $((6*7))\nexit 3\n", args...)
			with, codeWith := b.through.typed(t, "echo $((6*7))\nexit 3\n", args...)
			if !strings.Contains(with, "\n42\r\n") || codeWith != 3 || codeWithout != 3 {
				t.Errorf("with the guard the terminal shows (exit code %d)\n%s\nand without it (%d)\n%s", codeWith, with, codeWithout, without)
			}
		})
	}
}

// typed gives what a terminal shows on which the client runs, and its exit
// code.
func (b *bed) typed(t *testing.T, text string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	here, there := openTerminal(t)
	defer here.Close()
	cmd := b.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = there, there, there
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = there.Close()
	shown := bufio.NewReader(here)
	var all strings.Builder
	for line := range strings.Lines(text) { // each when the shell asks for it
		for !strings.HasSuffix(all.String(), "# ") {
			c, err := shown.ReadByte()
			if err != nil {
				t.Fatalf("%v after\n%s", err, all.String())
			}
			all.WriteByte(c)
		}
		if _, err := io.WriteString(here, line); err != nil {
			t.Fatal(err)
		}
		all.WriteString("typed ")
	}
	rest, _ := io.ReadAll(shown) // ends with EIO, since nobody holds the other side any more
	all.Write(rest)
	_ = cmd.Wait() // the exit code is looked at
	return all.String(), cmd.ProcessState.ExitCode()
}

// openTerminal opens a pseudoterminal, as pty(7) has it.
func openTerminal(t *testing.T) (here, there *os.File) {
	t.Helper()
	here, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(here.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	there, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return here, there
}

func (b twice) saveAndLoad(t *testing.T, image string) {
	t.Helper()
	var sums [2]string
	for i, side := range []*bed{b.bare, b.through} {
		file := filepath.Join(t.TempDir(), "image.tar")
		if out := side.docker(t, "save", "--output", file, image); out.code != 0 {
			t.Fatal(out.stderr)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = fmt.Sprintf("%x", sha256.Sum256(data))
		if out := side.docker(t, "load", "--input", file); out.code != 0 || !strings.Contains(out.stdout, image) {
			t.Errorf("%+v", out)
		}
	}
	if sums[0] != sums[1] {
		t.Error("the archive is another one through the guard")
	}
}

// build goes through the classic builder, which both engines have.
func (b twice) build(t *testing.T, image string) {
	t.Helper()
	context := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM " + image + "\nCOPY file /file\nCMD [\"cat\", \"/file\"]\n", "file": "built\n"} {
		if err := os.WriteFile(filepath.Join(context, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, side := range []*bed{b.bare, b.through} {
		classic := &bed{Testbed: side.Testbed, env: append([]string{"DOCKER_BUILDKIT=0"}, side.env...)}
		tag := fmt.Sprintf("built:%d", i)
		if out := classic.docker(t, "build", "--no-cache", "--tag", tag, context); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		if out := side.docker(t, "run", "--rm", "--network", "none", tag); out.stdout != "built\n" {
			t.Errorf("%+v", out)
		}
	}
}

// clientPlugins are those of Docker's that talk to an engine. A machine has
// them or not.
func (b *bed) clientPlugins(t *testing.T, image string) {
	t.Helper()
	t.Run("compose", func(t *testing.T) {
		b.installClientPlugin(t, "docker-compose")
		file := filepath.Join(t.TempDir(), "compose.yaml")
		text := "services:\n  app:\n    image: " + image + "\n    network_mode: none\n    command: [sh, -c, 'echo composed']\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		compose := []string{"compose", "--project-name", "guarded", "--file", file}
		if out := b.docker(t, append(compose, "up", "--no-color")...); out.code != 0 || !strings.Contains(out.stdout, "composed") {
			t.Errorf("%+v", out)
		}
		if out := b.docker(t, append(compose, "down")...); out.code != 0 {
			t.Errorf("%+v", out)
		}
	})
	t.Run("buildx", func(t *testing.T) {
		b.installClientPlugin(t, "docker-buildx")
		dir := t.TempDir()
		for name, text := range map[string]string{"Dockerfile": "FROM scratch\nCOPY file /file\n", "file": "built\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out := b.docker(t, "buildx", "build", "--progress", "plain", "--tag", "built:x", dir); out.code != 0 {
			t.Fatalf("%+v", out)
		}
		if out := b.docker(t, "image", "inspect", "built:x"); out.code != 0 {
			t.Error(out.stderr)
		}
	})
}

// installClientPlugin gives the testbed's client a plugin of this machine's.
func (b *bed) installClientPlugin(t *testing.T, name string) {
	t.Helper()
	folders := []string{
		"/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
		"/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins",
	}
	if home, err := os.UserHomeDir(); err == nil {
		folders = append(folders, filepath.Join(home, ".docker/cli-plugins"))
	}
	if cache, err := os.UserCacheDir(); err == nil {
		folders = append(folders, filepath.Join(cache, "docker-stig/cli-plugins"))
	}
	for _, folder := range folders {
		program := filepath.Join(folder, name)
		if _, err := os.Stat(program); err != nil {
			continue
		}
		if err := os.Symlink(program, filepath.Join(b.variable("DOCKER_CONFIG"), "cli-plugins", name)); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Skipf("unsupported here: %s is in none of %s", name, strings.Join(folders, ", "))
}

// http2 wants nothing of HTTP/2 to be served through the guard. An engine that
// has it serves it on its own socket, which shows that the requests are good.
func (g *guardProcess) http2(t *testing.T, bare *bed, engine testbed.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for name, test := range map[string]struct{ method, path, contentType string }{
		"API":  {http.MethodGet, "/_ping", ""},
		"gRPC": {http.MethodPost, "/grpc.health.v1.Health/Check", "application/grpc"},
	} {
		t.Run(name, func(t *testing.T) {
			without, err := askHTTP2(ctx, g.bare(), test.method, test.path, test.contentType)
			if served := err == nil && without == "HTTP/2.0 200 OK"; served != (engine == testbed.Moby) {
				t.Errorf("without the guard: %q, %v", without, err)
			}
			if with, err := askHTTP2(ctx, g.socket, test.method, test.path, test.contentType); err == nil {
				t.Errorf("with it: %q", with)
			}
		})
	}
	g.awaitLog(t, "HTTP/2 on the engine's socket")
	t.Run("later on a connection", func(t *testing.T) {
		for _, then := range []string{
			"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
			"PRI * HTTP/2.0\r\nHost: engine\r\nContent-Type: application/grpc\r\n\r\n",
			"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: engine\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		} {
			answers := rawAnswers(t, g.socket, "GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n"+then)
			statuses := regexp.MustCompile(`HTTP/1\.1 \d+`).FindAllString(answers, -1)
			if len(statuses) != 2 || statuses[0] != "HTTP/1.1 200" || strings.HasPrefix(statuses[1], "HTTP/1.1 2") {
				t.Errorf("%q is answered with %q", then, answers)
			}
			if strings.Contains(answers, "\x04\x00\x00\x00\x00\x00") {
				t.Errorf("%q is answered with frames: %q", then, answers)
			}
		}
	})
	if out := bare.docker(t, "ps"); out.code != 0 {
		t.Errorf("the engine afterwards: %s", out.stderr)
	}
}

func askHTTP2(ctx context.Context, socket, method, path, contentType string) (string, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DialContext: dialer(socket)}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, strings.NewReader(strings.Repeat("\x00", 5))) // an empty message
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Proto + " " + resp.Status, nil
}

func dialer(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

// rawAnswers sends a text and gives all that comes back for a moment.
func rawAnswers(t *testing.T, socket, text string) string {
	t.Helper()
	conn, err := dialer(socket)(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if unixConn, ok := conn.(*net.UnixConn); ok {
		_ = unixConn.CloseWrite()
	}
	answers, _ := io.ReadAll(conn)
	return string(answers)
}

// idle opens many connections, half of which have asked something before.
func (g *guardProcess) idle(t *testing.T) {
	t.Helper()
	const many = 1000
	before := g.memory(t)
	for i := range many {
		conn, err := dialer(g.socket)(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if i%2 == 0 {
			continue
		}
		if _, err := io.WriteString(conn, "HEAD /_ping HTTP/1.1\r\nHost: engine\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	after := g.memory(t)
	t.Logf("the guard takes %d KiB, and %d KiB with %d idle connections", before, after, many)
	if after > 40<<10 {
		t.Errorf("the guard takes %d KiB with %d idle connections, want 40 MiB at most", after, many)
	}
}

// memory is the guard's resident memory in KiB.
func (g *guardProcess) memory(tb testing.TB) int {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.pid))
	if err != nil {
		tb.Fatal(err)
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		tb.Fatalf("no VmRSS in\n%s", status)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		tb.Fatal(err)
	}
	return kib
}

// logsItsPeers wants the process that asked, whoever else did before.
func (g *guardProcess) logsItsPeers(t *testing.T, through *bed) {
	t.Helper()
	cmd := through.command(t.Context(), "ps")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var record struct{ UID, GID int }
	line := g.awaitLog(t, fmt.Sprintf(`"pid":%d`, cmd.Process.Pid))
	if err := json.Unmarshal([]byte(line), &record); err != nil || record.UID != os.Geteuid() || record.GID != os.Getegid() {
		t.Errorf("logged %+v, %v: %s", record, err, line)
	}
}

// engineAway moves the engine's socket to where the guard does not find it.
func (g *guardProcess) engineAway(t *testing.T, through *bed) {
	t.Helper()
	if err := os.Rename(g.bare(), g.bare()+"-away"); err != nil {
		t.Fatal(err)
	}
	out := through.docker(t, "ps")
	if err := os.Rename(g.bare()+"-away", g.bare()); err != nil {
		t.Fatal(err)
	}
	if out.code == 0 || !strings.Contains(out.stderr, "docker-stig: the engine does not answer on ") {
		t.Errorf("%+v", out)
	}
	if out := through.docker(t, "ps"); out.code != 0 {
		t.Errorf("when it is back: %+v", out)
	}
}
