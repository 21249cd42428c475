package packages

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const units = "/usr/lib/systemd/system/"

// TestUnitsAreValid asks systemd itself, on a root with the package, systemd's
// own targets, and an engine or none.
func TestUnitsAreValid(t *testing.T) {
	t.Parallel()
	requireTools(t, "dpkg-deb", "systemd-analyze")
	engine := "[Service]\nExecStart=" + daemon + "\n" // any program will do
	cases := map[string]struct {
		files map[string]string
		fault string // what systemd ought to complain about
	}{
		"without an engine": {},
		"with an engine":    {files: map[string]string{units + "docker.service": engine}},
		"not our unit": {
			files: map[string]string{units + "docker-stig-authz.service": "[Service]\nExecStart=/nowhere\n"},
			fault: "/nowhere is not executable",
		},
		"a setting that is none": {
			files: map[string]string{units + "docker-stig-authz.service": engine + "Hardened=very\n"},
			fault: "Unknown key",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := root(t.TempDir())
			run(t, "dpkg-deb", "-x", packageOf(t, version, "docker-stig-authz", "deb"), string(r))
			targets, err := filepath.Glob(units + "*.target")
			if err != nil || len(targets) == 0 {
				skip(t, "systemd's own targets are not in "+units)
			}
			for _, target := range targets {
				run(t, "cp", "-P", target, r.path(units))
			}
			r.write(t, "/bin/kill", "")
			for path, content := range c.files {
				r.write(t, path, content)
				if err := os.Chmod(r.path(path), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, err := try(t, "systemd-analyze", "verify", "--root="+string(r),
				"docker-stig-authz.socket", "docker-stig-authz.service", "docker-stig-guard.socket", "docker-stig-guard.service")
			switch {
			case c.fault == "" && (err != nil || strings.Contains(out, "docker-stig-")):
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			case !strings.Contains(out, c.fault):
				t.Errorf("systemd-analyze verify lacks %q:\n%s", c.fault, out)
			}
		})
	}
}

// TestUnitSharesTheMounts: the daemon resolves paths that the engine is going
// to mount, so none of the settings that give a service a mount namespace of
// its own may be used (systemd.exec(5)).
func TestUnitSharesTheMounts(t *testing.T) {
	t.Parallel()
	apart := []string{
		"PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateIPC", "PrivateNetwork", "PrivateUsers", "DynamicUser",
		"ProtectSystem", "ProtectHome", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
		"ProtectControlGroups", "ProtectProc", "ProcSubset", "MountFlags", "MountAPIVFS", "MountImages",
		"ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "BindPaths",
		"BindReadOnlyPaths", "TemporaryFileSystem", "RootDirectory", "RootImage", "ExtensionImages",
		"ExtensionDirectories", "LogNamespace",
	}
	data, err := os.ReadFile("../../systemd/docker-stig-authz.service")
	if err != nil {
		t.Fatal(err)
	}
	settings := 0
	explained := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		key, _, isSetting := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "#"):
			explained = true
		case line == "" || strings.HasPrefix(line, "["):
			explained = false
		case !isSetting:
			t.Errorf("%q is no setting", line)
		default:
			settings++
			if slices.Contains(apart, key) {
				t.Errorf("%s gives the daemon mounts of its own", line)
			}
			if strings.HasPrefix(key, "Restrict") && !explained {
				t.Errorf("nothing explains %s", line)
			}
		}
	}
	if settings < 20 {
		t.Errorf("%d settings found: is the unit still hardened?", settings)
	}
}

// TestSocketActivation starts the daemon as its units do: the first question
// on the socket starts it, it answers that question, and tells systemd that it
// is ready. No engine is there to ask.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	r, activated := activate(t, "serve", "--policy", policyPath, "--state", "/state")
	var answer struct{ Implements []string }
	if err := ask(t.Context(), r.path("/socket"), "/Plugin.Activate", &answer); err != nil {
		t.Errorf("asking the plugin: %v", err)
	}
	if !slices.Equal(answer.Implements, []string{"authz"}) {
		t.Errorf("the plugin implements %q, want authz", answer.Implements)
	}
	activated.stop(t)
}

// TestSocketActivationOfTheGuard: a request starts it, and it says what there
// is to say without an engine.
func TestSocketActivationOfTheGuard(t *testing.T) {
	t.Parallel()
	r, activated := activate(t, "guard", "--engine", "unix:///engine.sock", "--group", "none that is looked for")
	var answer struct{ Message string }
	if err := ask(t.Context(), r.path("/socket"), "/_ping", &answer); err != nil {
		t.Errorf("asking the engine: %v", err)
	}
	if !strings.Contains(answer.Message, "the engine does not answer") {
		t.Errorf("the guard says %q", answer.Message)
	}
	activated.stop(t)
}

// An activated daemon was started by systemd-socket-activate.
type activated struct {
	cmd      *exec.Cmd
	notified <-chan string
	rest     chan string // what was said until it ended, or the test did
}

// activate waits on /socket of a new root, with the package's daemon to be
// started by the first connection.
func activate(t *testing.T, args ...string) (root, activated) {
	t.Helper()
	requireTools(t, "dpkg-deb", "systemd-socket-activate")
	r := root(t.TempDir())
	run(t, "dpkg-deb", "-x", packageOf(t, version, "docker-stig-authz", "deb"), string(r))
	for i, arg := range args {
		if strings.HasPrefix(arg, "/") {
			args[i] = r.path(arg)
		}
	}
	a := activated{notified: listenNotify(t, r.path("/notify")), rest: make(chan string)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	a.cmd = exec.CommandContext(ctx, "systemd-socket-activate", append([]string{
		"--listen=" + r.path("/socket"), "--setenv=NOTIFY_SOCKET=" + r.path("/notify"), r.path(daemon),
	}, args...)...)
	a.cmd.Cancel = func() error { return a.cmd.Process.Signal(syscall.SIGTERM) }
	stderr, err := a.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	if line, err := said.ReadString('\n'); !strings.Contains(line, "Listening on") {
		t.Fatalf("systemd-socket-activate says %q, %v", line, err)
	}
	go func() {
		text, _ := io.ReadAll(said)
		a.rest <- string(text)
	}()
	return r, a
}

// stop wants that the daemon told systemd it was ready, and that it ends well.
func (a activated) stop(t *testing.T) {
	t.Helper()
	if got := <-a.notified; !strings.Contains(got, "READY=1") {
		t.Errorf("systemd is told %q, want READY=1", got)
	}
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text := <-a.rest
	if err := a.cmd.Wait(); err != nil || t.Failed() {
		t.Errorf("after SIGTERM: %v\n%s", err, text)
	}
}

// TestGuardsSocketIsTheEngines: owner, group and mode are those of Docker's own
// docker.socket, and the drop-in moves that one out of the way.
func TestGuardsSocketIsTheEngines(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		data, err := os.ReadFile("../../systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	socket := read("docker-stig-guard.socket")
	for _, line := range []string{
		"ListenStream=/run/docker.sock", "SocketUser=root", "SocketGroup=docker", "SocketMode=0660",
		"ConditionPathExists=" + guarded,
	} {
		if !strings.Contains(socket, "\n"+line+"\n") {
			t.Errorf("the guard's socket lacks %s", line)
		}
	}
	if strings.Contains(socket, "\nRemoveOnStop=") {
		t.Error("a guard that is taken away would take the engine's new socket with it")
	}
	dropIn := read("docker.socket-guard.conf")
	for _, line := range []string{"ListenStream=", "ListenStream=/run/docker-stig/engine.sock", "DirectoryMode=0700", "SocketMode=0600"} {
		if !strings.Contains(dropIn, "\n"+line+"\n") {
			t.Errorf("the drop-in lacks %s", line)
		}
	}
}

// listenNotify plays systemd's end of sd_notify(3) and gives its first message.
func listenNotify(t *testing.T, path string) <-chan string {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	message := make(chan string, 1)
	go func() {
		buf := make([]byte, 4096) // bytes; systemd's own limit
		n, err := conn.Read(buf)
		if err != nil {
			message <- err.Error()
			return
		}
		message <- string(buf[:n])
	}()
	return message
}

// ask speaks to a plugin as the engine does.
func ask(ctx context.Context, socket, path string, answer any) error {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(answer)
}
