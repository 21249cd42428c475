package packages

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the only digest dpkg keeps of an installed file
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const (
	dpkgDir     = "/var/lib/dpkg"
	maxFileList = 64 << 20 // bytes; the largest packages list some 100,000 files
)

// A dpkg is the installed packages of a Debian host.
type dpkg struct {
	root      root
	installed []stanza
}

// readDpkg reads which packages are installed.
func readDpkg(ctx context.Context, r root) (dpkg, error) {
	file, err := r.open(path.Join(dpkgDir, "status"))
	if errors.Is(err, fs.ErrNotExist) {
		return dpkg{}, errNoDatabase
	}
	if err != nil {
		return dpkg{}, fmt.Errorf("reading dpkg's database: %w", err)
	}
	defer file.Close()
	read, err := readIndex(ctx, "dpkg's status", file, isInstalled)
	if err != nil {
		return dpkg{}, fmt.Errorf("reading dpkg's database: %w", err)
	}
	return dpkg{root: r, installed: read.stanzas}, nil
}

// isInstalled: the third word of Status is what counts; the first is a wish.
func isInstalled(paragraph []byte) bool {
	for line := range bytes.Lines(paragraph) {
		if rest, ok := bytes.CutPrefix(line, []byte("Status:")); ok {
			words := bytes.Fields(rest)
			return len(words) == 3 && string(words[2]) == "installed"
		}
	}
	return false
}

// A debPackage is an installed engine package.
type debPackage struct {
	stanza
	binary string // its dockerd, with leading slash
}

func (p debPackage) name() string    { return p.stanza["package"] }
func (p debPackage) version() string { return p.stanza["version"] }
func (p debPackage) arch() string    { return p.stanza["architecture"] }
func (p debPackage) String() string  { return p.name() + " " + p.version() + " " + p.arch() }

// engine finds the package that owns one of the paths. Packages known by name
// come first: their file lists are few.
func (d dpkg) engine(paths []string) (debPackage, error) {
	known := enginePackageNames()
	byRank := slices.Clone(d.installed)
	slices.SortStableFunc(byRank, func(a, b stanza) int { return rank(known, a["package"]) - rank(known, b["package"]) })
	for _, s := range byRank {
		owned, err := d.owns(s, paths)
		if err != nil {
			return debPackage{}, err
		}
		if owned != "" {
			return debPackage{stanza: s, binary: owned}, nil
		}
	}
	return debPackage{}, errNoEngine
}

func rank(known []string, name string) int {
	if i := slices.Index(known, name); i >= 0 {
		return i
	}
	return len(known)
}

// info reads a file of dpkg's info directory; packages that can be installed
// for several architectures have theirs under NAME:ARCH.
func (d dpkg) info(s stanza, ending string) ([]byte, error) {
	base := path.Join(dpkgDir, "info", s["package"])
	data, err := d.root.read(base+":"+s["architecture"]+ending, maxFileList)
	if errors.Is(err, fs.ErrNotExist) {
		return d.root.read(base+ending, maxFileList)
	}
	return data, err
}

// owns gives the first of the paths that a package's file list holds.
func (d dpkg) owns(s stanza, paths []string) (string, error) {
	list, err := d.info(s, ".list")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading dpkg's file list of %s: %w", s["package"], err)
	}
	if !bytes.Contains(list, []byte("dockerd")) && !bytes.Contains(list, []byte(path.Base(paths[0]))) {
		return "", nil
	}
	lines := strings.Split(string(list), "\n")
	for _, name := range paths {
		if slices.Contains(lines, name) {
			return name, nil
		}
	}
	return "", nil
}

// diverted tells whether another package's file was put in a path's place.
func (d dpkg) diverted(name string) (bool, error) {
	data, err := d.root.read(path.Join(dpkgDir, "diversions"), maxFileList)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading dpkg's diversions: %w", err)
	}
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i += 3 { // from, to, by whom
		if lines[i] == name {
			return true, nil
		}
	}
	return false, nil
}

// unchanged holds a package's dockerd against the digest dpkg recorded.
func (j *judge) unchanged(d dpkg, p debPackage) error {
	diverted, err := d.diverted(p.binary)
	if err != nil {
		return err
	}
	if diverted {
		j.fact("dpkg", dpkgDir+"/diversions", "%s of %s is diverted", p.binary, p.name())
		return j.refuse(fmt.Sprintf("%s is not the file of %s: dpkg-divert put another in its place", p.binary, p.name()),
			"remove the diversion and reinstall the package")
	}
	sums, err := d.info(p.stanza, ".md5sums")
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dpkg keeps no digests of %s, so a changed %s could not be told: reinstall the package with apt-get install --reinstall, "+
			"or give its file with --package", p.name(), p.binary)
	}
	if err != nil {
		return fmt.Errorf("reading dpkg's digests of %s: %w", p.name(), err)
	}
	want := recordedSum(sums, p.binary)
	if want == "" {
		return fmt.Errorf("dpkg keeps no digest of %s, so a change could not be told: give the package's file with --package", p.binary)
	}
	got, err := j.root.digest(p.binary, md5.New()) //nolint:gosec // see the import
	if errors.Is(err, fs.ErrNotExist) {
		return j.refuse(fmt.Sprintf("%s of the installed package %s is gone", p.binary, p.name()), "reinstall the package")
	}
	if err != nil {
		return fmt.Errorf("reading the engine's binary: %w", err)
	}
	if got != want {
		j.fact("dpkg", p.binary, "MD5 %s, installed as %s", got, want)
		return j.refuse(fmt.Sprintf("%s was changed after %s was installed", p.binary, p), "find out who changed it, and reinstall the package")
	}
	j.fact("dpkg", p.binary, "MD5 %s, as installed with %s", got, p)
	return nil
}

func recordedSum(sums []byte, name string) string {
	for line := range strings.Lines(string(sums)) {
		sum, file, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && path.Clean("/"+strings.TrimSpace(file)) == name {
			return sum
		}
	}
	return ""
}
