package protect

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	maxLinks  = 40      // symbolic links on one way, as the kernel allows
	maxMounts = 8 << 20 // bytes of mountinfo; a container has a few lines of 200 bytes
)

// A tree looks at the host's files, at each once: for one judgement they do
// not change.
type tree struct {
	root  string
	owner uint32 // whose the tree is: root, but for a tree made by a test
	seen  map[string]node
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
	missing bool
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
	if folder := w.chain[len(w.chain)-1]; folder.loose(w.tree.owner) && w.loose == "" {
		w.loose = w.at
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

func (w *walk) follow(target string) error {
	w.links++
	if w.links > maxLinks {
		return errors.New("it has too many symbolic links")
	}
	if path.IsAbs(target) {
		w.at = "/"
		w.chain = w.chain[:1:1]
	}
	w.rest = append(strings.Split(target, "/"), w.rest...)
	w.passed = append(w.passed, path.Join(w.at, path.Join(w.rest...)))
	return nil
}

// nothingBelow reports whether no other file system is mounted below a path.
// A read-only bind leaves such mounts writable on engines before 25 and on
// kernels before 5.12. It is false where the mounts cannot be read.
func (t *tree) nothingBelow(name string) bool {
	file, err := os.Open(filepath.Join(t.root, "proc/self/mountinfo"))
	if err != nil {
		return false
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxMounts))
	lines.Buffer(nil, 1<<20) // bytes; an overlay's line lists all its layers
	read := 0
	for lines.Scan() {
		read += len(lines.Bytes()) + 1
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			return false
		}
		point := unescape.Replace(fields[4]) // proc_pid_mountinfo(5): the mount point
		if point != name && under(point, name) {
			return false
		}
	}
	return lines.Err() == nil && read > 0 && read < maxMounts
}

// unescape undoes how mountinfo writes what would end a field.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
