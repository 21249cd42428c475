// Package testbed brings up a real engine, a real registry and a real Notary
// server on loopback, for tests and for a person who wants to try something,
// and takes all of it down again.
//
// It decides where things lie, in which order they start, and what belongs to
// one testbed and therefore has to go with it. What signed content means it
// leaves to the docker client: images are signed with `docker trust` and
// nothing is imitated. It needs root and the Debian packages of packages.txt.
//
// A testbed is one folder and these processes:
//
//	room           holds the engine's mount and network namespaces and
//	               answers on localhost:PORT in there, for the registry
//	engine         dockerd, inside the room, with a containerd of its own
//	registry       docker-registry on a unix socket
//	registry-door  answers on localhost:PORT of this host, for the registry
//	signer         notary-signer, which keeps the keys of timestamps and
//	               snapshots in memory and answers notary alone, over mutual TLS
//	notary         notary-server over TLS, its store in memory
//	notary-door    answers on https://localhost:PORT, for notary
//
// The room is needed because the engine's folder for plugin sockets,
// /run/docker/plugins, cannot be moved, and because a swarm leaves bridges in
// the network namespace of its engine. In the room /run and /etc/docker are
// empty file systems and /run/docker/plugins is the folder DIR/plugins. The
// registry has one name on both sides, localhost:PORT, since a door
// (systemd-socket-proxyd) stands on each. The price: a TCP port on which the
// engine itself listens is reachable only inside the room. There is no bridge
// and no iptables unless daemon.json asks for them, so containers have
// --network none, or host, which is the room. The notary has a door so that
// it can go away and come back with its data, which it keeps in memory.
//
// Servers that want a login or a token (guarded.go) are started on demand, over
// TLS and with no door, and go with the rest.
//
// Every process carries the testbed's ID in its environment, and every
// container in the path of its cgroup, and the ID is on disk before the first
// process starts: that is how Down finds them all, however Up ended. It kills
// rather than stops, so that there is one way out and it is always used.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// An Engine is a kind of dockerd.
type Engine string

const (
	// Docker is Debian's dockerd, with the graphdriver image store.
	Docker Engine = "docker"
	// Moby is a current dockerd, with the containerd image store. BuildMoby
	// makes it.
	Moby Engine = "moby"
)

// ParseEngine reads the name of an engine; an empty one is Docker.
func ParseEngine(name string) (Engine, error) {
	switch Engine(name) {
	case "", Docker:
		return Docker, nil
	case Moby:
		return Moby, nil
	default:
		return "", fmt.Errorf("no engine is called %q: want docker or moby", name)
	}
}

// lockPatience is how long a command waits for another one that works in the
// same folder; bringing a testbed up is the longest of them.
const lockPatience = 60 * time.Second

// Options say where a testbed is to be and which engine it has.
type Options struct {
	Dir    string // made if missing, has to be empty
	Engine Engine // Docker if empty
}

// A Testbed is one that is up. Its methods may be called from several
// goroutines and by several processes; those that start or stop something
// wait for each other.
type Testbed struct {
	dir      string
	engine   Engine
	id       string
	registry int // port on localhost
	notary   int // port on localhost
	client   string
}

// Up brings a testbed up in opts.Dir. When it fails nothing is left of it;
// when it is killed, Down clears up.
func Up(ctx context.Context, opts Options) (*Testbed, error) {
	return up(ctx, opts, process{})
}

func up(ctx context.Context, opts Options, owner process) (*Testbed, error) {
	engine, err := ParseEngine(string(opts.Engine))
	if err != nil {
		return nil, err
	}
	if opts.Dir == "" {
		return nil, errors.New("no folder given: say where the testbed is to be, with --dir DIR")
	}
	if err := privileged(); err != nil {
		return nil, fmt.Errorf("a testbed needs root: %w", err)
	}
	programs, err := findPrograms(ctx, engine)
	if err != nil {
		return nil, err
	}
	dir, made, err := prepareDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(ctx, dir, 0)
	if err != nil {
		return nil, err
	}
	defer lock.release()
	ledger, err := newLedger(dir, state{Engine: engine, Owner: owner, MadeDir: made, Client: programs["docker"]})
	if err != nil {
		return nil, err
	}
	tb := ledger.testbed()
	if err := tb.bringUp(ctx, ledger, programs); err != nil {
		down, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockPatience)
		defer cancel()
		return nil, errors.Join(err, takeDown(down, dir))
	}
	return tb, nil
}

// bringUp starts what a testbed consists of, side by side where it can.
func (tb *Testbed) bringUp(ctx context.Context, l *ledger, programs map[string]string) error {
	if err := tb.writeFiles(time.Now()); err != nil {
		return err
	}
	return concurrently(
		func() error { return tb.startRegistry(ctx, l, programs) },
		func() error { return tb.startNotary(ctx, l, programs) },
		func() error {
			if err := tb.openRoom(ctx, l, programs); err != nil {
				return err
			}
			return tb.startEngine(ctx, l, programs)
		},
	)
}

// Open finds the testbed that is up in dir.
func Open(dir string) (*Testbed, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	l, err := openLedger(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no testbed in %s: run `testbed up --dir %s`", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	return l.testbed(), nil
}

// Down takes the testbed down and removes what it put into its folder.
func (tb *Testbed) Down(ctx context.Context) error { return Down(ctx, tb.dir) }

// Down takes down whatever Up left in dir, finished or not. Where there is
// nothing, it has nothing to do.
func Down(ctx context.Context, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	dir, err = filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !exists(filepath.Join(dir, lockName)) && !exists(filepath.Join(dir, stateName)) {
		return nil
	}
	lock, err := lockDir(ctx, dir, lockPatience)
	if err != nil {
		return err
	}
	defer lock.release()
	return takeDown(ctx, dir)
}

// Dir is the testbed's folder.
func (tb *Testbed) Dir() string { return tb.dir }

// Registry is the registry's host as it stands in names of images.
func (tb *Testbed) Registry() string { return fmt.Sprintf("localhost:%d", tb.registry) }

// NotaryURL is the address of the Notary server.
func (tb *Testbed) NotaryURL() string { return fmt.Sprintf("https://localhost:%d", tb.notary) }

// CA is the file with the certificate of the Notary server's authority.
func (tb *Testbed) CA() string { return tb.path("ca.crt") }

// PluginSockets is the folder that the engine knows as /run/docker/plugins.
func (tb *Testbed) PluginSockets() string { return tb.path("plugins") }

// DaemonJSON is the engine's configuration file.
func (tb *Testbed) DaemonJSON() string { return tb.path("daemon.json") }

// PolicyFile is the policy file that WritePolicy writes.
func (tb *Testbed) PolicyFile() string { return tb.path("policy.json") }

func (tb *Testbed) path(name string) string { return filepath.Join(tb.dir, name) }

// locked calls work with the testbed's ledger while no other command changes
// this testbed.
func (tb *Testbed) locked(ctx context.Context, work func(*ledger, map[string]string) error) error {
	programs, err := findPrograms(ctx, tb.engine)
	if err != nil {
		return err
	}
	lock, err := lockDir(ctx, tb.dir, lockPatience)
	if err != nil {
		return err
	}
	defer lock.release()
	l, err := openLedger(tb.dir)
	if err != nil {
		return err
	}
	return work(l, programs)
}

// concurrently calls all of jobs and joins what they return.
func concurrently(jobs ...func() error) error {
	errs := make(chan error, len(jobs))
	for _, job := range jobs {
		go func() { errs <- job() }()
	}
	var all []error
	for range jobs {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
