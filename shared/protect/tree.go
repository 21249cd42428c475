package protect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const maxLinks = 40 // symbolic links on one way, as the kernel allows

// A tree looks at the host's files, at each once: for one judgement they do
// not change.
type tree struct {
	root  string
	owner uint32 // whose the tree is: root, but for a tree made by a test
	seen  map[string]node
	table []mounted
	given []found // folders that containers may write
}

func newTree(root string) *tree {
	t := &tree{root: root, seen: map[string]node{}}
	if root != "/" {
		t.owner = t.look("/").uid
	}
	return t
}

// A node is what lies at a path, itself and not what it may link to.
type node struct {
	dev, ino uint64
	mode     fs.FileMode
	uid      uint32
	link     string
	err      error
}

func (n node) same(o node) bool { return n.dev == o.dev && n.ino == o.ino }

// loose reports whether others than its owner may change what is in a folder.
// Who may write a sticky folder can still put a new entry there, and the entry
// that is bound may be theirs. An access list shows in the group's bits.
func (n node) loose(owner uint32) bool { return n.uid != owner || n.mode.Perm()&0o022 != 0 }

// look tells of the file at a path whose folders are no links.
func (t *tree) look(name string) node {
	if n, ok := t.seen[name]; ok {
		return n
	}
	n := look(filepath.Join(t.root, name))
	t.seen[name] = n
	return n
}

func look(name string) node {
	info, err := os.Lstat(name)
	if err != nil {
		return node{err: err}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return node{err: errors.New("its owner cannot be told")}
	}
	n := node{dev: uint64(stat.Dev), ino: stat.Ino, mode: info.Mode(), uid: stat.Uid} //nolint:unconvert // 32 bits on some platforms
	if info.Mode()&fs.ModeSymlink != 0 {
		n.link, n.err = os.Readlink(name)
	}
	return n
}

// found is where a path leads.
type found struct {
	path    string   // without links; beyond what exists, as the engine would make it
	passed  []string // what it was called on the way, after each link
	chain   []node   // what exists of it, from the root down; nil before it was looked at
	loose   string   // the first folder on the way that others than root may change
	disk    onDisk   // what it is, under whatever name
	below   []onDisk // what is mounted below it
	missing bool
}

// has reports whether a path without links lies in a folder, or is it, by any
// name.
func (f *found) has(name string, n node, disk onDisk) bool {
	return under(name, f.path) || f.disk.holds(disk) || (!f.missing && f.chain[len(f.chain)-1].same(n))
}

// resolve follows a clean path as the kernel would.
func (t *tree) resolve(name string) (found, error) {
	w := walk{tree: t, rest: strings.Split(name, "/"), at: "/"}
	w.chain = []node{t.look("/")}
	for len(w.rest) > 0 && !w.missing {
		if err := w.step(); err != nil {
			return found{}, err
		}
	}
	if err := w.chain[0].err; err != nil {
		return found{}, err
	}
	w.path = path.Join(w.at, path.Join(w.rest...))
	if err := w.place(); err != nil {
		return found{}, err
	}
	return w.found, nil
}

// A walk is a path half followed.
type walk struct {
	found

	tree  *tree
	at    string   // the folder that was reached
	rest  []string // what is still to be followed
	links int
}

func (w *walk) step() error {
	name := w.rest[0]
	w.rest = w.rest[1:]
	switch name {
	case "", ".":
		return nil
	case "..":
		w.at = path.Dir(w.at)
		w.chain = w.chain[:max(1, len(w.chain)-1)]
		return nil
	}
	if err := w.leave(); err != nil {
		return err
	}
	next := path.Join(w.at, name)
	n := w.tree.look(next)
	switch {
	case errors.Is(n.err, fs.ErrNotExist):
		w.rest = append([]string{name}, w.rest...)
		w.missing = true
		return nil
	case n.err != nil:
		return fmt.Errorf("looking at %s: %w", quote(next), n.err)
	case n.link != "":
		return w.follow(n.link)
	}
	w.at = next
	w.chain = append(w.chain, n)
	return nil
}

// leave notes the folder that was reached if what is in it can be replaced: by
// other users, or by a container that may write it.
func (w *walk) leave() error {
	folder := w.chain[len(w.chain)-1]
	if w.loose != "" {
		return nil
	}
	if folder.loose(w.tree.owner) {
		w.loose = w.at
		return nil
	}
	if len(w.tree.given) == 0 {
		return nil
	}
	disk, err := w.tree.onDisk(w.at)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(w.tree.given, func(g found) bool { return g.has(w.at, folder, disk) }) {
		w.loose = w.at
	}
	return nil
}

// place tells what the path is on disk.
func (w *walk) place() (err error) {
	if w.disk, err = w.tree.onDisk(w.path); err != nil {
		return err
	}
	for _, g := range w.tree.given {
		if w.missing && w.loose == "" && under(path.Dir(w.path), g.path) {
			w.loose = g.path
		}
	}
	w.below, err = w.tree.below(w.path)
	return err
}

var errLinks = errors.New("it has too many symbolic links")

func (w *walk) follow(target string) error {
	w.links++
	if w.links > maxLinks {
		return errLinks
	}
	if path.IsAbs(target) {
		w.at = "/"
		w.chain = w.chain[:1:1]
	}
	w.rest = append(strings.Split(target, "/"), w.rest...)
	w.passed = append(w.passed, path.Join(w.at, path.Join(w.rest...)))
	return nil
}
