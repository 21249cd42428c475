package ucp

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// SetTrust is doc with trust_configuration.require_content_trust = true and,
// unless requireFrom is nil, trust_configuration.require_signature_from =
// requireFrom. Every other byte stays: comments, order, spacing, line ends.
// A value that is replaced is replaced as a whole, with the comments inside
// it; a value that is right already is left alone, and if both are, doc
// itself is returned.
//
// The result is parsed again. If it says anything other than doc with these
// two values, SetTrust returns an error and no document.
func SetTrust(doc []byte, requireFrom []string) ([]byte, error) {
	before, err := decode(doc)
	if err != nil {
		return nil, err
	}
	settings, err := trustSettings(requireFrom)
	if err != nil {
		return nil, err
	}
	section, ok := before[trustTable].(map[string]any)
	if _, exists := before[trustTable]; exists && !ok {
		return nil, fmt.Errorf("%s in the UCP configuration is no table: correct it in UCP", trustTable)
	}
	settings = slices.DeleteFunc(settings, func(s setting) bool { return equal(section[s.key], s.value) })
	if len(settings) == 0 {
		return doc, nil
	}

	found, err := locate(doc)
	if err != nil {
		return nil, err
	}
	edited := found.edit(doc, settings)
	if err := onlyChanged(before, edited, settings); err != nil {
		return nil, err
	}
	return edited, nil
}

// A setting is a key of [trust_configuration] with the value wanted.
type setting struct {
	key   string
	value any    // as go-toml decodes it
	text  string // as TOML
}

func trustSettings(requireFrom []string) ([]setting, error) {
	settings := []setting{{key: requireKey, value: true, text: "true"}}
	if requireFrom == nil {
		return settings, nil
	}
	values := make([]any, len(requireFrom))
	texts := make([]string, len(requireFrom))
	for i, team := range requireFrom {
		if !utf8.ValidString(team) {
			return nil, fmt.Errorf("%q is no name of an organization or team: give it in UTF-8", team)
		}
		values[i], texts[i] = team, tomlString(team)
	}
	return append(settings, setting{key: fromKey, value: values, text: "[" + strings.Join(texts, ", ") + "]"}), nil
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

// An edit replaces doc[start:end].
type edit struct {
	start, end int
	text       string
}

// edit replaces the values that are there and adds the missing ones at the
// place found for them.
func (t trustPlace) edit(doc []byte, settings []setting) []byte {
	var edits []edit
	var missing []string
	for _, s := range settings {
		if at, ok := t.values[s.key]; ok {
			edits = append(edits, edit{at.start, at.end, s.text})
			continue
		}
		missing = append(missing, s.key+" = "+s.text)
	}
	if len(missing) > 0 {
		edits = append(edits, t.insert(doc, missing))
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })

	var out bytes.Buffer
	last := 0
	for _, e := range edits {
		out.Write(doc[last:e.start])
		out.WriteString(e.text)
		last = e.end
	}
	out.Write(doc[last:])
	return out.Bytes()
}

var errEdit = errors.New("the UCP configuration cannot be edited without changing something else: set both keys of [" +
	trustTable + "] by hand, or in UCP's admin settings under Docker Content Trust")

// onlyChanged holds the edited document against the original.
func onlyChanged(before map[string]any, edited []byte, settings []setting) error {
	got, err := decode(edited)
	if err != nil {
		return errEdit
	}
	want := maps.Clone(before)
	if want == nil {
		want = map[string]any{}
	}
	old, _ := before[trustTable].(map[string]any)
	section := maps.Clone(old)
	if section == nil {
		section = map[string]any{}
	}
	for _, s := range settings {
		section[s.key] = s.value
	}
	want[trustTable] = section
	if !equal(got, want) {
		return errEdit
	}
	return nil
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
