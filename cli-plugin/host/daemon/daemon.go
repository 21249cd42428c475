// Package daemon reads what dockerd was told: its command line, daemon.json,
// and the systemd unit that will tell it the next time. It looks at bytes and
// at nothing else: finding them, and what they mean for a requirement, is left
// to others.
//
// It follows dockerd 20.10 to 29: flags as spf13/pflag parses them, and the
// rules of daemon/config. Where those read leniently what a person cannot have
// meant (a key twice), this package refuses.
//
// https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
package daemon

import (
	"slices"
	"strconv"
	"strings"
)

// DefaultConfigFile is what dockerd reads unless it is told otherwise.
const DefaultConfigFile = "/etc/docker/daemon.json"

// DefaultHost is where dockerd listens unless it is told otherwise.
const DefaultHost = "unix:///var/run/docker.sock"

// A Kind says how an option is written.
type Kind int

// The kinds of options. A flag of a List or Map may be repeated.
const (
	Text Kind = iota
	Number
	Bool
	List
	Map // of text to text
	Any // something of which only its being there is told
)

// A Spec describes an option of dockerd.
type Spec struct {
	Name    string // the key in daemon.json; "" if it has none
	Flag    string // without its dashes; "" if there is none
	Short   string
	Kind    Kind
	Default Value // nil: the engine chooses
}

// A Value is what an option is set to: one text, "true" or "false", the
// members of a list, or KEY=VALUE each of a map. Nil: it is not set.
type Value []string

// Truth is the Value of a Bool.
func Truth(on bool) Value { return Value{strconv.FormatBool(on)} }

// On reports whether a Bool is true.
func (v Value) On() bool { return slices.Equal(v, Value{"true"}) }

// String joins the members; "nothing" if there are none.
func (v Value) String() string {
	if len(v) == 0 {
		return "nothing"
	}
	return strings.Join(v, ", ")
}

// Get gives what a Map has under a key.
func (v Value) Get(key string) (string, bool) {
	for _, member := range v {
		if name, value, _ := strings.Cut(member, "="); name == key {
			return value, true
		}
	}
	return "", false
}

// Only keeps the keys of a Map that are named. What is not set stays so.
func (v Value) Only(keys ...string) Value {
	if v == nil {
		return nil
	}
	kept := Value{}
	for _, member := range v {
		if name, _, _ := strings.Cut(member, "="); slices.Contains(keys, name) {
			kept = append(kept, member)
		}
	}
	return kept
}

// Same reports whether two values set the same, in whatever order.
func (v Value) Same(other Value) bool {
	return slices.Equal(slices.Sorted(slices.Values(v)), slices.Sorted(slices.Values(other)))
}
