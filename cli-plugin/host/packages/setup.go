package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// SetupOptions say what a host's package manager is to be told.
type SetupOptions struct {
	Root string // the host's root directory; empty: "/"
	Key  string // a file of this machine with the key that the repository, or the rpm, is signed with
	// Repository is where the engine's packages are: a URL and, for apt, behind
	// it suite and components, as a line of sources.list has them. Empty: the
	// entry that is there, or else the vendor's own.
	Repository string
	Approved   []string
	Now        time.Time
}

// A Setup is what has to be on a host for its package manager to take the
// engine from a repository that is signed with a key, and to check that.
type Setup struct {
	Format  Format
	Package string // the engine package that is installed; "": none
	Version string // of it
	Key     VendorKey
	// Files are those that are not as they have to be; none: all is as it has
	// to be.
	Files        []SetupFile
	Repositories []string // that the key is for, as others may see them
	// Fetched says that apt holds lists of one of them that are signed with the
	// key; of an rpm host, that the key signed the installed package.
	Fetched bool
	// Import names the key as rpm's database will; "": it is there already, or
	// has no part in it.
	Import  string
	KeyFile string // of the key, below Root
	// ByHand is what is left to a person.
	ByHand []string
}

// A SetupFile is a file below the root, and what it has to hold.
type SetupFile struct{ Path, Content string }

// PlanSetup finds out what a host lacks to take the engine's package from a
// signed repository. It changes nothing.
func PlanSetup(ctx context.Context, o SetupOptions) (Setup, error) {
	j, err := newJudge(o.Root, "", o.Approved, o.Now)
	if err != nil {
		return Setup{}, err
	}
	named, err := parseWhere(o.Repository)
	if err != nil {
		return Setup{}, err
	}
	for _, plan := range []func(context.Context, SetupOptions, where) (Setup, error){j.setupDeb, j.setupRPM} {
		setup, err := plan(ctx, o, named)
		if !errors.Is(err, errNoDatabase) {
			return setup, err
		}
	}
	return Setup{}, fmt.Errorf("no dpkg or rpm database below %s: trust the vendor's key as this host's package manager wants it", j.root)
}

// A where is a repository that somebody named.
type where struct {
	uri        string // ends with a slash; "": nobody named one
	suite      string
	components []string
}

// parseWhere reads a URL and, behind it, suite and components.
func parseWhere(text string) (where, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return where{}, nil
	}
	u, err := url.Parse(words[0])
	switch {
	case err != nil, !slices.Contains([]string{"https", "http", "file"}, u.Scheme), u.Scheme != "file" && u.Host == "", u.Scheme == "file" && u.Path == "":
		return where{}, fmt.Errorf("%q is no repository: want https://HOST/PATH, http://HOST/PATH or file:/PATH and, for apt, behind it SUITE [COMPONENT...]", shown(words[0]))
	case u.User != nil:
		return where{}, errors.New("the repository's URL holds a name or a password, and its entry can be read by everybody: put them into /etc/apt/auth.conf.d, or username= and password= of the .repo file")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("#[]\"'\\", r) }):
		return where{}, fmt.Errorf("%q has characters that an entry cannot hold: write them as %%XX", shown(text))
	}
	w := where{uri: withSlash(words[0])}
	if len(words) > 1 {
		w.suite, w.components = words[1], words[2:]
		if err := (source{uri: w.uri, suite: w.suite, components: w.components}).complete(); err != nil {
			return where{}, fmt.Errorf("%q is no repository: %w", shown(text), err)
		}
	}
	return w, nil
}

// vendorPlaces are where vendors publish the engine's packages, behind the
// scheme, by the product of their keys. Docker sold its enterprise engine from
// storebits, under a subscription's path.
//
// https://docs.docker.com/engine/install/ and
// https://docs.mirantis.com/mcr/current/install.html
var vendorPlaces = map[string][]string{
	"Docker CE": {"download.docker.com/linux/"},
	"Docker EE": {"repos.mirantis.com/", "storebits.docker.com/ee/"},
}

// isVendors reports whether a URL is of the place where a key's vendor
// publishes.
func (k VendorKey) isVendors(uri string) bool {
	_, rest, _ := strings.Cut(uri, "://")
	return slices.ContainsFunc(vendorPlaces[k.Product], func(place string) bool { return strings.HasPrefix(rest, place) })
}

// base is the address under which a key's vendor has its repositories, "" for
// a key that a site approved.
func (k VendorKey) base() string {
	if places := vendorPlaces[k.Product]; len(places) > 0 {
		return "https://" + places[0]
	}
	return ""
}

// errWhere asks for a repository where none can be guessed.
func errWhere(why, example string) error {
	return fmt.Errorf("%s: name the repository with --vendor-repository, such as %q", why, example)
}

// channel is the part of the vendor's repository that a version came from:
// Docker CE has one, and the enterprise engine one for each line of versions.
func (k VendorKey) channel(version string) string {
	if k.Product != "Docker EE" {
		return "stable"
	}
	_, upstream, epoch := strings.Cut(version, ":")
	if !epoch {
		upstream = version
	}
	parts := strings.SplitN(upstream, ".", 3)
	if len(parts) < 3 {
		return ""
	}
	return "stable-" + parts[0] + "." + parts[1]
}

// fileName is what a key's file is called: no other key's is.
func (k VendorKey) fileName() string { return fmt.Sprintf("docker-engine-%016x", k.ID) }

// remark stands above an entry.
func (k VendorKey) remark() string {
	return fmt.Sprintf("# Signed with the key %s (%s).\n", k.Fingerprint, k.Owner)
}

// changed keeps the files that are not as they have to be.
func (r root) changed(files []SetupFile) ([]SetupFile, error) {
	var changed []SetupFile
	for _, f := range files {
		if !r.isFile(f.Path) {
			changed = append(changed, f)
			continue
		}
		now, err := r.read(f.Path, maxSources)
		if err != nil {
			return nil, err
		}
		if string(now) != f.Content {
			changed = append(changed, f)
		}
	}
	return changed, nil
}

// A distribution is what os-release(5) says of one.
type distribution map[string]string

func (r root) distribution() (distribution, error) {
	const maxRelease = 64 << 10 // bytes; it is some 300
	var found distribution
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if !r.isFile(name) {
			continue
		}
		data, err := r.read(name, maxRelease)
		if err != nil {
			return nil, fmt.Errorf("reading which distribution the host runs: %w", err)
		}
		found = distribution{}
		for line := range bytes.Lines(data) {
			if key, value, ok := strings.Cut(strings.TrimSpace(string(line)), "="); ok {
				found[key] = strings.Trim(value, `"'`)
			}
		}
		break
	}
	return found, nil
}

// is gives the first of some distributions that this one is, or is made from.
func (d distribution) is(ids ...string) string {
	for _, own := range append([]string{d["ID"]}, strings.Fields(d["ID_LIKE"])...) {
		if slices.Contains(ids, own) {
			return own
		}
	}
	return ""
}

// appended adds an entry to a file that is there or not.
func appended(now []byte, entry string) string {
	if len(bytes.TrimSpace(now)) == 0 {
		return entry
	}
	return strings.TrimRight(string(now), "\n") + "\n\n" + entry
}
