package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

// forward hands requests to the testbed's engine, by a process that is none.
// A name makes the engine one of another machine, by its own word.
func (b *bed) forward(t *testing.T, name string) *httputil.ReverseProxy {
	t.Helper()
	engine := strings.TrimPrefix(b.variable("DOCKER_HOST"), "unix://")
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", engine)
		}},
		ModifyResponse: func(r *http.Response) error {
			if name == "" || !strings.HasSuffix(r.Request.URL.Path, "/info") {
				return nil
			}
			var info map[string]any
			if err := json.NewDecoder(r.Body).Decode(&info); err != nil {
				return err
			}
			info["Name"] = name
			raw, err := json.Marshal(info)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
			r.Header.Set("Content-Length", strconv.Itoa(len(raw)))
			return err
		},
	}
}

// serve answers on an address until the test ends.
func serve(t *testing.T, network, address string, handler http.Handler) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }() // Close ends it
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// shortDir is a folder whose path leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fwd") //nolint:usetesting // TempDir's paths are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestForwardedSockets reaches engines through unix sockets of which other
// processes hold the end. This machine's disk is believed where the engine is
// here all the same, and not where it is elsewhere.
func TestForwardedSockets(t *testing.T) {
	for _, engine := range []testbed.Engine{testbed.Docker, testbed.Moby} {
		t.Run(string(engine), func(t *testing.T) {
			sshd := startSSHD(t)
			b := newBed(t, engine)
			view, dir := canaryView(t), shortDir(t)
			local := b.check(t, nil, view)
			near, tunnel := filepath.Join(dir, "near.sock"), filepath.Join(dir, "far.sock")
			serve(t, "unix", near, b.forward(t, ""))
			far := serve(t, "tcp4", "127.0.0.1:0", b.forward(t, "dkr02"))
			ssh := exec.CommandContext(t.Context(), "env", append(sshd.env, "ssh", "-N", "-o", "ExitOnForwardFailure=yes", "-p", strconv.Itoa(sshd.port), "-L", tunnel+":"+far, "root@127.0.0.1")...)
			if err := ssh.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ssh.Wait() }) // the test's context has ended it
			awaitListener(t, "unix", tunnel)

			t.Run("to an engine of this machine", func(t *testing.T) {
				got := b.check(t, nil, view, "--host", "unix://"+near)
				for id, want := range local.rows {
					// Those two judge the socket by which the engine is reached.
					if got.rows[id].Status != want.Status && id != "V-235865" && id != "V-235866" {
						t.Errorf("%s is %v, want %v: %s", id, got.rows[id].Status, want.Status, got.rows[id].Details)
					}
				}
				if strings.Contains(got.stdout, unseen) {
					t.Error("the engine runs here, and its files are not looked at")
				}
			})
			local.HostName = "dkr02"
			t.Run("to another machine's", func(t *testing.T) {
				got := b.check(t, nil, view, "--host", "unix://"+tunnel)
				got.isRemote(t, local)
				got.saysWhy(t, `its machine's host name is "dkr02"`)
			})
			t.Run("from another machine", func(t *testing.T) {
				const script = `hostname elsewhere.example.com && exec "$@"`
				by := append([]string{"unshare", "--uts", "sh", "-c", script, "sh"}, view...)
				b.check(t, nil, by, "--host", "unix://"+near).saysWhy(t, `this machine's is "elsewhere.example.com"`)
			})
			t.Run("from a container", func(t *testing.T) {
				by := append([]string{"unshare", "--pid", "--fork", "--mount-proc"}, view...)
				b.check(t, nil, by).saysWhy(t, "none that this program can see")
			})
			t.Run("to nobody", func(t *testing.T) {
				b.check(t, nil, view, "--host", fmt.Sprintf("unix://%s/none.sock", dir)).saysWhy(t, "no engine answers")
			})
		})
	}
}

// saysWhy wants the local disk left alone, and the reason told.
func (l list) saysWhy(t *testing.T, reason string) {
	t.Helper()
	if r := l.rows["V-235867"]; r.Status != stig.NotReviewed || !strings.Contains(r.Details, unseen) || !strings.Contains(r.Details, reason) {
		t.Errorf("daemon.json is %v, want no judgement for %s: %s", r.Status, reason, r.Details)
	}
	if strings.Contains(l.stdout+l.stderr, planted) {
		t.Error("the local disk shows")
	}
}
