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
			out, err := try(t, "systemd-analyze", "verify", "--root="+string(r), "docker-stig-authz.socket", "docker-stig-authz.service")
			switch {
			case c.fault == "" && (err != nil || strings.Contains(out, "docker-stig-authz")):
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
	requireTools(t, "dpkg-deb", "systemd-socket-activate")
	r := root(t.TempDir())
	run(t, "dpkg-deb", "-x", packageOf(t, version, "docker-stig-authz", "deb"), string(r))
	notified := listenNotify(t, r.path("/notify"))
	socket := r.path("/authz.sock")

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemd-socket-activate", "--listen="+socket, "--setenv=NOTIFY_SOCKET="+r.path("/notify"),
		r.path(daemon), "serve", "--policy", r.path(policyPath), "--state", r.path("/state"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	if line, err := said.ReadString('\n'); !strings.Contains(line, "Listening on") {
		t.Fatalf("systemd-socket-activate says %q, %v", line, err)
	}
	rest := make(chan string)
	go func() {
		text, _ := io.ReadAll(said) // what was said until the daemon ended, or the test did
		rest <- string(text)
	}()

	var answer struct{ Implements []string }
	if err := ask(ctx, socket, "/Plugin.Activate", &answer); err != nil {
		cancel()
		t.Fatalf("asking the plugin: %v\n%s", err, <-rest)
	}
	if !slices.Equal(answer.Implements, []string{"authz"}) {
		t.Errorf("the plugin implements %q, want authz", answer.Implements)
	}
	if got := <-notified; !strings.Contains(got, "READY=1") {
		t.Errorf("systemd is told %q, want READY=1", got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	text := <-rest
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, text)
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
