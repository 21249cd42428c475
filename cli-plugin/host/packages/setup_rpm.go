package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// repoDirs are where dnf, yum and zypper have their entries, the first that is
// there counts.
var repoDirs = []string{"/etc/zypp/repos.d", "/etc/yum.repos.d"}

const repoEntry = "docker-engine.repo"

// setupRPM plans for rpm: the key laid out and imported, and an entry that has
// packages checked with it. What rpm imports counts for packages of any
// repository: it knows no signed-by.
func (j *judge) setupRPM(ctx context.Context, o SetupOptions, w where) (Setup, error) {
	db, err := openRPMDB(j.root)
	if err != nil {
		return Setup{}, err
	}
	installed, err := db.engine(ctx, enginePaths)
	if err != nil && !errors.Is(err, errNoEngine) {
		return Setup{}, err
	}
	key, err := readVendorKey(o.Key, RPM, o.Approved, o.Now)
	if err != nil {
		return Setup{}, err
	}
	s := Setup{Format: RPM, Key: key, KeyFile: path.Join(rpmKeyDir, "RPM-GPG-KEY-"+key.fileName())}
	if installed.name != "" {
		_, unsigned := j.rpmSigned(installed, key.ring)
		s.Package, s.Version, s.Fetched = installed.name, installed.header.version(), unsigned == nil
	}
	if len(w.components) > 0 || w.suite != "" {
		return Setup{}, fmt.Errorf("this host has rpm, whose repositories have no suite: give the URL alone, such as %q", exampleRepo)
	}
	if err := j.repoFiles(&s, w); err != nil {
		return Setup{}, err
	}
	return s, j.wantImport(ctx, db, &s)
}

const exampleRepo = "https://mirror.example.com/docker/9/x86_64/stable"

// wantImport has the key imported. rpm 6 names keys otherwise, and takes them
// back otherwise.
func (j *judge) wantImport(ctx context.Context, db rpmDB, s *Setup) error {
	imported, err := db.imported(ctx)
	if err != nil || imported.holds(s.Key.Fingerprint) {
		return err
	}
	version, err := db.query(ctx, "--version")
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(version)), "RPM version "), ".")
	if n, err := strconv.Atoi(major); err != nil || n >= 6 {
		s.ByHand = append(s.ByHand, "have rpm know the key: rpmkeys --import "+s.KeyFile)
		return nil //nolint:nilerr // a version that cannot be read is left to a person, too
	}
	s.Import = fmt.Sprintf("gpg-pubkey-%08x-%08x", uint32(s.Key.ID), s.Key.Made.Unix()) //nolint:gosec // rpm 4 calls keys by the low half of their ID
	return nil
}

// repoFiles plans the entry: those that are there for the repository are
// edited, and where there is none, one is written.
func (j *judge) repoFiles(s *Setup, w where) error {
	dir := j.repoDir()
	names, err := j.root.list(dir, hasSuffix(".repo"))
	if err != nil {
		return fmt.Errorf("reading the repositories in %s: %w", dir, err)
	}
	wanted, right := []SetupFile{{s.KeyFile, s.Key.Armored}}, true
	for _, name := range names {
		data, err := j.root.read(name, maxSources)
		if err != nil {
			return fmt.Errorf("reading the repositories in %s: %w", dir, err)
		}
		text := j.editRepos(s, w, string(data))
		wanted = append(wanted, SetupFile{name, text})
		right = right && text == string(data)
	}
	if len(s.Repositories) == 0 {
		entry, err := j.newRepo(s, w)
		if err != nil {
			return err
		}
		now, err := j.root.read(path.Join(dir, repoEntry), maxSources)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		wanted = append(wanted, SetupFile{path.Join(dir, repoEntry), appended(now, entry)})
		right = false
	}
	if right {
		return nil
	}
	s.Files, err = j.root.changed(wanted)
	return err
}

// editRepos has the sections for the repository check packages with the key,
// and notes their addresses. Those that do so already stay as they are.
func (j *judge) editRepos(s *Setup, w where, text string) string {
	sections := splitRepo(text)
	for i, one := range sections {
		url := one.serves(func(url string) bool {
			url = withSlash(url)
			return w.uri == url || w.uri == "" && s.Key.isVendors(url)
		})
		if url == "" {
			continue
		}
		s.Repositories = append(s.Repositories, shown(url))
		if !j.bindsRepo(one, s.Key) {
			sections[i] = one.checked(s.KeyFile)
		}
	}
	return joinRepo(sections)
}

func (j *judge) repoDir() string {
	if full, err := j.root.resolve(repoDirs[0]); err == nil && isFolder(full) {
		return repoDirs[0]
	}
	return repoDirs[1]
}

// newRepo is an entry for a host that has none.
func (j *judge) newRepo(s *Setup, w where) (string, error) {
	url := strings.TrimSuffix(w.uri, "/")
	if url == "" {
		d, err := j.root.distribution()
		if err != nil {
			return "", err
		}
		if url = vendorRepo(s.Key, d, s.Version); url == "" {
			return "", errWhere("no repository of this host's is for the engine, and where its vendor has one for it is unknown", exampleRepo)
		}
	}
	s.Repositories = []string{url}
	return s.Key.remark() + "[docker-engine]\nname=The engine's packages, signed by their vendor\nbaseurl=" + url +
		"\nenabled=1\ngpgcheck=1\ngpgkey=file://" + s.KeyFile + "\n", nil
}

// vendorRepo is where a vendor documents its repository to be, "" if it has
// none for a distribution. Mirantis has a folder for each major version, and
// $releasever of subscribed hosts may be a minor one.
func vendorRepo(key VendorKey, d distribution, version string) string {
	channel, major := key.channel(version), d["VERSION_ID"]
	major, _, _ = strings.Cut(major, ".")
	if channel == "" || major == "" {
		return ""
	}
	switch key.Product {
	case "Docker CE":
		if id := d.is("centos", "rhel", "fedora"); id != "" {
			return key.base() + id + "/$releasever/$basearch/" + channel
		}
	case "Docker EE":
		folders := map[string]string{"centos": "centos", "rhel": "rhel", "rocky": "rocky", "ol": "oraclelinux", "sles": "sles"}
		if folder := folders[d["ID"]]; folder != "" {
			return key.base() + folder + "/" + major + "/$basearch/" + channel
		}
	}
	return ""
}

// A repoSection is the lines of one repository, from its "[NAME]" on. What
// stands before the first is a section without a name.
type repoSection []string

func splitRepo(text string) []repoSection {
	var all []repoSection
	var one repoSection
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "[") && len(one) > 0 {
			all, one = append(all, one), nil
		}
		one = append(one, line)
	}
	return append(all, one)
}

func joinRepo(all []repoSection) string {
	var b strings.Builder
	for _, one := range all {
		b.WriteString(strings.Join(one, ""))
	}
	return b.String()
}

// goesOn reports whether a line belongs to the option before it.
func goesOn(line string) bool { return strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") }

// option reads a line; a remark has no name.
func option(line string) (name, value string) {
	if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
		return "", ""
	}
	name, value, _ = strings.Cut(strings.TrimSpace(line), "=")
	return strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
}

// values are those of an option, parted by blanks, commas and lines.
func (s repoSection) values(wanted string) []string {
	var found []string
	inside := false
	for _, line := range s {
		name, value := option(line)
		switch {
		case goesOn(line):
			value = strings.TrimSpace(line)
		default:
			inside = name == wanted
		}
		if inside {
			found = append(found, strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", \t", r) })...)
		}
	}
	return found
}

// serves gives the first address of the section that is ours; "" if none is,
// or it is switched off.
func (s repoSection) serves(ours func(url string) bool) string {
	if len(s) == 0 || !strings.HasPrefix(s[0], "[") || slices.ContainsFunc(s.values("enabled"), isNo) {
		return ""
	}
	urls := s.values("baseurl")
	if i := slices.IndexFunc(urls, ours); i >= 0 {
		return urls[i]
	}
	return ""
}

// bindsRepo reports whether a section checks packages with the key, and takes
// it from no network.
func (j *judge) bindsRepo(s repoSection, key VendorKey) bool {
	keys := s.values("gpgkey")
	if len(keys) == 0 || !slices.ContainsFunc(s.values("gpgcheck"), isYes) || slices.ContainsFunc(s.values("pkg_gpgcheck"), isNo) {
		return false
	}
	return !slices.ContainsFunc(keys, func(url string) bool {
		file, local := strings.CutPrefix(url, "file://")
		ring, err := j.root.keyring(file)
		return !local || err != nil || !ring.holds(key.Fingerprint)
	})
}

// checked has packages of the section checked with a key and with no other.
// All else stays as it is.
func (s repoSection) checked(keyFile string) repoSection {
	edited := repoSection{strings.TrimRight(s[0], "\r\n") + "\n", "gpgcheck=1\n", "gpgkey=file://" + keyFile + "\n"}
	skip := true // what goes on from nothing
	for _, line := range s[1:] {
		if name, _ := option(line); !goesOn(line) {
			skip = name == "gpgcheck" || name == "pkg_gpgcheck" || name == "gpgkey"
		}
		if !skip {
			edited = append(edited, line)
		}
	}
	return edited
}
