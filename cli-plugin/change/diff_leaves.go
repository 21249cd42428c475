package change

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/tailscale/hujson"

	"github.com/docker-stig/docker-stig/cli-plugin/change/jsonedit"
)

// leaves are the values of a document, sorted by their pointers. A list is
// one value.
type leaves []leaf

type leaf struct {
	keys     []string
	value    string // as JSON
	from, to int    // its bytes in a JSON document
}

func (m leaf) pointer() string { return jsonedit.Pointer(m.keys...) }

// Differing names the members that differ between two documents, and repeats no
// value: one may be a secret.
func Differing(form Form, before, after []byte) ([]string, error) {
	from, err := leavesOf(form, before)
	if err != nil {
		return nil, err
	}
	to, err := leavesOf(form, after)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range slices.Concat(from.beyond(to), to.beyond(from)) {
		names = append(names, m.pointer())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func leavesOf(form Form, doc []byte) (leaves, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, nil
	}
	var all leaves
	switch form {
	case TOML:
		var tree map[string]any
		if err := toml.Unmarshal(doc, &tree); err != nil {
			return nil, fmt.Errorf("it is no TOML: %w", err)
		}
		all = tomlLeaves(tree, nil)
	case JSON:
		tree, _, err := jsonedit.Parse(doc)
		if err != nil || !json.Valid(doc) { // a comment is in no member
			return nil, errors.Join(errors.New("it is no JSON object"), err)
		}
		all = jsonLeaves(tree, nil)
	case Text:
		return nil, errors.New("a text has no members")
	}
	slices.SortStableFunc(all, func(a, b leaf) int { return slices.Compare(a.keys, b.keys) })
	return all, nil
}

func jsonLeaves(at hujson.Value, keys []string) leaves {
	object, ok := at.Value.(*hujson.Object)
	if !ok || len(object.Members) == 0 && len(keys) > 0 {
		text := at.Clone()
		text.Minimize()
		return leaves{{slices.Clone(keys), string(text.Pack()), at.StartOffset, at.EndOffset}}
	}
	var all leaves
	for _, m := range object.Members {
		all = append(all, jsonLeaves(m.Value, append(keys, jsonedit.Text(m.Name)))...)
	}
	return all
}

func tomlLeaves(at any, keys []string) leaves {
	table, ok := at.(map[string]any)
	if !ok || len(table) == 0 && len(keys) > 0 {
		text, err := json.Marshal(at)
		if err != nil {
			text = fmt.Append(nil, at) // a number that JSON has not, such as inf
		}
		return leaves{{keys: slices.Clone(keys), value: string(text)}}
	}
	var all leaves
	for _, key := range slices.Sorted(maps.Keys(table)) {
		all = append(all, tomlLeaves(table[key], append(keys, key))...)
	}
	return all
}

// beyond are the members that others have not, or with another value.
func (all leaves) beyond(others leaves) leaves { return all.split(others)[false] }

// besides are the members that others have, too, with the same value.
func (all leaves) besides(others leaves) leaves { return all.split(others)[true] }

func (all leaves) split(others leaves) map[bool]leaves {
	values := map[string]string{}
	for _, m := range others {
		values[m.pointer()] = m.value
	}
	parts := map[bool]leaves{}
	for _, m := range all {
		value, there := values[m.pointer()]
		same := there && value == m.value
		parts[same] = append(parts[same], m)
	}
	return parts
}

// in reports whether one of the members is in some lines of its document, or a
// part of it.
func (all leaves) in(doc []byte, found []stretch) bool {
	for _, m := range all {
		first := 1 + bytes.Count(doc[:m.from], []byte("\n"))
		last := first + bytes.Count(doc[m.from:m.to], []byte("\n"))
		if slices.ContainsFunc(found, func(s stretch) bool { return first < s.from+len(s.lines) && last >= s.from }) {
			return true
		}
	}
	return false
}

// table writes the members that differ, under the pointer to the object or
// table that they are in.
func table(before, after leaves) string {
	type line struct {
		leaf
		sign string
	}
	var all []line
	for _, m := range before.beyond(after) {
		all = append(all, line{m, "-"})
	}
	for _, m := range after.beyond(before) {
		all = append(all, line{m, "+"})
	}
	slices.SortStableFunc(all, func(a, b line) int { return slices.Compare(a.keys, b.keys) })
	var b strings.Builder
	head := ""
	for _, m := range all {
		last := max(len(m.keys)-1, 0)
		if now := "@@ /" + strings.TrimPrefix(jsonedit.Pointer(m.keys[:last]...), "/") + " @@\n"; now != head {
			head = now
			b.WriteString(head)
		}
		fmt.Fprintf(&b, "%s  %s = %s\n", m.sign, strings.Join(m.keys[last:], ""), m.value)
	}
	return b.String()
}
