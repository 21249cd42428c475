package host_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
)

// described is an engine that says this of itself.
type described struct {
	hosttest.Engine
	info system.Info
	err  error
}

func (e *described) Info(context.Context, client.InfoOptions) (client.SystemInfoResult, error) {
	return client.SystemInfoResult{Info: e.info}, e.err
}

// here is what an engine on this machine says of it.
func here(t *testing.T) system.Info {
	t.Helper()
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "MemTotal:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return system.Info{
		KernelVersion: unix.ByteSliceToString(uname.Release[:]), Architecture: unix.ByteSliceToString(uname.Machine[:]),
		Name: unix.ByteSliceToString(uname.Nodename[:]), MemTotal: kib << 10, DockerRootDir: t.TempDir(), ID: "A",
	}
}

// forwarder listens on a unix socket, and is no dockerd.
func forwarder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fwd") //nolint:usetesting // TempDir's paths are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "d.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return socket
}

// TestForwardedSocket wants the disk of this machine judged for an engine that
// runs here, and for no other one.
func TestForwardedSocket(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*described)
		id     string // in the data directory's engine-id; empty: there is none
		want   string // why not; empty: it runs here
	}{
		"its ID lies on this disk":      {func(*described) {}, "A\n", ""},
		"another engine's data":         {func(*described) {}, "B\n", "has the ID A"},
		"another kernel":                {func(e *described) { e.info.KernelVersion = "2.6.9" }, "A", `kernel is "2.6.9"`},
		"another architecture":          {func(e *described) { e.info.Architecture = "s390x" }, "A", "architecture"},
		"another name":                  {func(e *described) { e.info.Name = "dkr02" }, "A", `host name is "dkr02"`},
		"another size":                  {func(e *described) { e.info.MemTotal = 1 }, "A", "memory in bytes"},
		"it does not say":               {func(e *described) { e.info = system.Info{} }, "A", "kernel"},
		"its data is not here":          {func(e *described) { e.info.DockerRootDir += "/no" }, "A", "is not on this machine"},
		"its data is nowhere":           {func(e *described) { e.info.DockerRootDir = "" }, "A", "is not on this machine"},
		"it does not answer":            {func(e *described) { e.err = errors.New("silence") }, "A", "no engine answers"},
		"its data is a relative folder": {func(e *described) { e.info.DockerRootDir = "." }, "A", "is not on this machine"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			engine := &described{info: here(t)}
			if c.id != "" {
				if err := os.WriteFile(filepath.Join(engine.info.DockerRootDir, "engine-id"), []byte(c.id), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c.change(engine)
			h := &host.Host{Engine: engine, Address: "unix://" + forwarder(t)}
			h.See(t.Context(), "")
			_, err := h.Read("/etc/hostname")
			_, programErr := h.Run(t.Context(), "true")
			if c.want == "" {
				if h.Files == nil || programErr != nil {
					t.Errorf("the engine runs here: %v, %v", h.Unseen, programErr)
				}
				return
			}
			if !errors.Is(err, host.ErrRemote) || !strings.Contains(err.Error(), c.want) || !errors.Is(programErr, host.ErrRemote) {
				t.Errorf("got %v and %v, want an error with %q", err, programErr, c.want)
			}
		})
	}
}

// TestUnseenHosts wants this machine's disk judged for no engine that cannot
// say where it runs, and another's disk where it is mounted.
func TestUnseenHosts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link.sock")
	if err := os.Symlink(filepath.Join(dir, "desktop.sock"), link); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"unix://" + link, "unix://" + dir, "unix://", "ssh://elsewhere", "tcp://127.0.0.1:1"} {
		h := &host.Host{Engine: &hosttest.Engine{}, Address: address}
		h.See(t.Context(), "")
		if _, err := h.Read("/proc/self/stat"); !errors.Is(err, host.ErrRemote) || h.Programs != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	h := &host.Host{Engine: &hosttest.Engine{}, Address: "ssh://elsewhere"}
	h.See(t.Context(), dir)
	if names, err := h.List("/"); err != nil || len(names) != 1 || h.Programs != nil {
		t.Errorf("a mounted host: %v, %v, %v", names, err, h.Programs)
	}
}
