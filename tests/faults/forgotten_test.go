package faults

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// forgotten restarts the plugin in the middle of a create, whose container
// exists and is not judged: the new plugin does not know that one is being
// made. The tag moved between its two questions, so what was made is unsigned.
// A start is judged by what the container is, and needs no memory of how it
// came to be.
func forgotten(t *testing.T, b *bed) {
	t.Helper()
	ctx, name := t.Context(), b.name("halfway")
	h := b.holdUp(t, "name="+name)
	kept := b.signed.Ref + "-kept"
	defer b.tag(t, kept, b.signed.Ref) // the signed content has its tag back when all is done
	b.tag(t, b.signed.Ref, kept)

	created := make(chan answer, 1)
	go func() {
		got, err := b.client.ask(context.WithoutCancel(ctx), http.MethodPost, "/containers/create?name="+name, container(b.signed.Ref))
		if err != nil {
			got.body = err.Error()
		}
		created <- got
	}()
	h.reached(t, requestPath)
	b.tag(t, b.unsigned.Ref, b.signed.Ref)
	h.resume <- struct{}{}
	h.reached(t, responsePath)
	b.plugin.kill(t)
	b.plugin.start(t)
	b.startsNot(t, name)
	h.resume <- struct{}{}

	got := <-created
	if got.code != http.StatusForbidden || !strings.Contains(got.body, "not vouched for") {
		t.Errorf("the create ended with %d %.300s", got.code, got.body)
	}
	if got, err := b.client.ask(ctx, http.MethodGet, "/containers/"+name+"/json", nil); err != nil || got.code != http.StatusNotFound {
		t.Errorf("what was made is not gone: %+v, %v", got, err)
	}
}

func (b *bed) tag(t *testing.T, from, to string) {
	t.Helper()
	if _, err := b.Docker(context.WithoutCancel(t.Context()), "tag", from, to); err != nil {
		t.Error(err)
	}
}

// startsNot tries to start an unsigned container by all that it is called, and
// wants the plugin to refuse it for what it is.
func (b *bed) startsNot(t *testing.T, name string) {
	t.Helper()
	list, err := b.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id string
	for _, c := range list {
		if c.Name == name && c.ImageID == b.unsigned.ID {
			id = c.ID
		}
	}
	if id == "" {
		t.Fatalf("no container %s of the unsigned image: the attempt is none", name)
	}
	for _, called := range []string{name, id, id[:12]} {
		for _, verb := range []string{"start", "restart"} {
			got, err := b.client.ask(t.Context(), http.MethodPost, "/containers/"+called+"/"+verb, nil)
			if err != nil || got.code != http.StatusForbidden || !strings.Contains(got.body, "not vouched for") {
				t.Errorf("%s of %s: %+v, %v", verb, called, got, err)
			}
		}
	}
	b.witness.mu.Lock()
	defer b.witness.mu.Unlock()
	if slices.ContainsFunc(b.witness.seen, func(s start) bool { return s.Actor.ID == id }) {
		t.Errorf("UNSIGNED CONTENT STARTED: %s", name)
	}
}

// The engine's questions, before it acts and about its answer.
const (
	requestPath  = "/AuthZPlugin.AuthZReq"
	responsePath = "/AuthZPlugin.AuthZRes"
)

// A holdUp stands between the engine and its plugin and passes everything on,
// except that of the request with a text in it the first verdict and the
// second question wait.
type holdUp struct {
	text   string
	held   chan string   // the path of what waits
	resume chan struct{} // it goes on
	plugin *http.Client
}

// holdUp puts one on the path where the engine knows its plugin, until the
// test's end. The plugin's next process is the first that is asked through it.
func (b *bed) holdUp(t *testing.T, text string) *holdUp {
	t.Helper()
	path := filepath.Join(b.PluginSockets(), "docker-stig-authz.sock")
	away := filepath.Join(b.Dir(), "p.sock")
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	h := &holdUp{text: text, held: make(chan string), resume: make(chan struct{}), plugin: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // a plugin that died leaves no connection to try
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", away)
		},
	}}}
	server := &http.Server{Handler: h, ReadHeaderTimeout: deadline}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if unixListener, ok := listener.(*net.UnixListener); ok {
			unixListener.SetUnlinkOnClose(false)
		}
		if err := errors.Join(os.Rename(away, path), server.Close()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	b.plugin.kill(t) // with the connections that the engine has kept
	b.plugin.start(t)
	return h
}

// reached waits until what is held up has come to a path.
func (h *holdUp) reached(t *testing.T, path string) {
	t.Helper()
	select {
	case got := <-h.held:
		if got != path {
			t.Fatalf("%s waits, want %s", got, path)
		}
	case <-time.After(patience):
		t.Fatalf("the engine does not come to %s", path)
	}
}

func (h *holdUp) wait(r *http.Request) {
	select {
	case h.held <- r.URL.Path:
	case <-r.Context().Done():
		return
	}
	select {
	case <-h.resume:
	case <-r.Context().Done():
	}
}

func (h *holdUp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	question, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	holds := bytes.Contains(question, []byte(h.text+`"`)) // ends the address
	if holds && r.URL.Path == responsePath {
		h.wait(r)
	}
	verdict, err := h.ask(r, question)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if holds && r.URL.Path == requestPath {
		h.wait(r)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(verdict) // whoever asked may be gone
}

func (h *holdUp) ask(r *http.Request, question []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://plugin"+r.URL.Path, bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	resp, err := h.plugin.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}
