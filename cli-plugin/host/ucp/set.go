package ucp

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Setting is a key of the configuration with the value wanted.
type Setting struct {
	Path  []string // from the outermost table to the key: "auth", "sessions", "per_user_limit"
	Value any      // a bool, an int64, a string or a []string
}

// String is the key as Lookup takes it.
func (s Setting) String() string { return strings.Join(s.Path, ".") }

func (s Setting) table() []string { return s.Path[:len(s.Path)-1] }

func (s Setting) key() string { return s.Path[len(s.Path)-1] }

// Set is doc with settings. Every other byte stays: comments, order, spacing,
// line ends. A value that is replaced is replaced as a whole, with the comments
// inside it; a value that is right already is left alone, and if all are, doc
// itself is returned.
//
// The result is parsed again. If it says anything other than doc with these
// settings, Set returns an error and no document.
func Set(doc []byte, settings ...Setting) ([]byte, error) {
	for _, s := range settings {
		var err error
		if doc, err = set(doc, s); err != nil {
			return nil, err
		}
	}
	return doc, nil
}

func set(doc []byte, s Setting) ([]byte, error) {
	value, text, err := s.toml()
	if err != nil {
		return nil, err
	}
	before, err := decode(doc)
	if err != nil {
		return nil, err
	}
	section, _, err := sectionOf(before, s.table())
	if err != nil {
		return nil, err
	}
	if now, there := section[s.key()]; there && equal(now, value) {
		return doc, nil
	}
	found, err := locate(doc, s.Path)
	if err != nil {
		return nil, uneditable(s)
	}
	edited := found.write(doc, text)
	if after, err := decode(edited); err != nil || !equal(after, with(before, s.Path, value)) {
		return nil, uneditable(s)
	}
	return edited, nil
}

func uneditable(s Setting) error {
	return fmt.Errorf("the UCP configuration cannot be edited without changing something else: set %s by hand, in UCP's admin settings or in ucp-config.toml", s)
}

// toml is the value as go-toml decodes it, and as it is written.
func (s Setting) toml() (value any, text string, err error) {
	if len(s.Path) < 2 {
		return nil, "", fmt.Errorf("%q is in no table of the UCP configuration: please report this", s)
	}
	words := slices.Clone(s.Path)
	switch v := s.Value.(type) {
	case bool:
		value, text = v, strconv.FormatBool(v)
	case int64:
		value, text = v, strconv.FormatInt(v, 10)
	case string:
		value, text, words = v, tomlString(v), append(words, v)
	case []string:
		value, text = tomlList(v)
		words = append(words, v...)
	default:
		return nil, "", fmt.Errorf("%s cannot be set to a %T: please report this", s, s.Value)
	}
	for _, word := range words {
		if !utf8.ValidString(word) {
			return nil, "", fmt.Errorf("%q is no name or value of the UCP configuration: give it in UTF-8", word)
		}
	}
	return value, text, nil
}

// tomlList is a list as go-toml decodes it, and as it is written.
func tomlList(list []string) (values []any, text string) {
	values = make([]any, len(list))
	texts := make([]string, len(list))
	for i, entry := range list {
		values[i], texts[i] = entry, tomlString(entry)
	}
	return values, "[" + strings.Join(texts, ", ") + "]"
}

// tomlString writes a basic string. TOML 1.0: quotation mark, backslash and
// control characters must be escaped.
func tomlString(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&out, `\u%04X`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// tomlKey writes names as a dotted key. TOML 1.0: bare keys are of letters,
// digits, underscores and dashes.
func tomlKey(names []string) string {
	written := make([]string, len(names))
	for i, name := range names {
		written[i] = name
		if name == "" || strings.ContainsFunc(name, notBare) {
			written[i] = tomlString(name)
		}
	}
	return strings.Join(written, ".")
}

func notBare(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && (r < '0' || r > '9') && r != '_' && r != '-'
}

// with is a copy of tables in which one value is another.
func with(tables map[string]any, path []string, value any) map[string]any {
	changed := map[string]any{}
	maps.Copy(changed, tables)
	if len(path) > 1 {
		inner, _ := tables[path[0]].(map[string]any)
		value = with(inner, path[1:], value)
	}
	changed[path[0]] = value
	return changed
}

// equal compares decoded documents; unlike reflect.DeepEqual it lets a NaN be
// the same as itself.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, other, equal)
	case []any:
		other, ok := b.([]any)
		return ok && slices.EqualFunc(a, other, equal)
	case float64:
		other, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(other)
	default:
		return reflect.DeepEqual(a, b)
	}
}
