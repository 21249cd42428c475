// Package enforce switches an engine over to docker-stig-authz and back, and
// tells whether it has been.
//
// It decides what keeps an engine from enforcing, what enabling would change,
// and in which order; and it sees to it that nobody is locked out: what is
// about to change is on disk before the first change, a process of its own
// (see Keep) takes everything back unless it is told within a time that all is
// well, and the engine counts as switched over only when a request that the
// plugin alone refuses has come back refused. Judging
// containers and asking a person it leaves to its caller.
//
// What the engine does to a plugin is told by what it does: a reload (SIGHUP)
// brings authorization-plugins into force, and GET /info goes on showing what
// was in force when the engine started (20.10 to 29).
package enforce

import "time"

const (
	// PluginName is what daemon.json calls the plugin; the engine finds it by
	// the name of its socket.
	PluginName = "docker-stig-authz"
	// pluginSocket is where the engine looks, in its own view of the disk.
	pluginSocket = "/run/docker/plugins/" + PluginName + ".sock"
	// defaultConfig is what dockerd reads unless it is told otherwise.
	defaultConfig = "/etc/docker/daemon.json"
	// PrivateSocket is where the engine listens behind the guard.
	PrivateSocket = "/run/docker-stig/engine.sock"
	// defaultEngine is whom the policy has the plugin ask unless it says so.
	defaultEngine = "unix:///run/docker.sock"
)

const (
	// answerWithin bounds one question to the engine or the plugin. The plugin
	// takes 5 s at most to decide.
	answerWithin = 7 * time.Second
	// settleWithin is how long a daemon may take to do what it was told to.
	settleWithin = 20 * time.Second
	// applyWithin bounds everything from the first change to the last check.
	applyWithin = 2 * time.Minute
	// undoWithin bounds taking it back. An engine that is restarted gives each
	// container 10 s.
	undoWithin = 3 * time.Minute
	// lookEvery is the pause between two looks at something that settles.
	lookEvery = 100 * time.Millisecond
)

// A Judged container is one that exists, with why it would be refused.
type Judged struct {
	ID      string
	Name    string
	Image   string
	Running bool
	Err     error  // nil: it may run
	Lines   string // of the policy, that would let it run; empty: none would
}
