package testbed

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// A state is what a testbed's folder remembers about it.
type state struct {
	ID        string // in every process's environment and every container's cgroup
	Engine    Engine
	Registry  int       // port on localhost
	Notary    int       // port on localhost
	Client    string    // path of the docker client
	MadeDir   bool      // the folder was missing and goes with the testbed
	Owner     process   // the test that the testbed belongs to, if any
	Processes []process // started so far, the newest of a name last
}

// A process is told from a later one with the same number by its start.
type process struct {
	Name  string
	PID   int
	Start uint64 // clock ticks after boot, field 22 of proc_pid_stat(5)
}

// A ledger is the state on disk. It is written after every process that is
// started, before anything else happens.
type ledger struct {
	dir   string
	mu    sync.Mutex
	state state
}

// newLedger gives a testbed its ID and ports and writes them down. The caller
// holds the lock on dir.
func newLedger(dir string, s state) (*ledger, error) {
	if err := vacant(dir); err != nil { // again: now nobody else can move in
		return nil, err
	}
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s.ID, s.Registry, s.Notary = "stig-"+rand.Text()[:12], ports[0], ports[1]
	l := &ledger{dir: dir, state: s}
	return l, l.save()
}

func openLedger(dir string) (*ledger, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateName))
	if err != nil {
		return nil, fmt.Errorf("reading the testbed's state: %w", err)
	}
	l := &ledger{dir: dir}
	if err := json.Unmarshal(data, &l.state); err != nil {
		return nil, fmt.Errorf("reading the testbed's state %s: %w", filepath.Join(dir, stateName), err)
	}
	if l.state.ID == "" {
		return nil, errors.New("the testbed's state has no ID: it is no testbed's, or was changed by hand")
	}
	return l, nil
}

func (l *ledger) testbed() *Testbed {
	s := l.state
	return &Testbed{dir: l.dir, engine: s.Engine, id: s.ID, registry: s.Registry, notary: s.Notary, client: s.Client}
}

// record writes down that p was started.
func (l *ledger) record(p process) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state.Processes = append(l.state.Processes, p)
	return l.save()
}

// latest is the newest process of that name, dead or alive, or the zero
// process, which is dead.
func (l *ledger) latest(name string) process {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.state.Processes) - 1; i >= 0; i-- {
		if l.state.Processes[i].Name == name {
			return l.state.Processes[i]
		}
	}
	return process{}
}

// save replaces the state in one step, so that a reader finds the old or the
// new one.
func (l *ledger) save() error {
	data, err := json.MarshalIndent(l.state, "", "\t")
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(l.dir, stateName), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the testbed's state: %w", err)
	}
	return nil
}
