package ucp

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A place is where the value of a key stands in a document, by byte, and where
// it goes if it is missing.
type place struct {
	path  []string // of the key
	value *span    // nil: the key has none

	shape   shape
	at      int      // offset of what is added
	prefix  []string // of the key, as it is written there
	indent  string   // before an added line
	newline string   // of the document: LF or CRLF
	empty   bool     // an inline table without keys
}

type span struct{ start, end int }

// A shape is the way the document writes the key's table.
type shape int

const (
	noTable     shape = iota // not at all, or as [table.child]: a new header goes to the end
	tableHeader              // [table], keys in lines below
	dottedKeys               // table.other = … , in the lines of a table around it
	inlineTable              // table = { other = … }, or a table around it written so
)

var errNoTOML = errors.New("the parser of expressions does not take it")

// locate reads the document's expressions in order. The document is known to
// parse, and nothing on the way to the key to be other than a table; go-toml's
// unstable parser gives the byte ranges of keys and values.
func locate(doc []byte, path []string) (place, error) {
	p := place{path: path, at: len(doc), newline: newline(doc)}
	var parser unstable.Parser
	parser.Reset(doc)
	var current []string // the table that key-values belong to
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind { //nolint:exhaustive // an expression is one of these, or a comment
		case unstable.Table, unstable.ArrayTable:
			current = names(node.Key())
			if node.Kind == unstable.Table && slices.Equal(current, p.table()) {
				p.shape = tableHeader
				p.line(doc, keySpan(node.Key()))
			}
		case unstable.KeyValue:
			p.keyValue(doc, current, node)
		}
	}
	if parser.Error() != nil {
		return place{}, errNoTOML
	}
	return p, nil
}

func (p *place) table() []string { return p.path[:len(p.path)-1] }

// keyValue notes what a line of a table says about the key or its neighbours.
func (p *place) keyValue(doc []byte, current []string, node *unstable.Node) {
	full := slices.Concat(current, names(node.Key()))
	p.look(doc, full, node)
	table := p.table()
	switch {
	case slices.Equal(current, table):
		p.line(doc, spanOf(node.Raw))
	case len(current) < len(table) && len(full) > len(table) && begins(full, table):
		p.shape, p.prefix = dottedKeys, table[len(current):]
		p.line(doc, spanOf(node.Raw))
	}
}

// look notes the value, where the key-value is the key's own, and goes into an
// inline table on the way to it.
func (p *place) look(doc []byte, full []string, node *unstable.Node) {
	switch {
	case slices.Equal(full, p.path):
		at := valueSpan(doc, node)
		p.value = &at
	case begins(p.path, full) && node.Value().Kind == unstable.InlineTable:
		p.inline(doc, full, node.Value())
	}
}

// inline notes name = { … }. Additions go right behind the brace, where neither
// a trailing comma nor a comment can be in their way.
func (p *place) inline(doc []byte, full []string, value *unstable.Node) {
	p.shape, p.prefix, p.empty = inlineTable, p.table()[len(full):], true
	p.at = spanOf(value.Raw).end // its range is the opening brace
	var inner []*unstable.Node
	for children := value.Children(); children.Next(); {
		if child := children.Node(); child.Kind == unstable.KeyValue {
			p.empty = false
			inner = append(inner, child)
		}
	}
	for _, child := range inner { // a table in this one is the better place
		p.look(doc, slices.Concat(full, names(child.Key())), child)
	}
}

// line puts additions at the end of the line that what ends in, indented as
// the line that it begins in.
func (p *place) line(doc []byte, what span) {
	start := bytes.LastIndexByte(doc[:what.start], '\n') + 1
	p.indent = string(doc[start : start+leadingBlanks(doc[start:])])
	p.at = len(doc)
	if n := bytes.IndexByte(doc[what.end:], '\n'); n >= 0 {
		p.at = what.end + n
	}
	if p.at > what.end && doc[p.at-1] == '\r' {
		p.at--
	}
}

// write replaces the key's value, or adds the key with it.
func (p *place) write(doc []byte, text string) []byte {
	at := span{p.at, p.at}
	if p.value != nil {
		at = *p.value
	} else {
		text = p.addition(doc, text)
	}
	return slices.Concat(doc[:at.start], []byte(text), doc[at.end:])
}

// addition is what adds the key in the shape that its table has.
func (p *place) addition(doc []byte, text string) string {
	line := tomlKey(slices.Concat(p.prefix, p.path[len(p.path)-1:])) + " = " + text
	switch p.shape {
	case inlineTable:
		if p.empty {
			return " " + line
		}
		return " " + line + ","
	case tableHeader, dottedKeys:
		return p.newline + p.indent + line
	case noTable:
	}
	var out strings.Builder
	if len(doc) > 0 && doc[len(doc)-1] != '\n' {
		out.WriteString(p.newline)
	}
	if len(doc) > 0 {
		out.WriteString(p.newline)
	}
	out.WriteString("[" + tomlKey(p.table()) + "]" + p.newline + line + p.newline)
	return out.String()
}

// begins reports whether a path is prefix, or goes on from it.
func begins(path, prefix []string) bool {
	return len(path) >= len(prefix) && slices.Equal(path[:len(prefix)], prefix)
}

func leadingBlanks(b []byte) int { return len(b) - len(bytes.TrimLeft(b, " \t")) }

// newline is what ends the document's first line.
func newline(doc []byte) string {
	if n := bytes.IndexByte(doc, '\n'); n > 0 && doc[n-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

func names(key unstable.Iterator) []string {
	var parts []string
	for key.Next() {
		parts = append(parts, string(key.Node().Data))
	}
	return parts
}

// valueSpan is where the value of a key-value stands: after the equals sign, up
// to the end.
func valueSpan(doc []byte, node *unstable.Node) span {
	whole := spanOf(node.Raw)
	start := keySpan(node.Key()).end
	start += bytes.IndexByte(doc[start:], '=') + 1
	start += leadingBlanks(doc[start:whole.end])
	return span{start, whole.end}
}

// keySpan is a key from its first part to its last.
func keySpan(key unstable.Iterator) span {
	whole := span{start: -1}
	for key.Next() {
		part := spanOf(key.Node().Raw)
		if whole.start < 0 {
			whole.start = part.start
		}
		whole.end = part.end
	}
	return whole
}

func spanOf(r unstable.Range) span {
	return span{start: int(r.Offset), end: int(r.Offset) + int(r.Length)}
}
