package bypass

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

// A bed is an engine with one signed image and some that nobody signed, of the
// same repository.
type bed struct {
	*testbed.Testbed
	kind             testbed.Engine
	signed, unsigned testbed.Image
	moved            testbed.Image // under a tag that was signed for other content
	marker           string        // that of the signed image
	scratch          string        // a folder of the host that the engine sees
	socket           string        // where requests go
	enforced         time.Time
	atEnd            func(func()) // does something when the engine is not needed any more
}

// object is a JSON object.
type object = map[string]any

// keptTag keeps the signed content on the engine while its tag is elsewhere.
const keptTag = "kept"

func newBed(t *testing.T, engine testbed.Engine) *bed {
	t.Helper()
	b := &bed{Testbed: testbed.Start(t, engine), kind: engine, scratch: t.TempDir(), atEnd: t.Cleanup}
	b.socket = filepath.Join(b.Dir(), "d.sock")
	ctx := t.Context()
	var errs [5]error
	b.signed, errs[0] = b.Sign(ctx, "prod/app:1")
	b.unsigned, errs[1] = b.UnsignedImage(ctx, "prod/app:unsigned")
	_, errs[2] = b.Sign(ctx, "prod/app:moved")
	b.moved, errs[3] = b.MoveTag(ctx, "prod/app:moved")
	errs[4] = b.Pin("enforced", "prod/app")
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Docker(ctx, "tag", b.signed.Ref, b.repository()+":"+keptTag); err != nil {
		t.Fatal(err)
	}
	marker, err := b.Docker(ctx, "run", "--rm", "--network", "none", b.signed.Ref)
	if err != nil {
		t.Fatal(err)
	}
	b.marker = marker
	b.configure(t, object{})
	if err := b.RestartEngine(ctx, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// folder makes a folder of the host with files.
func (b *bed) folder(files map[string]string) (string, error) {
	dir, err := os.MkdirTemp(b.scratch, "folder")
	if err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// repository is that of both images.
func (b *bed) repository() string { return b.Registry() + "/prod/app" }

// configure writes the engine's configuration. The second runtime is for a
// container to ask for, and without experiments there are no checkpoints.
func (b *bed) configure(t *testing.T, config object) {
	t.Helper()
	config["runtimes"] = object{"second": object{"path": "runc"}}
	config["experimental"] = true
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.DaemonJSON(), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// enforce starts docker-stig-authz and has the running engine reload its
// configuration, so that what runs goes on running. Where the engine needs the
// guard, requests go through it from now on.
func (b *bed) enforce(t *testing.T) {
	t.Helper()
	socket := filepath.Join(b.PluginSockets(), "docker-stig-authz.sock")
	b.start(t, "serve", socket, "--policy", b.PolicyFile(), "--state", filepath.Join(b.scratch, "state"))
	b.configure(t, object{"authorization-plugins": []string{"docker-stig-authz"}})
	pid, err := b.EnginePID()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGHUP)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.await(t, "the engine to ask its plugin", func() bool {
		got, err := b.send(t.Context(), ask{method: http.MethodPost, target: "/containers/create", body: []byte("{}"), header: jsonHeader})
		return err == nil && got.denied()
	})
	if b.kind == testbed.Moby { // the one that speaks HTTP/2 on its socket
		guarded := filepath.Join(b.scratch, "public.sock")
		b.start(t, "guard", guarded, "--engine", "unix://"+b.socket)
		b.socket = guarded
	}
	b.enforced = time.Now()
}

// start starts one of docker-stig-authz's services, until the test's end, and
// waits until it listens. It sees what the engine sees mounted, as it has to.
func (b *bed) start(t *testing.T, service, socket string, args ...string) {
	t.Helper()
	pid, err := b.EnginePID()
	if err != nil {
		t.Fatal(err)
	}
	started := exec.Command("nsenter", append([]string{"--target", strconv.Itoa(pid), "--mount", "--", filepath.Join(programs, "docker-stig-authz"), service, "--socket", socket}, args...)...)
	var log logged
	started.Stderr = &log
	if err := started.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = started.Process.Signal(os.Interrupt)
		_ = started.Wait()
		if t.Failed() {
			t.Logf("docker-stig-authz %s said last:\n%s", service, log.tail())
		}
	})
	b.await(t, service+" to listen", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}

// patience is how long what is waited for may take: a swarm's tasks take
// seconds to start.
const patience = 20 * time.Second

func (*bed) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// proofs are the files that attempts have left anywhere in what the engine
// keeps, as far as not the signed content has left them: attempt's nonce to
// content. Layers of running containers are among it.
func (b *bed) proofs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	look := func(path string, _ fs.DirEntry, err error) error {
		nonce, ok := strings.CutPrefix(filepath.Base(path), "proof-")
		if err != nil || !ok {
			return nil // what is gone by now is looked for in vain elsewhere too
		}
		if text, err := os.ReadFile(path); err == nil && len(text) != 0 && string(text) != b.marker {
			found[nonce] = string(text)
		}
		return nil
	}
	for _, root := range []string{filepath.Join(b.Dir(), "data"), b.scratch} {
		if err := filepath.WalkDir(root, look); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// strangers are the containers of other than the signed content that the
// engine started while the plugin was there.
func (b *bed) strangers(t *testing.T) []string {
	t.Helper()
	list, err := b.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var started []string
	for _, c := range list {
		if c.ImageID != b.signed.ID && c.Started.After(b.enforced) {
			started = append(started, c.Name+" of "+c.Image+", "+c.State)
		}
	}
	return started
}

// restore gives the signed content its tag back.
func (b *bed) restore(ctx context.Context) error {
	var held struct{ ID string }
	if got, err := b.call(ctx, http.MethodGet, "/images/"+b.signed.Ref+"/json", nil); err == nil {
		if err := json.Unmarshal(got.body, &held); err != nil {
			return err
		}
	}
	if held.ID == b.signed.ID {
		return nil
	}
	_, err := b.call(ctx, http.MethodPost, "/images/"+b.repository()+":"+keptTag+"/tag?repo="+b.repository()+"&tag=1", nil)
	return err
}

// logged is what a program says, read while it still speaks.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	return text[max(0, len(text)-4000):]
}
