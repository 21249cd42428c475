package authz

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
)

const (
	// windowLife ends a window whose answer never came: the engine died in
	// between. It is long, because a window that ends too early lets
	// something through, and one that ends too late costs a retry.
	windowLife = 10 * time.Minute
	// lookupTime is how long after the plugin's answer the engine may take
	// to look up a name: thousands of times what it does. A restart holds its
	// window for as long as the container takes to stop, and creates of other
	// names need not wait for that.
	lookupTime = time.Second
	// retryPause is how often a wait looks at the clock.
	retryPause = 100 * time.Millisecond
)

// A gate keeps two things apart that the engine does at the same time. A
// container that was just made exists before the answer to its create is
// judged; and a request such as start names its container by something that
// the engine looks up again after the plugin has judged what it stood for.
// Between the two, a name could come to mean the new container.
//
// So a request that names a container otherwise than by its full ID waits
// until no create is under way that could give its container that name, and
// such a create waits until the request is done. Both last from the engine's
// question before it acts to its question about the answer.
type gate struct {
	now func() time.Time

	mu      sync.Mutex
	creates windows
	names   windows
	changed chan struct{} // closed, and made anew, when a window ends
}

// windows are what is under way, by the name given: when each began.
type windows map[string][]time.Time

func newGate(now func() time.Time) *gate {
	return &gate{now: now, creates: windows{}, names: windows{}, changed: make(chan struct{})}
}

// errBusy says that the other thing did not end in time.
var errBusy = errors.New("a container is being made that could be meant by this name, or a container of this name is being started; try again, or name the container by its full ID")

var (
	fullID    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	generated = regexp.MustCompile(`^[a-z]+_[a-z]+[0-9]*$`) // moby's names-generator, for a create without a name
)

// mayMean reports whether a container made under a given name, or under none,
// could be what another request calls name: its name, or the beginning of its
// ID, which nobody knows yet.
func mayMean(given, name string) bool {
	prefixOfID := strings.Trim(name, "0123456789abcdef") == ""
	return given == name || prefixOfID || (given == "" && generated.MatchString(name))
}

// enter waits for its turn and opens a window for the request, if it is of a
// kind that needs one. What enter let in has to leave.
func (g *gate) enter(ctx context.Context, t engineapi.Target) error {
	switch t.Route.Use { //nolint:exhaustive // no other use makes or names a container
	case engineapi.Create:
		given, err := t.CreateName()
		if err != nil {
			return err
		}
		return g.create(ctx, given)
	case engineapi.Start, engineapi.Revive, engineapi.Alter:
		if name, ok := looseName(t); ok {
			return g.name(ctx, name)
		}
	}
	return nil
}

// leave closes the window of a request that was denied, or has been answered.
func (g *gate) leave(t engineapi.Target) {
	switch t.Route.Use { //nolint:exhaustive // as in enter
	case engineapi.Create:
		if given, err := t.CreateName(); err == nil {
			g.end(g.creates, given)
		}
	case engineapi.Start, engineapi.Revive, engineapi.Alter:
		if name, ok := looseName(t); ok {
			g.end(g.names, name)
		}
	}
}

// looseName is the name of the container in a request, unless it is a full ID,
// which means the same container for ever.
func looseName(t engineapi.Target) (string, bool) {
	name := strings.TrimPrefix(t.Name, "/")
	return name, !fullID.MatchString(name)
}

// create opens a window once no name that it could come to mean is in use.
func (g *gate) create(ctx context.Context, given string) error {
	return g.wait(ctx, func() bool {
		for name := range g.names {
			life := lookupTime
			if given == name {
				life = windowLife
			}
			if mayMean(given, name) && g.names.open(name, g.now(), life) {
				return false
			}
		}
		g.creates.begin(given, g.now())
		return true
	})
}

// name opens a window at once, so that no further create begins, and waits
// until those under way have ended.
func (g *gate) name(ctx context.Context, name string) error {
	g.mu.Lock()
	g.names.begin(name, g.now())
	g.mu.Unlock()
	err := g.wait(ctx, func() bool {
		for given := range g.creates {
			if mayMean(given, name) && g.creates.open(given, g.now(), windowLife) {
				return false
			}
		}
		return true
	})
	if err != nil {
		g.end(g.names, name)
	}
	return err
}

// wait tries until ready says yes, each time a window has ended.
func (g *gate) wait(ctx context.Context, ready func() bool) error {
	for {
		g.mu.Lock()
		ok, changed := ready(), g.changed
		g.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return errBusy
		}
	}
}

func (g *gate) end(w windows, name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.end(name)
	close(g.changed)
	g.changed = make(chan struct{})
}

// reset forgets all windows: an engine that starts has nothing under way.
func (g *gate) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.creates)
	clear(g.names)
	close(g.changed)
	g.changed = make(chan struct{})
}

// idle takes the gate's lock and lets go of it.
func (g *gate) idle() {
	g.mu.Lock()
	defer g.mu.Unlock()
}

func (w windows) begin(name string, now time.Time) { w[name] = append(w[name], now) }

// end closes the oldest window of a name.
func (w windows) end(name string) {
	if len(w[name]) <= 1 {
		delete(w, name)
		return
	}
	w[name] = w[name][1:]
}

// open reports whether the youngest window of a name began less than life ago.
func (w windows) open(name string, now time.Time, life time.Duration) bool {
	list := w[name]
	return len(list) > 0 && now.Sub(list[len(list)-1]) < life
}
