package change

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
	"github.com/docker-stig/docker-stig/cli-plugin/host/daemon"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A Contradiction is between changes that cannot all be made, or between a
// change and what has to stay.
type Contradiction struct {
	Rules   []stig.ID `json:"rules"`
	What    string    `json:"what"` // and what to do about it
	Changes []int     `json:"-"`    // their places in the list
}

// Contradictions finds those among changes.
func Contradictions(changes []Change) []Contradiction {
	var found []Contradiction
	for i, c := range changes {
		if why := harmful(c); why != "" {
			found = append(found, Contradiction{Rules: c.Serves, What: why, Changes: []int{i}})
		}
		for j := range i {
			if why := contradicts(changes[j], c); why != "" {
				found = append(found, Contradiction{Rules: union(changes[j].Serves, c.Serves), What: why, Changes: []int{j, i}})
			}
		}
	}
	return found
}

func union(a, b []stig.ID) []stig.ID {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// contradicts says why two changes cannot both be made, "" if they can.
func contradicts(a, b Change) string {
	switch {
	case a.Option != nil && b.Option != nil && a.Option.File == b.Option.File:
		return members(a.Subject(), a.Option.Pointer, b.Option.Pointer, a.Option.Value, b.Option.Value)
	case a.Setting != nil && b.Setting != nil && a.Setting.Target == b.Setting.Target:
		return members(a.Subject(), a.Setting.Pointer, b.Setting.Pointer, a.Setting.Value, b.Setting.Value)
	case a.Owner != nil && b.Owner != nil && a.Owner.Path == b.Owner.Path:
		return owners(*a.Owner, *b.Owner)
	case a.Path() == "" || a.Path() != b.Path() || a.Owner != nil && b.Owner != nil:
		return ""
	case a.File != nil && b.File != nil && *a.File == *b.File:
		return ""
	case a.File != nil && b.Owner != nil && !a.File.Remove, a.Owner != nil && b.File != nil && !b.File.Remove:
		return ""
	case a.File != nil || b.File != nil:
		return fmt.Sprintf("one sets the whole of %s, the other wants something else of it: name one of the rules", a.Path())
	}
	return ""
}

// members holds two members of one document against each other: the same has
// to have the same value, and none stands inside of another.
func members(title, a, b string, one, other json.RawMessage) string {
	same := one == nil && other == nil || one != nil && other != nil && jsonedit.Same(one, other)
	switch {
	case a == b && same:
		return ""
	case a == b:
		return fmt.Sprintf("%s of %s is to be %s, and %s: name one of the rules", a, title, orGone(one), orGone(other))
	case strings.HasPrefix(a, b+"/"), strings.HasPrefix(b, a+"/"):
		return fmt.Sprintf("%s and %s of %s stand inside of each other: name one of the rules", a, b, title)
	}
	return ""
}

func orGone(value json.RawMessage) string {
	if value == nil {
		return "gone"
	}
	return string(value)
}

func owners(a, b Owner) string {
	for _, pair := range [][3]string{{"owner", a.User, b.User}, {"group", a.Group, b.Group}, {"mode", a.Mode, b.Mode}} {
		if pair[1] != "" && pair[2] != "" && pair[1] != pair[2] {
			return fmt.Sprintf("the %s of %s is to be %s, and %s: name one of the rules", pair[0], a.Path, pair[1], pair[2])
		}
	}
	return ""
}

// harms are what a guide asks for and nobody should do.
var harms = []struct {
	harms func(Change) bool
	why   string
}{
	{func(c Change) bool {
		return c.Setting != nil && c.Setting.Target == DTRSettings && strings.HasSuffix(c.Setting.Pointer, "/createRepositoryOnPush") && string(c.Setting.Value) == "true"
	}, "createRepositoryOnPush lets every push make a repository, which nobody has looked at: it stays off"},
	{func(c Change) bool {
		return c.Owner != nil && strings.Contains(c.Owner.Path, "/volumes/ucp-") && (c.Owner.User == "root" || c.Owner.User == "0")
	}, "the volumes of UCP belong to its own users; given to root, UCP does not start any more: they stay as they are"},
}

// harmful says why a change is never made, "" if it may be.
func harmful(c Change) string {
	for _, h := range harms {
		if h.harms(c) {
			return h.why
		}
	}
	return ""
}

// rotated are the log drivers of dockerd that take max-size and max-file.
var rotated = []string{"json-file", "local"}

// rotations are the members of log-opts that the other log drivers refuse.
var rotations = []string{"max-size", "max-file"}

// EngineRefuses holds a daemon.json as it would be against what the engine is
// told by flags: dockerd --validate passes much that then keeps it from
// starting. It names the changes that are to blame; none, if it was so before.
func EngineRefuses(config []byte, flags daemon.Flags, changes []Change) (Contradiction, bool) {
	file, err := daemon.ParseConfig(config)
	if err != nil {
		return blame(changes, "daemon.json: "+err.Error(), func(daemon.Spec) bool { return true }), true
	}
	told := daemon.Told{Flags: flags, File: file}
	if why := told.Refusal(); why != "" {
		return blame(changes, why, func(spec daemon.Spec) bool { return flags.Value(spec) != nil }), true
	}
	driverSpec, _ := daemon.Lookup("log-driver")
	optsSpec, _ := daemon.Lookup("log-opts")
	driver, _ := told.Value(driverSpec)
	opts, _ := told.Value(optsSpec)
	if slices.Contains(rotated, driver.String()) {
		return Contradiction{}, false
	}
	for _, name := range rotations {
		if _, set := opts.Get(name); set {
			why := fmt.Sprintf("log-opts %s is for the log drivers %s alone, and with %s the engine does not start: keep the remote driver, whose server rotates, and leave %[1]s out", name, strings.Join(rotated, " and "), driver)
			return blame(changes, why, func(spec daemon.Spec) bool { return spec.Name == "log-driver" || spec.Name == "log-opts" }), true
		}
	}
	return Contradiction{}, false
}

// blame names the changes of options that are to blame.
func blame(changes []Change, what string, guilty func(daemon.Spec) bool) Contradiction {
	c := Contradiction{What: what}
	for i, one := range changes {
		if one.Option == nil {
			continue
		}
		key, _, _ := strings.Cut(strings.TrimPrefix(one.Option.Pointer, "/"), "/")
		if spec, known := daemon.Lookup(key); known && guilty(spec) {
			c.Rules, c.Changes = union(c.Rules, one.Serves), append(c.Changes, i)
		}
	}
	return c
}
