package authz

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A question under way asks the engine, and the engine asks back on a new
// connection. Draining has to answer that one, or it waits for itself.
func TestDrainAnswersWhatADecisionAsks(t *testing.T) {
	t.Parallel()
	var s *Server
	path := filepath.Join(t.TempDir(), "s")
	inside, drained := make(chan struct{}), make(chan struct{})
	s = drainable(t, path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/judged" {
			close(inside)
			<-drained // begins
			if got, err := askOn(r.Context(), path, "/harmless"); err != nil || got != "ok" {
				t.Errorf("what a decision asks while the server drains: %q, %v", got, err)
			}
		}
		_, _ = io.WriteString(w, "ok")
	}))
	answered := make(chan error, 1)
	go func() {
		got, err := askOn(t.Context(), path, "/judged")
		if err == nil && got != "ok" {
			err = errors.New(got)
		}
		answered <- err
	}()
	<-inside
	began := time.Now()
	go func() {
		for !s.retiring.Load() {
			time.Sleep(time.Millisecond)
		}
		close(drained)
	}()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the decision under way: %v", err)
	}
	if took := time.Since(began); took > settleTimeout {
		t.Errorf("draining took %v", took)
	}
}

// With the socket kept, no question of many is refused or lost over a drain:
// those that come too late are in the socket's queue for the next server.
func TestDrainLosesNoQuestion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	kept, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	_ = listener.Close()

	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			c := clientOf(path)
			defer c.CloseIdleConnections()
			for ctx.Err() == nil {
				if got, err := postTo(t.Context(), c, "/"); err != nil || got != "ok" {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	for range 10 {
		next, err := net.FileListener(kept)
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(ok)
		done := make(chan error, 1)
		go func() { done <- s.Serve(next) }()
		time.Sleep(20 * time.Millisecond) // some service
		if err := s.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}
	last, err := net.FileListener(kept)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(ok)
	go func() { _ = s.Serve(last) }()
	cancel()
	clients.Wait()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// A connection that brings no question, or but half of one, holds nobody up.
func TestDrainWaitsForNoSilence(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", "POST "} {
		path := filepath.Join(t.TempDir(), "s")
		s := drainable(t, path, http.NotFoundHandler())
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), settleTimeout/2)
		if err := s.Drain(ctx); err != nil {
			t.Errorf("after %q: %v", sent, err)
		}
		cancel()
	}
}

func newServer(h http.Handler) *Server {
	s := NewServer(nil, slog.New(slog.DiscardHandler))
	s.http.Handler = s.retire(h)
	return s
}

func drainable(t *testing.T, path string, h http.Handler) *Server {
	t.Helper()
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(h)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.http.Close(); <-done })
	return s
}

func clientOf(path string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}
}

func askOn(ctx context.Context, path, target string) (string, error) {
	c := clientOf(path)
	defer c.CloseIdleConnections()
	return postTo(ctx, c, target)
}

func postTo(ctx context.Context, c *http.Client, target string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://plugin"+target, bytes.NewReader([]byte(strings.Repeat("x", 100))))
	if err != nil {
		return "", err
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
