package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/docker-stig/docker-stig/authz-plugin/authz"
	"github.com/docker-stig/docker-stig/shared/logtest"
)

const (
	enforced = `{"content-trust": {"mode": "enforced"}}`
	disabled = `{"content-trust": {"mode": "disabled"}}`
)

// A running daemon, and what it told systemd and its log.
type running struct {
	socket, policy string
	states         *net.UnixConn
	log            *logtest.Log
	stop           context.CancelFunc
	done           chan error
}

// start runs the daemon in this process, with a test in systemd's place.
func start(t *testing.T, policyText string) *running {
	t.Helper()
	dir := t.TempDir()
	r := &running{
		socket: filepath.Join(dir, "plugins", "docker-stig-authz.sock"),
		policy: filepath.Join(dir, "policy.json"),
		log:    &logtest.Log{},
		done:   make(chan error, 1),
	}
	r.write(t, policyText)
	notifySocket := filepath.Join(dir, "notify")
	states, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notifySocket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	r.states = states
	t.Setenv("NOTIFY_SOCKET", notifySocket)
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	opts := serveOptions{policy: r.policy, socket: r.socket, state: filepath.Join(dir, "state")}
	go func() { r.done <- runServe(ctx, opts, r.log.Logger()) }()
	t.Cleanup(func() { cancel(); _ = states.Close() })
	r.wait(t, "READY=1")
	return r
}

func (r *running) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.policy, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wait reads what the daemon tells systemd until it says state.
func (r *running) wait(t *testing.T, state string) {
	t.Helper()
	buf := make([]byte, 256)
	for {
		n, err := r.states.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(string(buf[:n]), state) {
			return
		}
	}
}

func (r *running) ask(t *testing.T, path string, question any) string {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	body, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

var create = authz.Request{RequestMethod: "POST", RequestURI: "/containers/create", RequestBody: []byte(`{"Image":"app:v1"}`)}

// Signals reach the whole process, so these tests do not run side by side.

func TestServeReloadsAndStops(t *testing.T) {
	r := start(t, enforced)
	if got := r.ask(t, "/Plugin.Activate", nil); !strings.Contains(got, "authz") {
		t.Errorf("activate: %s", got)
	}
	if got := r.ask(t, "/AuthZPlugin.AuthZReq", create); !strings.Contains(got, "no-scope") {
		t.Errorf("enforced: %s", got)
	}
	info, err := os.Stat(r.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}

	r.write(t, disabled)
	r.hangup(t)
	if got := r.ask(t, "/AuthZPlugin.AuthZReq", create); !strings.Contains(got, `{"Allow":true}`) {
		t.Errorf("disabled: %s", got)
	}

	r.write(t, `{"content-trust": {"mode": "enforced", "made-up": 1}}`)
	r.hangup(t)
	if got := r.ask(t, "/AuthZPlugin.AuthZReq", create); !strings.Contains(got, `{"Allow":true}`) {
		t.Errorf("the last good policy is no longer in force: %s", got)
	}
	if !strings.Contains(r.log.String(), "made-up") {
		t.Errorf("the log does not say what is wrong:\n%s", r.log)
	}

	r.terminate(t)
}

// terminate stops what runs as systemd does.
func (r *running) terminate(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "STOPPING=1")
	if err := <-r.done; err != nil {
		t.Errorf("stopping: %v", err)
	}
	if _, err := os.Lstat(r.socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func (r *running) hangup(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "RELOADING=1\nMONOTONIC_USEC=")
	r.wait(t, "READY=1")
}

func TestServeWithoutAPolicyAnswersAndDenies(t *testing.T) {
	r := start(t, `{"content-trust": {`)
	if got := r.ask(t, "/Plugin.Activate", nil); !strings.Contains(got, "authz") {
		t.Errorf("activate: %s", got)
	}
	if got := r.ask(t, "/AuthZPlugin.AuthZReq", create); !strings.Contains(got, "policy.json:1:20: want JSON") || !strings.Contains(got, `"Allow":false`) {
		t.Errorf("create: %s", got)
	}
	get := authz.Request{RequestMethod: "GET", RequestURI: "/containers/json"}
	if got := r.ask(t, "/AuthZPlugin.AuthZReq", get); !strings.Contains(got, `{"Allow":true}`) {
		t.Errorf("reading: %s", got)
	}
	if !strings.Contains(r.log.String(), `"level":"ERROR"`) {
		t.Errorf("the log is not loud:\n%s", r.log)
	}
	r.write(t, disabled)
	r.hangup(t)
	if got := r.ask(t, "/AuthZPlugin.AuthZReq", create); !strings.Contains(got, `{"Allow":true}`) {
		t.Errorf("after mending: %s", got)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func TestSocketsPlace(t *testing.T) {
	t.Parallel()
	listenAt := func(path string) error {
		_, remove, err := makeSocket(t.Context(), path)
		if err == nil {
			remove()
		}
		return err
	}
	t.Run("stale", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "s")
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		_ = old.Close()
		if err := listenAt(path); err != nil {
			t.Error(err)
		}
	})
	t.Run("in use", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "s")
		first, remove, err := makeSocket(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer remove()
		defer first.Close()
		if err := listenAt(path); err == nil || !strings.Contains(err.Error(), "answers") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not a socket", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := listenAt(path); err == nil {
			t.Error("a file was replaced")
		}
	})
	t.Run("others may write there", func(t *testing.T) {
		t.Parallel()
		folder := filepath.Join(t.TempDir(), "open")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := listenAt(filepath.Join(folder, "s")); err == nil {
			t.Error("listening where others may put a socket of theirs")
		}
	})
	t.Run("another's socket is not removed", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "s")
		first, remove, err := makeSocket(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		_ = first.Close()
		second, removeSecond, err := makeSocket(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer removeSecond()
		defer second.Close()
		remove()
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("the second daemon's socket is gone: %v", err)
		}
	})
}

func TestVersion(t *testing.T) {
	t.Parallel()
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"version"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "docker-stig-authz dev, commit unknown, built unknown\n" {
		t.Errorf("got %q", &out)
	}
}

func TestUnknownArgumentsAreErrors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"server"}, {"serve", "now"}, {"version", "x"}, {"serve", "--polcy", "x"}} {
		cmd := newCommand()
		cmd.SetArgs(args)
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
