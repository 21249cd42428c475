package packages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

const (
	listsDir    = "/var/lib/apt/lists"
	archivesDir = "/var/cache/apt/archives"
)

// listName is the name under which apt keeps what it fetched from a URI: the
// URI without scheme and user, some bytes escaped, each slash an underscore.
func listName(uri string) string {
	if scheme, rest, ok := strings.Cut(uri, ":"); ok && !strings.Contains(scheme, "/") {
		uri = strings.TrimPrefix(rest, "//")
	}
	host, rest, ok := strings.Cut(uri, "/")
	if i := strings.LastIndexByte(host, '@'); ok && i >= 0 {
		uri = host[i+1:] + "/" + rest
	}
	var b strings.Builder
	for _, c := range []byte(uri) {
		switch {
		case c == '/':
			b.WriteByte('_')
		case c <= ' ' || c >= 0x7f || strings.IndexByte(`\|{}[]<>"^~_=!@#$%&*`, c) >= 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// base is the URI under which a source's release file lies.
func (s source) base(arch string) string {
	suite := strings.ReplaceAll(s.suite, "$(ARCH)", arch)
	if !strings.HasSuffix(suite, "/") {
		return s.uri + "dists/" + suite + "/"
	}
	if suite == "/" {
		return s.uri
	}
	return s.uri + suite
}

// An index is a Packages file of a source, as its release file calls it.
type index struct {
	name string // such as "stable/binary-amd64/Packages"
	file string // path below the root
}

// indexes lists the Packages files of a source that apt holds for an
// architecture, compressed or not.
func (r root) indexes(s source, arch string) ([]index, error) {
	var names []string
	if strings.HasSuffix(s.suite, "/") {
		names = []string{"Packages"}
	}
	for _, component := range s.components {
		for _, a := range []string{arch, "all"} {
			names = append(names, component+"/binary-"+a+"/Packages")
		}
	}
	var found []index
	for _, name := range names {
		file, err := r.kept(path.Join(listsDir, listName(s.base(arch)+name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, index{name: name, file: file})
	}
	return found, nil
}

// kept finds a list under its name or, where apt keeps them compressed, with
// the compressor's ending.
func (r root) kept(file string) (string, error) {
	for _, ending := range []string{"", ".lz4", ".gz", ".xz", ".zst", ".bz2"} {
		if r.isFile(file + ending) {
			return file + ending, nil
		}
	}
	return "", fmt.Errorf("%s: %w", file, fs.ErrNotExist)
}
