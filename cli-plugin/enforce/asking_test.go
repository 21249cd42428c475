package enforce

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve answers on a unix socket.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return path
}

func TestProve(t *testing.T) {
	t.Parallel()
	plugin := func(activate, empty, ping string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer := activate
			if strings.HasSuffix(r.URL.Path, "AuthZReq") {
				answer = empty
				if r.ContentLength > 2 {
					answer = ping
				}
			}
			_, _ = w.Write([]byte(answer))
		}
	}
	const authz, yes, no = `{"Implements":["authz"]}`, `{"Allow":true}`, `{"Msg":"no"}`
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"good":               {plugin(authz, no, yes), ""},
		"of another kind":    {plugin(`{"Implements":["VolumeDriver"]}`, no, yes), "is no authorization plugin"},
		"allows the empty":   {plugin(authz, yes, yes), "lets an empty question through"},
		"denies the least":   {plugin(authz, no, no), "denies GET /_ping"},
		"no verdict":         {plugin(authz, "oops", yes), "no verdict"},
		"not even a program": {plugin("", "", ""), "is no authorization plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Prove(t.Context(), serve(t, test.handler))
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := Prove(t.Context(), filepath.Join(t.TempDir(), "nobody")); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("got %v", err)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   bool
		fails  bool
	}{
		"by us":             {403, `{"message":"authorization denied by plugin docker-stig-authz: docker-stig: no image"}`, true, false},
		"by another plugin": {403, `{"message":"authorization denied by plugin casbin: no"}`, false, false},
		"by ours, broken":   {500, `{"message":"plugin docker-stig-authz failed with error: x"}`, false, false},
		"by the engine":     {400, `{"message":"No command specified"}`, false, false},
		"not at all":        {201, `{"Id":"abc"}`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			removed := make(chan string, 1)
			socket := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodDelete {
					removed <- r.URL.Path
					return
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			})
			got, err := Refuses(t.Context(), socket)
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("got %t, %v", got, err)
			}
			if test.fails && <-removed != "/v1.40/containers/abc" {
				t.Error("what was made is still there")
			}
		})
	}
}

// Who says nothing in time has not said that it does not speak it.
func TestSpeaksHTTP2Slowly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if speaks, err := SpeaksHTTP2(ctx, path); speaks || !errors.Is(err, errNoAnswer) {
		t.Errorf("got %t, %v", speaks, err)
	}
}

// A person is told once what is wrong, by names that they know.
func TestSilentIsShort(t *testing.T) {
	t.Parallel()
	err := Prove(t.Context(), filepath.Join(t.TempDir(), "nobody"))
	want := "docker-stig-authz does not answer (/run/docker/plugins/docker-stig-authz.sock: no such file or directory); start it: systemctl enable --now docker-stig-authz.socket"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	l := good(t)
	l.PluginErr = err
	if gap := l.Find().Gaps[0]; gap.What != "docker-stig-authz does not answer" || gap.Detail == "" {
		t.Errorf("%+v", gap)
	}
}

// The guard answers HTTP/2 with GOAWAY, an engine with its settings alone, an
// older one with HTTP/1.1.
func TestSpeaksHTTP2(t *testing.T) {
	t.Parallel()
	const settings, update, goAway = "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x04\x08\x00\x00\x00\x00\x00abcd", "\x00\x00\x08\x07\x00\x00\x00\x00\x00abcdabcd"
	for name, test := range map[string]struct {
		answer string
		want   bool
	}{
		"engine": {settings + update, true}, "guard": {settings + goAway, false},
		"older": {"HTTP/1.1 400 Bad Request\r\n\r\n", false}, "closed": {"", false}, "cut": {settings[:4], false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "s")
			listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 100))
				_, _ = conn.Write([]byte(test.answer))
			}()
			got, err := SpeaksHTTP2(t.Context(), path)
			if err != nil || got != test.want {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
}
