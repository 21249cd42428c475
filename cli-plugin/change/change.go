// Package change holds what a fix may want done, as data: it can be shown,
// written to a file, compared with what is wanted now, and taken back. It says
// what becomes of the bytes of a file or a document when several rules want
// something of it, and which wishes contradict each other. Reading, writing and
// asking a person are left to package remedy.
//
// A change names what it wants, never a whole document: a daemon.json may hold
// a proxy's password, and UCP's configuration that of an LDAP server, and plans
// are handed around.
package change

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// Disruption is what a change does to what runs.
type Disruption string

// The disruptions, from the least.
const (
	None     Disruption = "none"
	Reload   Disruption = "reload"   // the engine reads its file again; nothing stops
	Restart  Disruption = "restart"  // of the engine
	Recreate Disruption = "recreate" // of a container, which a person does
)

var ranks = []Disruption{None, Reload, Restart, Recreate}

// Beyond reports whether d disrupts more than other.
func (d Disruption) Beyond(other Disruption) bool {
	return slices.Index(ranks, d) > slices.Index(ranks, other)
}

// Worst is the greatest of some disruptions.
func Worst(all ...Disruption) Disruption {
	worst := None
	for _, d := range all {
		if d.Beyond(worst) {
			worst = d
		}
	}
	return worst
}

// A Change is one thing that a fix wants done. Exactly one of its kinds is set.
type Change struct {
	Serves     []stig.ID  `json:"serves"`
	Disruption Disruption `json:"disruption"`
	// ByName says why it is done only if the rule is named; "": it is safe.
	ByName string `json:"byName,omitempty"`
	// Irrevocable says why it cannot be taken back; "": it can.
	Irrevocable string `json:"irrevocable,omitempty"`

	Option  *Option  `json:"option,omitempty"`
	Owner   *Owner   `json:"owner,omitempty"`
	File    *File    `json:"file,omitempty"`
	Lines   *Lines   `json:"lines,omitempty"`
	Setting *Setting `json:"setting,omitempty"`
	Engine  *Engine  `json:"engine,omitempty"`
	Program *Program `json:"program,omitempty"`
	Publish *Publish `json:"publish,omitempty"`
}

// An Option sets a member of dockerd's daemon.json, or takes it out.
type Option struct {
	File    string          `json:"file"`            // the daemon.json of the engine that runs
	Pointer string          `json:"pointer"`         // RFC 6901: "/log-opts/max-size"
	Value   json.RawMessage `json:"value,omitempty"` // nil: it is taken out
}

// An Owner sets owner, group and mode of a file, a folder or a socket. What is
// "" stays.
type Owner struct {
	Path  string `json:"path"`
	User  string `json:"user,omitempty"` // name or number
	Group string `json:"group,omitempty"`
	Mode  string `json:"mode,omitempty"` // octal, "0644"
}

// A File has a content, or is to be gone. One that is there keeps its owner and
// mode; a new one is root's, 0644. See MarshalJSON for what is written down.
type File struct {
	Path    string
	Content string
	Remove  bool
	Then    Then

	sum string // of the content, where only that is known: it was written down
}

// Lines stand in a file, behind those that are there.
type Lines struct {
	Path string   `json:"path"`
	Add  []string `json:"add"`
	Then Then     `json:"then,omitempty"`
}

// Then is what makes a changed file count.
type Then string

// What is done after files were changed.
const (
	DaemonReload Then = "systemctl daemon-reload"
	LoadAudit    Then = "augenrules --load"
)

// A Setting is one of a document that is changed over an API. Target names the
// document: see Targets.
type Setting struct {
	Target  string          `json:"target"`
	Title   string          `json:"title"` // for a person
	Pointer string          `json:"pointer"`
	Value   json.RawMessage `json:"value"`
}

// The targets of settings; a container's ID and, behind a slash, the limit that
// is set stand behind the last.
const (
	UCPConfig   = "ucp-config"
	DTRSettings = "dtr-settings"
	SwarmSpec   = "swarm"
	Container   = "container:"
)

// The settings of content trust in UCP's configuration.
const (
	RequireContentTrust  = "/trust_configuration/require_content_trust"
	RequireSignatureFrom = "/trust_configuration/require_signature_from"
)

// Engine has the engine act on the files that it has not read yet.
type Engine struct {
	Why string `json:"why"`
}

// A Program is run: a step of a package manager. Its words are the rule's own.
type Program struct {
	Title string   `json:"title"`
	Argv  []string `json:"argv"`
	Undo  []string `json:"undo,omitempty"` // empty: it cannot be taken back
	// Done ends well if what the program does is so, and with a status of its
	// own if it is not. What can be taken back has one.
	Done []string `json:"done,omitempty"`
}

// Publish signs a tag of a repository, and publishes the signature.
type Publish struct {
	Repository string   `json:"repository"`
	Tag        string   `json:"tag"`
	Digest     string   `json:"digest"`
	Signers    []string `json:"signers"`
}

// Wanted is what a fix wants, and what a person should know beforehand.
type Wanted struct {
	Changes []Change
	Notes   []string
	// Person is what a person has to do beside, a step or a block of lines
	// each.
	Person []string
}

// Subject says what is changed, to a person.
func (c Change) Subject() string {
	switch {
	case c.Path() != "":
		return c.Path()
	case c.Setting != nil:
		return c.Setting.Title
	case c.Engine != nil:
		return "the engine"
	case c.Program != nil:
		return c.Program.Title
	case c.Publish != nil:
		return c.Publish.Repository + ":" + c.Publish.Tag
	}
	return "nothing"
}

// Wish says in one line what is wanted of the subject.
func (c Change) Wish() string {
	switch {
	case c.Option != nil && c.Option.Value == nil:
		return c.Option.Pointer + " is taken out"
	case c.Option != nil:
		return fmt.Sprintf("%s is set to %s", c.Option.Pointer, c.Option.Value)
	case c.Owner != nil:
		return strings.TrimSpace(fmt.Sprintf("owner %s:%s, mode %s", orSame(c.Owner.User), orSame(c.Owner.Group), orSame(c.Owner.Mode)))
	case c.File != nil && c.File.Remove:
		return "it is taken away"
	case c.File != nil:
		return "it gets another content"
	case c.Lines != nil:
		return "it gets lines: " + strings.Join(c.Lines.Add, "; ")
	case c.Setting != nil:
		return fmt.Sprintf("%s is set to %s", c.Setting.Pointer, c.Setting.Value)
	case c.Engine != nil:
		return "it reads its files again: " + c.Engine.Why
	case c.Program != nil:
		return strings.Join(c.Program.Argv, " ")
	case c.Publish != nil:
		return fmt.Sprintf("%s is signed and published as %s", c.Publish.Digest, strings.Join(c.Publish.Signers, ", "))
	}
	return "nothing"
}

func orSame(text string) string {
	if text == "" {
		return "(as it is)"
	}
	return text
}

// Check wants a change to be of one kind, and to say all that it needs.
func (c Change) Check() error {
	kinds := 0
	for _, set := range []bool{c.Option != nil, c.Owner != nil, c.File != nil, c.Lines != nil, c.Setting != nil, c.Engine != nil, c.Program != nil, c.Publish != nil} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return fmt.Errorf("a change is of one kind, and this is of %d: please report this", kinds)
	case len(c.Serves) == 0:
		return fmt.Errorf("the change of %s serves no requirement: please report this", c.Subject())
	case !slices.Contains(ranks, c.Disruption):
		return fmt.Errorf("%q is no disruption: please report this", c.Disruption)
	case c.File != nil && !utf8.ValidString(c.File.Content):
		return fmt.Errorf("what %s is to hold is not UTF-8: please report this", c.File.Path)
	case c.Publish != nil && c.Irrevocable == "", c.Program != nil && len(c.Program.Undo) == 0 && c.Irrevocable == "":
		return errors.New("a change that cannot be taken back has to say so: please report this")
	case c.Program != nil && len(c.Program.Undo) > 0 && len(c.Program.Done) == 0:
		return errors.New("a program that can be taken back has to say how one sees that it is done: please report this")
	}
	return nil
}

// SetOption wants a member of daemon.json to have a value.
func SetOption(file, pointer string, value any, serves ...stig.ID) (Change, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return Change{}, fmt.Errorf("%s of daemon.json: %w", pointer, err)
	}
	return Change{Serves: serves, Disruption: disruptionOf(pointer), Option: &Option{File: file, Pointer: pointer, Value: raw}}, nil
}

// RemoveOption wants a member of daemon.json to be gone. That takes a restart:
// an engine that reads its file again keeps what a key said that is gone, and
// takes an empty list or false instead.
func RemoveOption(file, pointer string, serves ...stig.ID) Change {
	return Change{Serves: serves, Disruption: Restart, Option: &Option{File: file, Pointer: pointer}}
}

// reloaded are the keys of daemon.json that dockerd 20.10 to 29 takes from its
// file when it is told to read it again; all others take a restart.
//
// https://docs.docker.com/reference/cli/dockerd/#configuration-reload-behavior
var reloaded = []string{
	"allow-nondistributable-artifacts", "authorization-plugins", "debug", "default-runtime", "features",
	"insecure-registries", "labels", "live-restore", "max-concurrent-downloads", "max-concurrent-uploads",
	"max-download-attempts", "registry-mirrors", "runtimes", "shutdown-timeout",
}

func disruptionOf(pointer string) Disruption {
	key, _, _ := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	if slices.Contains(reloaded, key) {
		return Reload
	}
	return Restart
}

// SetSetting wants a setting of a document to have a value.
func SetSetting(target, title, pointer string, value any, serves ...stig.ID) (Change, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return Change{}, fmt.Errorf("%s of %s: %w", pointer, title, err)
	}
	return Change{Serves: serves, Disruption: None, Setting: &Setting{Target: target, Title: title, Pointer: pointer, Value: raw}}, nil
}

// limitsForGood are what an update of a container takes, and cannot take off
// again: the engine takes 0 for "as it is".
var limitsForGood = []string{"Memory", "CPUShares"}

// SetLimit wants a limit or the restart policy of a container, by the name of
// the engine's API, to have a value; before is its number now. Each is a
// document of its own: what is set for good is no part of what is taken back.
func SetLimit(id, title, name string, before int64, value any, serves ...stig.ID) (Change, error) {
	c, err := SetSetting(Container+id+"/"+name, "container "+title, "/"+name, value, serves...)
	if err == nil && before == 0 && slices.Contains(limitsForGood, name) {
		c.Irrevocable = "the engine cannot take " + name + " off a container again: only one that is made anew is without"
	}
	return c, err
}
