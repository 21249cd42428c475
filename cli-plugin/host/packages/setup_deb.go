package packages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Where apt is told of the engine's repository.
const (
	aptKeyDir = "/etc/apt/keyrings" // sources.list(5): for keys that signed-by names
	aptEntry  = "/etc/apt/sources.list.d/docker-engine.sources"
)

// setupDeb plans for apt: a keyring for the key alone, and an entry whose
// signed-by names it. Entries for one repository have to agree in that, or apt
// reads none of them.
func (j *judge) setupDeb(ctx context.Context, o SetupOptions, w where) (Setup, error) {
	d, err := readDpkg(ctx, j.root)
	if err != nil {
		return Setup{}, err
	}
	p, err := d.engine(enginePaths)
	if err != nil && !errors.Is(err, errNoEngine) {
		return Setup{}, err
	}
	key, err := readVendorKey(o.Key, Deb, o.Approved, o.Now)
	if err != nil {
		return Setup{}, err
	}
	s := Setup{Format: Deb, Key: key, KeyFile: path.Join(aptKeyDir, key.fileName()+".asc")}
	if p.stanza != nil {
		s.Package, s.Version = p.name(), p.version()
	}
	files, err := j.root.sourcesFiles()
	if err != nil {
		return Setup{}, err
	}
	concerned := j.concerned(ctx, key, w, p, files)
	if len(concerned) == 0 {
		return j.newEntry(s, w, p)
	}
	return j.editEntries(s, concerned, files)
}

// concerned are the sources that the key is for: of the repository that was
// named, else those at the vendor's place and those whose lists offer the
// installed package. A distribution's package is offered by the
// distribution, whose repositories are none of ours.
func (j *judge) concerned(ctx context.Context, key VendorKey, w where, p debPackage, files []sourcesFile) []source {
	var found []source
	for _, f := range files {
		for _, s := range f.sources {
			named := w.uri == s.uri && (w.suite == "" || w.suite == s.suite)
			guessed := w.uri == "" && (key.isVendors(s.uri) || j.offers(ctx, s, p))
			if named || guessed {
				found = append(found, s)
			}
		}
	}
	return found
}

func (j *judge) offers(ctx context.Context, s source, p debPackage) bool {
	return p.stanza != nil && !fromDistribution(p.name()) && s.serves(p.arch()) && j.offer(ctx, s, p).holds
}

// newEntry plans for a host that knows no repository of the engine's.
func (j *judge) newEntry(s Setup, w where, p debPackage) (Setup, error) {
	w, err := j.complete(s, w)
	if err != nil {
		return Setup{}, err
	}
	entry := s.Key.remark() + "Types: deb\nURIs: " + w.uri + "\nSuites: " + w.suite + "\n"
	if len(w.components) > 0 {
		entry += "Components: " + strings.Join(w.components, " ") + "\n"
	}
	if p.stanza != nil {
		entry += "Architectures: " + p.arch() + "\n"
	}
	entry += "Signed-By: " + s.KeyFile + "\n"
	now, err := j.root.read(aptEntry, maxSources)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Setup{}, err
	}
	s.Repositories = []string{source{uri: w.uri, suite: w.suite}.String()}
	s.Files, err = j.root.changed([]SetupFile{{s.KeyFile, s.Key.Armored}, {aptEntry, appended(now, entry)}})
	return s, err
}

// complete fills in what was not named, as the vendor documents it.
func (j *judge) complete(s Setup, w where) (where, error) {
	const example = "https://mirror.example.com/docker bookworm stable"
	d, err := j.root.distribution()
	if err != nil {
		return where{}, err
	}
	if w.uri == "" {
		id := d.is("debian", "ubuntu", "raspbian")
		if s.Key.Product == "Docker EE" {
			id = d.is("ubuntu")
		}
		if s.Key.base() == "" || id == "" {
			return where{}, errWhere("no entry of apt's is for the engine, and where its vendor has one for this host is unknown", example)
		}
		w.uri = s.Key.base() + id + "/"
	}
	if w.suite != "" {
		return w, nil
	}
	w.suite = d["VERSION_CODENAME"]
	if ubuntu := d["UBUNTU_CODENAME"]; ubuntu != "" {
		w.suite = ubuntu // of what is made from it
	}
	channel := s.Key.channel(s.Version)
	if w.suite == "" || channel == "" {
		return where{}, errWhere("which suite and component of "+w.uri+" this host needs is unknown", example)
	}
	w.components = []string{channel}
	return w, nil
}

// editEntries plans for entries that are there. Those that are right already
// stay as they are.
func (j *judge) editEntries(s Setup, concerned []source, files []sourcesFile) (Setup, error) {
	right := true
	var uris []string
	for _, one := range concerned {
		if err := j.fetched(&s, one); err != nil {
			return Setup{}, err
		}
		right = right && j.bindsKey(one, s.Key)
		uris = append(uris, one.uri)
		if !slices.Contains(s.Repositories, one.String()) {
			s.Repositories = append(s.Repositories, one.String())
		}
	}
	if right {
		return s, nil
	}
	wanted := []SetupFile{{s.KeyFile, s.Key.Armored}}
	for _, f := range files {
		edit := editList
		if strings.HasSuffix(f.name, deb822File) {
			edit = editSources
		}
		text, err := edit(string(f.data), uris, s.KeyFile)
		if err != nil {
			return Setup{}, fmt.Errorf("%s: %w", f.name, err)
		}
		if text != string(f.data) {
			wanted = append(wanted, SetupFile{f.name, text})
		}
	}
	var err error
	s.Files, err = j.root.changed(wanted)
	return s, err
}

// bindsKey reports whether a source trusts the key by its signed-by, and is
// checked at all.
func (j *judge) bindsKey(s source, key VendorKey) bool {
	if s.options["signed-by"] == "" || s.unchecked() != "" {
		return false
	}
	t, err := j.root.trust(s)
	return err == nil && t.holds(key.Fingerprint) && (len(t.only) == 0 || slices.Contains(t.only, key.Fingerprint) && !slices.Contains(t.exact, key.Fingerprint))
}

// fetched wants what apt holds of a source to be signed with the key: an entry
// that asked for another key would cut the host off from it. Of a source that
// it took unchecked, apt keeps no signature, and nothing can be told.
func (j *judge) fetched(setup *Setup, s source) error {
	arch := ""
	if list := s.words("arch"); len(list) > 0 {
		arch = list[0]
	}
	base := path.Join(listsDir, listName(s.base(arch)))
	if !j.root.isFile(base+"InRelease") && !j.root.isFile(base+"Release.gpg") {
		return nil
	}
	_, err := j.release(s, arch, trust{keyring: setup.Key.ring})
	var no rejection
	if errors.As(err, &no) {
		return fmt.Errorf("what apt fetched from %s is not signed with %s, and nothing was planned: %s: bring the key that it is signed with, "+
			"or name the vendor's repository or a mirror of it with --vendor-repository", s, setup.Key.Key, no)
	}
	setup.Fetched = err == nil
	return err
}

// loosening are the options by which apt takes a source unchecked.
var loosening = []string{"signed-by", "trusted", "allow-insecure"}

// editList has the lines for some repositories, sources too, trust a keyring
// and no other. All else stays as it is.
func editList(text string, uris []string, keyring string) (string, error) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(editLine(line, uris, keyring))
	}
	return b.String(), nil
}

func editLine(line string, uris []string, keyring string) string {
	active, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "#")
	s, _, err := parseLine(active)
	if err != nil || !slices.Contains(uris, s.uri) {
		return line
	}
	kind, rest := word(active)
	var options []string
	if inside, ok := strings.CutPrefix(rest, "["); ok {
		inside, rest, _ = strings.Cut(inside, "]")
		for _, option := range strings.Fields(inside) {
			name, _, _ := strings.Cut(option, "=")
			if !slices.Contains(loosening, strings.ToLower(strings.TrimRight(name, "+-"))) {
				options = append(options, option)
			}
		}
	}
	options = append(options, "signed-by="+keyring)
	remark := line[len(active):]
	if strings.HasPrefix(remark, "#") {
		remark = " " + remark
	}
	return fmt.Sprintf("%s [%s] %s%s", kind, strings.Join(options, " "), strings.TrimSpace(rest), remark)
}

// editSources does the same in the deb822 format.
func editSources(text string, uris []string, keyring string) (string, error) {
	var b strings.Builder
	var paragraph []string
	end := func() error {
		edited, err := editParagraph(paragraph, uris, keyring)
		b.WriteString(edited)
		paragraph = nil
		return err
	}
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			paragraph = append(paragraph, line)
			continue
		}
		if err := end(); err != nil {
			return "", err
		}
		b.WriteString(line)
	}
	err := end()
	return b.String(), err
}

func editParagraph(lines, uris []string, keyring string) (string, error) {
	whole := strings.Join(lines, "")
	fields, err := parseStanza(withoutComments([]byte(whole)))
	if err != nil || isNo(fields["enabled"]) {
		return whole, err
	}
	var ours, others []string
	for _, uri := range strings.Fields(fields["uris"]) {
		if slices.Contains(uris, withSlash(uri)) {
			ours = append(ours, uri)
			continue
		}
		others = append(others, uri)
	}
	switch {
	case len(ours) == 0:
		return whole, nil
	case len(others) > 0:
		return "", fmt.Errorf("one paragraph is for %s and for %s, and they may be signed with different keys: write a paragraph for each", shown(strings.Join(ours, " ")), shown(strings.Join(others, " ")))
	}
	var b strings.Builder
	skip := false
	for _, line := range lines {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			name, _, _ := strings.Cut(line, ":")
			skip = slices.Contains(loosening, strings.ToLower(name))
		}
		if !skip || strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\nSigned-By: " + keyring + "\n", nil
}
