package protect

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// maxPath is the kernel's bound of a path, in bytes.
const maxPath = 4096

// bind judges a path of the host by every name it goes by: as it is written,
// as each symbolic link on the way makes it, and as it comes out.
func (j *judgement) bind(b bind) error {
	if j.opened(policy.SettingPaths) && j.opened(policy.SettingBinds) {
		return nil
	}
	if !path.IsAbs(b.source) || len(b.source) > maxPath || strings.ContainsRune(b.source, 0) {
		return j.refuse(policy.SettingPaths, "the bind of "+quote(b.source), "is no full path")
	}
	source := path.Clean(b.source) // as the engine does, before it looks
	if err := j.reaches(b, found{path: source}); err != nil {
		return err
	}
	if j.tree == nil {
		j.tree = newTree(j.options.Root)
		j.layout = j.whereabouts(j.tree)
	}
	f, err := j.tree.resolve(source)
	if err != nil {
		return j.refuse(policy.SettingPaths, "the bind of "+quote(source), fmt.Sprintf("cannot be judged (%v)", err))
	}
	if f.loose != "" && !j.listed(source) {
		return j.refuse(policy.SettingBinds, "the bind of "+quote(source), fmt.Sprintf("may be another path by the time it is mounted, since others than root can change what is in %s", quote(f.loose)))
	}
	for _, name := range f.passed {
		if err := j.reaches(b, found{path: name}); err != nil {
			return err
		}
	}
	return j.reaches(b, f)
}

// listed reports whether the policy answers for a source, or for a folder
// above it.
func (j *judgement) listed(source string) bool {
	return j.opened(policy.SettingBinds) || slices.ContainsFunc(j.policy.Binds, func(entry string) bool { return under(source, entry) })
}

// reaches refuses a path by which a container gets at a protected one: the
// path itself, one below it, or a folder that holds it.
func (j *judgement) reaches(b bind, f found) error {
	if j.opened(policy.SettingPaths) {
		return nil
	}
	for i := range j.places {
		p := &j.places[i]
		if !p.meets(p.path, f.path) && (f.chain == nil || !p.is(j.layout[i], f)) {
			continue
		}
		asked := "the bind of " + quote(path.Clean(b.source))
		switch {
		case p.readable && !b.writable && f.chain == nil:
			continue // what is mounted below it is known once it is resolved
		case p.readable && !b.writable && (b.alone || j.tree.nothingBelow(f.path)):
			continue
		case p.readable && !b.writable:
			return j.refuse(policy.SettingPaths, asked, fmt.Sprintf("leaves what is mounted below it writable, and %s %s; bind less, or by --mount with bind-recursive=readonly", p.path, p.why))
		case p.readable:
			return j.refuse(policy.SettingPaths, asked, fmt.Sprintf("is writable, and %s %s; bind it read-only", p.path, p.why))
		default:
			return j.refuse(policy.SettingPaths, asked, fmt.Sprintf("gives away %s, which %s", p.path, p.why))
		}
	}
	return nil
}
