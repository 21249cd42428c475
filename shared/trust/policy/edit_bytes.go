package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// An editor writes into the bytes of a policy, in the style that they have.
// hujson's Patch would drop the style: what it adds has no white space.
type editor struct {
	raw   []byte
	eol   string // ends a line
	unit  string // one step of indentation
	space string // between a colon or comma and what follows in its line
}

func newEditor(raw []byte, tree hujson.Value) editor {
	e := editor{raw: raw, eol: "\n", unit: "  ", space: " "}
	if line, _, ok := bytes.Cut(raw, []byte("\n")); ok && bytes.HasSuffix(line, []byte("\r")) {
		e.eol = "\r\n"
	}
	if unit := e.findUnit(tree, ""); unit != "" {
		e.unit = unit
	}
	if root, ok := tree.Value.(*hujson.Object); ok && len(root.Members) > 0 && len(root.Members[0].Value.BeforeExtra) == 0 {
		e.space = ""
	}
	return e
}

// findUnit is how much further the first member with a line of its own is
// indented than the object around it; "" where none is.
func (e editor) findUnit(v hujson.Value, around string) string {
	object, ok := v.Value.(*hujson.Object)
	if !ok {
		return ""
	}
	for _, member := range object.Members {
		indent, own := e.indent(member.Name.StartOffset)
		if unit, deeper := strings.CutPrefix(indent, around); own && deeper && unit != "" {
			return unit
		}
		if unit := e.findUnit(member.Value, indent); unit != "" {
			return unit
		}
	}
	return ""
}

// indent is the white space that the line of an offset begins with, and
// whether nothing else stands before the offset.
func (e editor) indent(offset int) (indent string, own bool) {
	line := e.raw[bytes.LastIndexByte(e.raw[:offset], '\n')+1 : offset]
	rest := bytes.TrimLeft(line, " \t")
	return string(line[:len(line)-len(rest)]), len(rest) == 0
}

// add goes down the path as far as it exists and writes the rest there.
func (e editor) add(v hujson.Value, path, values []string) ([]byte, error) {
	own := false // whether v begins in a line of its own
	for i, key := range path {
		object, ok := v.Value.(*hujson.Object)
		if !ok {
			return nil, fmt.Errorf("%s is no object", strings.Join(path[:i], "/"))
		}
		at := slices.IndexFunc(object.Members, func(m hujson.ObjectMember) bool { return text(m.Name) == key })
		if at < 0 {
			return e.insert(v, own, func(s style) []string { return []string{e.member(path[i:], values, s)} }), nil
		}
		_, own = e.indent(object.Members[at].Name.StartOffset)
		v = object.Members[at].Value
	}
	list, ok := v.Value.(*hujson.Array)
	if !ok {
		return nil, fmt.Errorf("%s is no list", strings.Join(path, "/"))
	}
	var missing []string
	for _, value := range values {
		if !slices.ContainsFunc(list.Elements, func(has hujson.Value) bool { return text(has) == value }) {
			missing = append(missing, value)
		}
	}
	missing = quote(missing)
	if len(missing) == 0 {
		return e.raw, nil
	}
	return e.insert(v, own && len(missing) > 1, func(style) []string { return missing }), nil
}

func text(v hujson.Value) string {
	literal, ok := v.Value.(hujson.Literal)
	if !ok {
		return ""
	}
	return literal.String()
}

// quote writes values as JSON, each once.
func quote(values []string) []string {
	var list []string
	for _, value := range values {
		if quoted := string(hujson.String(value)); !slices.Contains(list, quoted) {
			list = append(list, quoted)
		}
	}
	return list
}

// A style is how a new part of an object or list is written.
type style struct {
	lines  bool   // each part in a line of its own
	indent string // of that line
	comma  string // after the last part: "," or nothing
}

// member writes a key with the objects and the list below it.
func (e editor) member(path, values []string, s style) string {
	inner := style{s.lines, s.indent + e.unit, s.comma}
	name := string(hujson.String(path[0])) + ":" + e.space
	if len(path) > 1 {
		return name + "{" + e.join(s, inner, []string{e.member(path[1:], values, inner)}) + "}"
	}
	list := quote(values)
	inner.lines = s.lines && len(list) > 1
	return name + "[" + e.join(s, inner, list) + "]"
}

// join writes the parts between two brackets.
func (e editor) join(outer, inner style, parts []string) string {
	if !inner.lines {
		return strings.Join(parts, ","+e.space)
	}
	line := e.eol + inner.indent
	return line + strings.Join(parts, ","+line) + inner.comma + e.eol + outer.indent
}

// insert writes parts before the closing bracket of an object or list, behind
// the comments there. An empty one is opened into lines if unfold.
func (e editor) insert(v hujson.Value, unfold bool, parts func(style) []string) []byte {
	last, closing := lastPart(v), v.EndOffset-1
	empty := last.start == last.end
	from, behind, s := last.end, ",", style{}
	switch {
	case empty:
		behind = ""
	case e.raw[last.after] == ',':
		from, behind, s.comma = last.after+1, "", ","
	}
	at := e.slot(from, closing)
	folded := !bytes.ContainsRune(e.raw[from:closing], '\n')
	outer, _ := e.indent(v.StartOffset)
	indent, own := e.indent(last.start)
	s.lines = !folded || own && !empty || unfold && empty
	s.indent = indent
	if !bytes.ContainsRune(e.raw[v.StartOffset:last.start], '\n') {
		s.indent = outer + e.unit
	}
	between, after := e.space, string(e.raw[at:closing])
	if s.lines {
		between = e.eol + s.indent
	}
	text := between + strings.Join(parts(s), ","+between) + s.comma
	switch {
	case empty && folded && s.lines:
		after = e.eol + outer
	case empty && folded:
		text, after = strings.TrimPrefix(text, e.space), ""
	}
	return slices.Concat(e.raw[:last.end], []byte(behind), e.raw[last.end:at], []byte(text+after), e.raw[closing:])
}

// slot is where new parts go: behind the last comment, and behind the white
// space that ends its line.
func (e editor) slot(from, to int) int {
	at := from + len(bytes.TrimRight(e.raw[from:to], " \t\r\n"))
	if line, _, ok := bytes.Cut(e.raw[at:to], []byte("\n")); ok {
		at += len(bytes.TrimSuffix(line, []byte("\r")))
	}
	return at
}

// A span is where the last part of an object or list begins and ends, and
// where the extra behind it ends; all three behind the bracket without a part.
type span struct{ start, end, after int }

func lastPart(v hujson.Value) span {
	switch list := v.Value.(type) {
	case *hujson.Object:
		if n := len(list.Members); n > 0 {
			last := list.Members[n-1]
			return span{last.Name.StartOffset, last.Value.EndOffset, last.Value.EndOffset + len(last.Value.AfterExtra)}
		}
	case *hujson.Array:
		if n := len(list.Elements); n > 0 {
			last := list.Elements[n-1]
			return span{last.StartOffset, last.EndOffset, last.EndOffset + len(last.AfterExtra)}
		}
	}
	return span{v.StartOffset + 1, v.StartOffset + 1, v.StartOffset + 1}
}
