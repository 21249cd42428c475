package packages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

const (
	maxSources = 1 << 20    // bytes of one sources file; people write them
	deb822File = ".sources" // ending of a file in the deb822 format
)

// A source is one suite of one repository that apt was told to use.
type source struct {
	file       string
	uri        string // ends with a slash
	suite      string // ends with a slash if the repository is flat, without components
	components []string
	options    map[string]string // names in lower case, such as "signed-by"
}

// String is for a person: without a name and password.
func (s source) String() string { return shown(s.uri) + " " + s.suite }

// userinfo is the name and password of an address (RFC 3986, 3.2.1), with its
// scheme or without.
var userinfo = regexp.MustCompile(`(^|://)[^/\s]*@`)

// shown is a text as others may see it.
func shown(text string) string { return userinfo.ReplaceAllString(text, "${1}<NOT SHOWN>@") }

// serves tells whether the source offers packages of an architecture.
func (s source) serves(arch string) bool {
	list := s.words("arch")
	return len(list) == 0 || slices.Contains(list, arch)
}

func (s source) words(option string) []string {
	return strings.FieldsFunc(s.options[option], func(r rune) bool { return strings.ContainsRune(", \t\n", r) })
}

// unchecked names the option by which apt takes the source as it comes.
func (s source) unchecked() string {
	for _, option := range []string{"trusted", "allow-insecure"} {
		if isYes(s.options[option]) {
			return option + "=" + s.options[option]
		}
	}
	return ""
}

func isYes(value string) bool {
	return slices.Contains([]string{"yes", "true", "with", "on", "enable", "1"}, strings.ToLower(value))
}

func isNo(value string) bool {
	return slices.Contains([]string{"no", "false", "without", "off", "disable", "0"}, strings.ToLower(value))
}

// sources reads /etc/apt/sources.list and the files of sources.list.d.
func (r root) sources() ([]source, error) {
	files, err := r.sourcesFiles()
	if err != nil {
		return nil, err
	}
	var all []source
	for _, f := range files {
		all = append(all, f.sources...)
	}
	return all, nil
}

// A sourcesFile is one that people write sources into.
type sourcesFile struct {
	name    string
	data    []byte
	sources []source
}

func (r root) sourcesFiles() ([]sourcesFile, error) {
	const dir = "/etc/apt/sources.list.d"
	names, err := r.list(dir, hasSuffix(".list", deb822File))
	if err != nil {
		return nil, fmt.Errorf("reading apt sources: %w", err)
	}
	var all []sourcesFile
	for _, name := range append([]string{"/etc/apt/sources.list"}, names...) {
		data, err := r.read(name, maxSources)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading apt sources: %w", err)
		}
		parse := parseList
		if strings.HasSuffix(name, deb822File) {
			parse = parseSources
		}
		found, err := parse(name, data)
		if err != nil {
			return nil, fmt.Errorf("reading apt sources: %w; apt-get update shows the same fault", err)
		}
		all = append(all, sourcesFile{name, data, found})
	}
	return all, nil
}

// parseList reads the one-line format of sources.list(5).
func parseList(file string, data []byte) ([]source, error) {
	var all []source
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		s, binary, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
		s.file = file
		if binary {
			all = append(all, s)
		}
	}
	return all, nil
}

// parseLine reads one source; binary is false for deb-src.
func parseLine(line string) (s source, binary bool, err error) {
	kind, rest := word(line)
	if kind != "deb" && kind != "deb-src" {
		return source{}, false, fmt.Errorf("%.40q is neither deb nor deb-src", shown(kind))
	}
	s.options = map[string]string{}
	if inside, ok := strings.CutPrefix(rest, "["); ok {
		var options string
		if options, rest, ok = strings.Cut(inside, "]"); !ok {
			return source{}, false, errors.New("the options lack their closing bracket")
		}
		if err := parseOptions(options, s.options); err != nil {
			return source{}, false, err
		}
	}
	uri, rest := word(rest)
	suite, rest := word(rest)
	s.uri, s.suite, s.components = withSlash(uri), suite, strings.Fields(rest)
	return s, kind == "deb", s.complete()
}

// word cuts the first word off; blanks between brackets do not end it (URIs
// of cdrom).
func word(text string) (first, rest string) {
	text = strings.TrimSpace(text)
	depth := 0
	for i, r := range text {
		switch {
		case r == '[' && i > 0:
			depth++
		case r == ']' && depth > 0:
			depth--
		case depth == 0 && (r == ' ' || r == '\t'):
			return text[:i], strings.TrimSpace(text[i:])
		}
	}
	return text, ""
}

// parseOptions reads "name=value" and "name+=value"; taking away, "name-=",
// is of use for targets and languages alone, and ignored.
func parseOptions(text string, into map[string]string) error {
	for _, option := range strings.Fields(text) {
		name, value, ok := strings.Cut(option, "=")
		if !ok || name == "" {
			return fmt.Errorf("%.40q is no option", shown(option))
		}
		name = strings.ToLower(name)
		switch name[len(name)-1] {
		case '-':
			continue
		case '+':
			name = name[:len(name)-1]
			value = strings.TrimPrefix(into[name]+","+value, ",")
		}
		into[name] = value
	}
	return nil
}

func (s source) complete() error {
	flat := strings.HasSuffix(s.suite, "/")
	switch {
	case s.uri == "/" || s.suite == "":
		return errors.New("a source needs a URI and a suite")
	case !flat && len(s.components) == 0:
		return fmt.Errorf("suite %.40q needs a component", shown(s.suite))
	case flat && len(s.components) > 0:
		return fmt.Errorf("suite %.40q is a path and takes no component", shown(s.suite))
	}
	return nil
}

func withSlash(uri string) string { return strings.TrimSuffix(uri, "/") + "/" }

// deb822Options gives the one-line names of fields that are called otherwise.
var deb822Options = map[string]string{"architectures": "arch", "languages": "lang", "targets": "target"}

// parseSources reads the deb822 format of sources.list(5).
func parseSources(file string, data []byte) ([]source, error) {
	var all []source
	paragraphs := newParagraphReader(bytes.NewReader(withoutComments(data)))
	for n := 1; ; n++ {
		paragraph, err := paragraphs.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		fields, err := parseStanza(paragraph)
		if err != nil {
			return nil, fmt.Errorf("%s, paragraph %d: %w", file, n, err)
		}
		found, err := fields.sources(file)
		if err != nil {
			return nil, fmt.Errorf("%s, paragraph %d: %w", file, n, err)
		}
		all = append(all, found...)
	}
}

// sources multiplies the URIs and suites of a paragraph out.
func (s stanza) sources(file string) ([]source, error) {
	if isNo(s["enabled"]) || !slices.Contains(strings.Fields(s["types"]), "deb") {
		return nil, nil
	}
	options := map[string]string{}
	for name, value := range s {
		if short, ok := deb822Options[name]; ok {
			name = short
		}
		options[name] = value
	}
	var all []source
	for _, uri := range strings.Fields(s["uris"]) {
		for _, suite := range strings.Fields(s["suites"]) {
			one := source{file: file, uri: withSlash(uri), suite: suite, components: strings.Fields(s["components"]), options: options}
			if err := one.complete(); err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("a source needs URIs and Suites")
	}
	return all, nil
}
