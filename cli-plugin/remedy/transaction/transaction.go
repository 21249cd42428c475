// Package transaction makes the changes of a plan, all of them or none, and
// takes them back later. What is to change, whether it may, and whether it has
// helped, its callers decide.
//
// Before the first change, a journal and copies of what is there lie on the
// disk under STATE/transactions/ID, and each file is replaced at once: a crash
// at any point leaves every file whole, the old one or the new one, and
// whoever comes next with the lock in hand takes back what was begun. Files
// come first, then the engine is told once, then what is changed over an API;
// then the caller checks. What cannot be taken back comes last, after all that.
package transaction

import (
	"context"
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/change/disk"
	"github.com/docker-stig/docker-stig/cli-plugin/remedy/engine"
	"github.com/docker-stig/docker-stig/shared/stig"
)

const (
	// backWithin bounds taking back; an engine that is restarted gives each
	// container 10 s.
	backWithin = 5 * time.Minute
	// settleWithin is how long an engine may take to act on a file that it
	// was told to read again: it tells nobody when it has.
	settleWithin = 10 * time.Second
	lookEvery    = 200 * time.Millisecond
)

// A Step changes one file or one document, or runs a program.
type Step struct {
	Subject string     `json:"subject"`
	Path    string     `json:"path,omitempty"`   // of a file
	Target  string     `json:"target,omitempty"` // of a document
	Run     []string   `json:"run,omitempty"`    // of a program
	Back    []string   `json:"back,omitempty"`   // what takes it back
	Done    []string   `json:"done,omitempty"`   // what ends well if it is done, and else with a status
	Serves  []stig.ID  `json:"serves"`
	Before  disk.State `json:"before"`
	After   disk.State `json:"after"`
	Folders []string   `json:"folders,omitempty"` // made for the file
	Config  bool       `json:"config,omitempty"`  // it is the engine's daemon.json

	// Begun is written down before a document is changed, or a program run:
	// what was never begun is never taken back.
	Begun bool `json:"begun,omitempty"`
	// Left is the sum of a document as an upload that failed has left it.
	Left string `json:"left,omitempty"`
	// Kept says that it stays as it is: others have changed it since, or no
	// program takes it back.
	Kept bool `json:"kept,omitempty"`
}

// Form is what the bytes of a step's file or document are.
func (s Step) Form() change.Form {
	switch {
	case s.Target == change.UCPConfig:
		return change.TOML
	case s.Config, s.Target != "":
		return change.JSON
	}
	return change.Text
}

// A Document is what is changed over an API, read and put whole.
type Document interface {
	// Read is fs.ErrNotExist for one that is gone, such as that of a container.
	Read(ctx context.Context) ([]byte, error)
	// Put reads back what it wrote: without an error the document is after.
	Put(ctx context.Context, before, after []byte) error
	// Same reports whether two of its kind mean the same.
	Same(a, b []byte) bool
}

// An Engine acts on its files when it is told to.
type Engine interface {
	Validate(ctx context.Context, config string) error
	Reload(ctx context.Context) error
	CanRestart() error
	Restart(ctx context.Context) error
	Up(ctx context.Context) error
	Running(ctx context.Context, now time.Time) (since time.Time, runs bool)
}

// A Last change cannot be taken back, and is made when all else is.
type Last struct {
	Title string
	Do    func(ctx context.Context) error
}

// A Runner carries transactions out.
type Runner struct {
	Store     Store
	Now       func() time.Time
	Engine    func(*engine.Dockerd) Engine
	Documents func(target string) (Document, error)
	// Program runs a program: what makes changed files count, or a step of a
	// plan.
	Program func(ctx context.Context, argv []string) error
	Talk    func(text string)
	// AllowRestart is of the engine, also where its files are back and only
	// the engine remembers.
	AllowRestart bool
}

// RolledBack is the error of a transaction that was taken back.
type RolledBack struct {
	Why  error
	Left error // what could not be taken back; nil: all is as it was
}

// Error says why, and what is left.
func (e *RolledBack) Error() string {
	if e.Left != nil {
		return fmt.Sprintf("%v; and not all could be taken back: %v; the next docker stig fix or undo tries again", e.Why, e.Left)
	}
	return fmt.Sprintf("%v; everything was rolled back", e.Why)
}

// Unwrap gives both errors.
func (e *RolledBack) Unwrap() []error { return []error{e.Why, e.Left} }
