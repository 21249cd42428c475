package protect

import (
	"fmt"
	"path"
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
	if err := j.prepare(); err != nil {
		return fmt.Errorf("the bind of %s: %w", quote(source), err)
	}
	f, err := j.tree.resolve(source)
	if err != nil {
		return unseen(err, j.refuse(policy.SettingPaths, "the bind of "+quote(source), fmt.Sprintf("cannot be judged (%v)", err)))
	}
	if f.loose != "" && !j.answers(source) {
		return j.refuseUnless(policy.SettingBinds, "list "+j.toList(source, f.loose)+" in protect.binds, or ", "the bind of "+quote(source),
			fmt.Sprintf("may be another path by the time it is mounted, since others than root, or a container, can change what is in %s", quote(f.loose)))
	}
	for _, name := range f.passed {
		if err := j.reaches(b, found{path: name}); err != nil {
			return err
		}
	}
	if err := j.reaches(b, f); err != nil {
		return err
	}
	if w := b.writing(f); w.how != "" && !j.mayWrite(f) {
		return j.refuseUnless(policy.SettingBinds, "list "+quote(f.path)+" in protect.binds, or ", "the bind of "+quote(source),
			w.how+", and what a container leaves in a folder of the host, the host may run or follow; "+w.instead)
	}
	return nil
}

// reaches refuses a path by which a container gets at a protected one: the
// path itself, one below it, or a folder that holds it.
func (j *judgement) reaches(b bind, f found) error {
	if j.opened(policy.SettingPaths) {
		return nil
	}
	asked := "the bind of " + quote(path.Clean(b.source))
	for i := range j.places {
		p := &j.places[i]
		if !p.meets(p.path, f.path) && (f.chain == nil || !p.is(j.layout[i], f)) {
			continue
		}
		w := b.writing(f)
		switch {
		case !p.readable:
			return j.refuse(policy.SettingPaths, asked, fmt.Sprintf("gives away %s, which %s", p.path, p.why))
		case w.how != "":
			return j.refuse(policy.SettingPaths, asked, fmt.Sprintf("%s, and %s %s; %s", w.how, p.path, p.why, w.instead))
		case f.missing:
			return j.refuse(policy.SettingPaths, asked, fmt.Sprintf("is not there, the engine would make it, and %s %s; bind what is there", p.path, p.why))
		}
	}
	return nil
}
