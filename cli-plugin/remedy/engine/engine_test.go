package engine

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAPI(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{"1.41": 41, "1.56": 56, "": 0, "x": 0, "1.x": 0} {
		if got := API(version); got != want {
			t.Errorf("%q is %d, want %d", version, got, want)
		}
	}
}

func TestWithout(t *testing.T) {
	t.Parallel()
	got := without([]string{"-H", "fd://", "--config-file", "/a", "--config-file=/b", "--config-files", "--debug"}, "config-file")
	if diff := cmp.Diff([]string{"-H", "fd://", "--config-files", "--debug"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestValidate calls a program that stands in for dockerd.
func TestValidate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "dockerd")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\"\ngrep -q good \"${2#--config-file=}\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "new.json")
	d := &Dockerd{Program: program, Args: []string{"dockerd", "--debug", "--config-file=/old"}, API: 42}
	for content, want := range map[string]string{"good": "", "bad": "--debug --config-file=" + config + " --validate"} {
		if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := d.Validate(t.Context(), config)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
	if err := d.Validate(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "its daemon.json: --debug --config-file=/old --validate") {
		t.Errorf("its own file: %v", err)
	}
	d.API = 41
	if err := d.Validate(t.Context(), config); err != nil {
		t.Errorf("an engine without --validate: %v", err)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	d := &Dockerd{}
	if err := d.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "--restart-command") {
		t.Errorf("got %v", err)
	}
	marker := filepath.Join(t.TempDir(), "restarted")
	d.RestartWith = []string{"touch", marker}
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error(err)
	}
	d.RestartWith = []string{"false"}
	if err := d.Restart(t.Context()); err == nil {
		t.Error("a restart that failed passes")
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	d := &Dockerd{Socket: filepath.Join(t.TempDir(), "e.sock")}
	if _, err := d.Answers(t.Context()); err == nil {
		t.Error("nobody is there, and answers")
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	if pid, err := d.Answers(t.Context()); err != nil || pid != os.Getpid() {
		t.Errorf("process %d, %v", pid, err)
	}
	if err := d.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "does not run any more") {
		t.Errorf("what is no dockerd was told: %v", err)
	}
	if err := d.Up(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRunning wants an engine that does not come to answer to run all the same.
func TestRunning(t *testing.T) {
	t.Parallel()
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &Dockerd{Socket: filepath.Join(t.TempDir(), "e.sock"), Program: own}
	if _, runs := d.Running(t.Context(), time.Now()); runs {
		t.Error("nobody is there, and runs")
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.Answers(ctx); err == nil {
		t.Error("what does not answer has answered")
	}
	if since, runs := d.Running(t.Context(), time.Now()); !runs || since.After(time.Now()) || time.Since(since) > time.Hour {
		t.Errorf("since %v, %t", since, runs)
	}
	d.Program = "dockerd"
	if _, runs := d.Running(t.Context(), time.Now()); runs {
		t.Error("another program is taken for the engine")
	}
}
