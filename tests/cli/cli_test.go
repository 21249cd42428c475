// Package cli runs the built docker stig by scripts: its help, its errors, its
// exit codes. The engine is a fake on a unix socket and counts what it was
// asked; UCP and DTR are doubles. There is no network and no fixed port.
package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docker-stig/docker-stig/tests/doubles"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestScripts(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", bin+"/", "github.com/docker-stig/docker-stig/cli-plugin/cmd/docker-stig")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building docker-stig: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("STIG_UPDATE_GOLDEN") == "1",
		Setup:         func(env *testscript.Env) error { return setup(t, env, bin) },
		Condition:     condition,
		Cmds: withBundles(t, map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"asked":    asked,
			"fault":    fault,
			"dtr":      serveDTR,
			"holds":    holds,
			"contains": contains,
			"publish":  publish,
			"expire":   expire,
			"policy":   writePolicy,
			"silence":  silence,
			"says":     says,
			"steady":   steady,
			"dated":    dated,
			"facts":    factsOf,
			"filled":   filled,
		}),
	})
}

// A stage is what a script's programs meet.
type stage struct {
	asked      *atomic.Int64 // requests that the engine got
	ucp        *doubles.UCP
	dtr        *doubles.DTR
	images     images // that the engine holds
	containers containers
	answers    answers
	trust      trustServer
}

type stageKey struct{}

func setup(t *testing.T, env *testscript.Env, bin string) error {
	t.Helper()
	s := stage{asked: new(atomic.Int64), trust: trustServer{t: t}}
	env.Values[stageKey{}] = &s
	socket := filepath.Join(env.WorkDir, "e.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: engine(&s)}
	go func() { _ = server.Serve(listener) }()
	env.Defer(func() { _ = server.Close() })
	elsewhere := httptest.NewServer(engine(&s)) // the same engine, as one of another machine
	env.Defer(elsewhere.Close)
	env.Setenv("REMOTE_ENGINE", "tcp://"+elsewhere.Listener.Addr().String())

	if s.ucp, err = doubles.NewUCP(t.Context(), doubles.UCPOptions{}); err != nil {
		return err
	}
	env.Defer(func() { _ = s.ucp.Close() })
	if s.dtr, err = doubles.NewDTR(t.Context(), doubles.DTROptions{Settings: map[string]any{"createRepositoryOnPush": true}}); err != nil {
		return err
	}
	env.Defer(func() { _ = s.dtr.Close() })
	account := doubles.DefaultAccounts()[0]
	for name, content := range map[string][]byte{
		"ucp-ca.pem": s.ucp.CA(), "ucp-password": []byte(account.Password + "\n"),
		"dtr-ca.pem": s.dtr.CA(), "dtr-password": []byte(account.Password + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), content, 0o600); err != nil {
			return err
		}
	}
	env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("DOCKER_HOST", "unix://"+socket)
	env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "config"))
	env.Setenv("STIG_STATE", filepath.Join(env.WorkDir, "state"))
	env.Setenv("UCP_URL", s.ucp.URL())
	env.Setenv("UCP_USER", account.Username)
	env.Setenv("UCP_SECRET", strings.Join(s.ucp.Secrets(), "|"))
	env.Setenv("DTR_URL", s.dtr.URL())
	env.Setenv("DTR_SECRET", strings.Join(append(s.dtr.Secrets(), doubles.CanarySecret), "|"))
	return nil
}

// engine answers as an engine with the images and containers of a script does.
func engine(s *stage) http.Handler {
	plain := map[string]any{
		"/info":        map[string]any{"Driver": "overlay2"},
		"/images/json": []any{},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Content-Type", "application/json")
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		answer, ok := s.answers.to(path)
		if !ok {
			answer, ok = plain["/"+path]
		}
		if !ok {
			answer, ok = s.images.inspect(path)
		}
		if !ok {
			answer, ok = s.containers.answer(path)
		}
		switch {
		case r.URL.Path == "/_ping":
			_, _ = w.Write([]byte("OK"))
		case ok && answer == nil:
			w.WriteHeader(http.StatusNoContent)
		case ok:
			_ = json.NewEncoder(w).Encode(answer)
		default:
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": "the fake engine has no " + path})
		}
	})
}

// exits CODE PROGRAM ARG... wants an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = -1
		if exited, ok := err.(*exec.ExitError); ok { //nolint:errorlint // testscript gives it bare
			got = exited.ExitCode()
		}
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// asked N wants that the engine got N requests since the script began.
func asked(ts *testscript.TestScript, _ bool, args []string) {
	got := ts.Value(stageKey{}).(*stage).asked.Load()
	if len(args) != 1 || strconv.FormatInt(got, 10) != args[0] {
		ts.Fatalf("the engine was asked %d times, want %v", got, args)
	}
}

// fault NAME [dtr] makes the double of UCP misbehave, or that of DTR.
func fault(ts *testscript.TestScript, _ bool, args []string) {
	f, err := doubles.ParseFault(args[0])
	ts.Check(err)
	s := ts.Value(stageKey{}).(*stage)
	if len(args) > 1 && args[1] == "dtr" {
		s.dtr.SetFault(f)
		return
	}
	s.ucp.SetFault(f)
}
