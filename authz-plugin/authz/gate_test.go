package authz

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
)

func target(t *testing.T, uri string) engineapi.Target {
	t.Helper()
	parsed, err := engineapi.Parse("POST", uri)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestGate: of two requests, whether the second has to wait while the first
// is under way.
func TestGate(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 64)
	for name, test := range map[string]struct {
		first, second string
		waits         bool
	}{
		"start of the name that is made":       {"/containers/create?name=web", "/containers/web/start", true},
		"create of the name that is started":   {"/containers/web/start", "/containers/create?name=web", true},
		"with a slash in front":                {"/containers/create?name=/web", "/containers/web/restart", true},
		"prefix of an ID":                      {"/containers/create?name=web", "/containers/abc/start", true},
		"create beside a prefix":               {"/containers/abc/update", "/containers/create", true},
		"a name that moby makes up":            {"/containers/create", "/containers/happy_turing2/start", true},
		"another name":                         {"/containers/create?name=web", "/containers/cache/start", false},
		"no name made, an ordinary name asked": {"/containers/create", "/containers/web-1/start", false},
		"full ID":                              {"/containers/create?name=web", "/containers/" + id + "/start", false},
		"create beside a full ID":              {"/containers/" + id + "/start", "/containers/create?name=" + id, false},
		"two creates":                          {"/containers/create?name=web", "/containers/create?name=web", false},
		"two starts":                           {"/containers/web/start", "/containers/web/start", false},
		"other requests":                       {"/containers/create?name=web", "/containers/web/stop", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate(time.Now)
				first, second := target(t, test.first), target(t, test.second)
				if err := g.enter(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), lookupTime/2)
				defer cancel()
				err := g.enter(ctx, second)
				if errors.Is(err, errBusy) != test.waits {
					t.Fatalf("got %v, waits: %v", err, test.waits)
				}
				if !test.waits {
					return
				}
				done := make(chan error)
				go func() { done <- g.enter(t.Context(), second) }()
				synctest.Wait()
				g.leave(first)
				if err := <-done; err != nil {
					t.Errorf("it does not go on once the first has left: %v", err)
				}
			})
		})
	}
}

// TestSlowRestart: a restart by a name that could begin an ID holds up only
// what could still be meant by it.
func TestSlowRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Now)
		if err := g.enter(t.Context(), target(t, "/containers/db/restart")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := g.enter(t.Context(), target(t, "/containers/create?name=web")); err != nil || time.Since(began) < lookupTime {
			t.Errorf("a create of another name: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := g.enter(ctx, target(t, "/containers/create?name=db")); !errors.Is(err, errBusy) {
			t.Errorf("a create of the same name: %v", err)
		}
	})
}

// TestGateForgets: windows whose answer never comes end, at last by
// themselves, at once when an engine starts.
func TestGateForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Now)
		made, started := target(t, "/containers/create?name=web"), target(t, "/containers/web/start")
		blocked := func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := g.enter(ctx, started)
			if err == nil {
				g.leave(started)
			}
			return err != nil
		}
		for _, end := range []func(){
			func() { time.Sleep(windowLife) },
			g.reset,
			func() { g.leave(made) },
		} {
			if err := g.enter(t.Context(), made); err != nil {
				t.Fatal(err)
			}
			if !blocked() {
				t.Error("a create that is under way does not count")
			}
			end()
			if blocked() {
				t.Error("a create that has ended still counts")
			}
			g.reset()
		}
	})
}

// TestGateCountsEach: of two creates of one name, the first to end does not
// open the way for the other.
func TestGateCountsEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(time.Now)
		made, started := target(t, "/containers/create?name=web"), target(t, "/containers/web/start")
		for range 2 {
			if err := g.enter(t.Context(), made); err != nil {
				t.Fatal(err)
			}
		}
		g.leave(made)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.enter(ctx, started); !errors.Is(err, errBusy) {
			t.Errorf("got %v", err)
		}
		g.leave(started) // one too many must not matter
		g.leave(made)
		if err := g.enter(t.Context(), started); err != nil {
			t.Error(err)
		}
	})
}

func TestCreateWithOddNameIsRefused(t *testing.T) {
	t.Parallel()
	g := newGate(time.Now)
	for _, uri := range []string{"/containers/create?name=a&name=b", "/containers/create?name=a/b"} {
		if err := g.enter(t.Context(), target(t, uri)); err == nil {
			t.Errorf("%s was let in", uri)
		}
	}
}
