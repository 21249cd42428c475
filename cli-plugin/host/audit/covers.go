package audit

import (
	"path"
	"slices"
	"strings"
)

// A Tree is what has to be known of a host's files to tell what a watch
// covers.
type Tree struct {
	// Real resolves the symbolic links among the folders of a path, not the
	// last name: the kernel does so when it takes a rule.
	Real  func(name string) string
	IsDir func(name string) bool
	// Mounts are the folders where file systems begin. A watch of a folder
	// does not reach into one that is mounted below it.
	Mounts []string
}

// Covering gives the watches that record accesses to a path, which has no
// symbolic link in it. The kernel takes the first rule that fits, so one that
// forbids recording ends the list.
func (r Rules) Covering(name string, tree Tree) []Watch {
	if r.Off != "" {
		return nil
	}
	var found []Watch
	for _, w := range r.Watches {
		if !w.covers(name, tree) {
			continue
		}
		if w.never && len(w.Conditions)+len(w.Limits) == 0 {
			break
		}
		if !w.never {
			found = append(found, w)
		}
	}
	return found
}

func (w Watch) covers(name string, tree Tree) bool {
	at := tree.Real(w.Path)
	isDir := tree.IsDir(at)
	if at == name {
		return w.kind != file || !isDir // on a folder, -F path= records the folder's own entry alone
	}
	if w.kind == file || !isDir || !Below(name, at) {
		return false
	}
	return !slices.ContainsFunc(tree.Mounts, func(mount string) bool {
		return Below(mount, at) && (mount == name || Below(name, mount))
	})
}

// Below reports whether a path lies below a folder.
func Below(name, dir string) bool {
	return strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") && name != dir
}

// Perms are what watches record together, in the order of auditctl.
func Perms(watches []Watch) string {
	var all strings.Builder
	for _, perm := range "rwxa" {
		if slices.ContainsFunc(watches, func(w Watch) bool { return strings.ContainsRune(w.Perms, perm) }) {
			all.WriteRune(perm)
		}
	}
	return all.String()
}

// Reliable gives the watches that record whatever their permissions say,
// people's accesses at least.
func Reliable(watches []Watch) []Watch {
	return slices.DeleteFunc(slices.Clone(watches), func(w Watch) bool { return len(w.Conditions) > 0 })
}

// ParseMounts reads /proc/mounts.
func ParseMounts(raw []byte) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []string
	for line := range strings.Lines(string(raw)) {
		if fields := strings.Fields(line); len(fields) > 1 && path.IsAbs(fields[1]) {
			mounts = append(mounts, path.Clean(unescape.Replace(fields[1])))
		}
	}
	return mounts
}
