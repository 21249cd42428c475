package protect

import (
	"io/fs"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// An entry is one of protect.binds, as it is found on the host.
type entry struct {
	found

	name string
	deep bool // what is below it is meant, too
}

// prepare looks at the host, and which of its folders containers may have
// writable. Root in a container is root in such a folder: a link that it leaves
// there is followed by the engine later, when nobody is asked.
func (j *judgement) prepare() error {
	if j.tree != nil {
		return nil
	}
	t := newTree(j.options.Root)
	if _, err := t.mounts(); err != nil {
		return err
	}
	j.layout = j.whereabouts(t)
	var given []found
	for _, listed := range j.policy.Binds {
		e := entry{name: listed}
		e.name, e.deep = strings.CutSuffix(listed, policy.Below)
		var err error
		e.found, err = t.resolve(e.name)
		if err != nil || (e.loose != "" && !e.deep) {
			e.found = found{path: e.name, loose: e.loose, missing: true}
		}
		j.entries = append(j.entries, e)
		if !e.deep {
			given = append(given, e.found)
		}
	}
	t.given = given
	j.tree = t
	return nil
}

// answers reports whether the policy answers for a source wherever it leads
// by the time it is mounted.
func (j *judgement) answers(source string) bool {
	return j.opened(policy.SettingBinds) || slices.ContainsFunc(j.entries, func(e entry) bool { return e.deep && under(source, e.name) })
}

// mayWrite reports whether the policy lets containers write to a path. What
// others can replace is not what was listed.
func (j *judgement) mayWrite(f found) bool {
	return j.opened(policy.SettingBinds) || slices.ContainsFunc(j.entries, func(e entry) bool {
		if e.deep {
			return under(f.path, e.path)
		}
		return e.loose == "" && e.path == f.path
	})
}

// toList is the entry that would let a source be bound although others can
// change what is in a folder on the way to it.
func (j *judgement) toList(source, folder string) string {
	for _, e := range j.entries {
		if !e.deep && e.path == folder {
			return quote(e.name+policy.Below) + " in place of " + quote(e.name)
		}
	}
	return quote(source + policy.Below)
}

// A writing is how a container changes the host by what it is given, and what
// to ask for instead. The zero value changes nothing.
type writing struct{ how, instead string }

var (
	writable = writing{"is writable", "bind it read-only"}
	talking  = writing{"works as well when it is read-only", "bind a file or a folder"}
	partly   = writing{"leaves what is mounted below it writable", "bind less, or by --mount with bind-recursive=disabled (or readonly, which older engines and services do not know)"}
)

// writing tells how a bind changes what it leads to.
func (b bind) writing(f found) writing {
	const special = fs.ModeSocket | fs.ModeNamedPipe | fs.ModeDevice
	switch {
	case b.writable:
		return writable
	case f.chain == nil: // the rest is known once it is resolved
		return writing{}
	case !f.missing && f.chain[len(f.chain)-1].mode&special != 0:
		return talking
	case !b.alone && len(f.below) != 0:
		return partly
	default:
		return writing{}
	}
}
