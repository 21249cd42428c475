package ucp

import (
	"bytes"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// A trustPlace is where the trust settings stand in a document, by byte, and
// where a missing one goes.
type trustPlace struct {
	values map[string]span // of keys that have a value

	shape   shape
	at      int    // offset of what is added
	indent  string // before an added line
	newline string // of the document: LF or CRLF
	empty   bool   // an inline table without keys
}

type span struct{ start, end int }

// A shape is the way the document writes [trust_configuration].
type shape int

const (
	noTable     shape = iota // not at all: a new table goes to the end
	tableHeader              // [trust_configuration], keys in lines below
	dottedKeys               // trust_configuration.key = …, before any header
	inlineTable              // trust_configuration = { key = … }
)

// locate reads the document's expressions in order. The document is known to
// parse; go-toml's unstable parser gives the byte ranges of keys and values.
func locate(doc []byte) (trustPlace, error) {
	place := trustPlace{
		values:  map[string]span{},
		at:      len(doc),
		newline: newline(doc),
	}
	var parser unstable.Parser
	parser.Reset(doc)
	var current []string // the table that key-values belong to
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind { //nolint:exhaustive // an expression is one of these, or a comment
		case unstable.Table, unstable.ArrayTable:
			current = names(node.Key())
			if node.Kind == unstable.Table && isTrust(current) {
				place.shape = tableHeader
				place.line(doc, keySpan(node.Key()))
			}
		case unstable.KeyValue:
			place.keyValue(doc, current, node)
		}
	}
	if parser.Error() != nil {
		return trustPlace{}, errEdit
	}
	return place, nil
}

func isTrust(path []string) bool { return len(path) == 1 && path[0] == trustTable }

// keyValue notes a value of one of the two keys, whichever way it is written.
func (t *trustPlace) keyValue(doc []byte, current []string, node *unstable.Node) {
	path := names(node.Key())
	if len(current) > 0 {
		if isTrust(current) && len(path) == 1 {
			t.value(doc, path[0], node)
		}
		return
	}
	if path[0] != trustTable {
		return
	}
	if len(path) == 1 {
		t.inline(doc, node.Value())
		return
	}
	t.shape = dottedKeys
	t.line(doc, spanOf(node.Raw))
	if len(path) == 2 {
		t.value(doc, path[1], node)
	}
}

// value notes where the value of a key stands: after its name and the equals
// sign, up to the end of the key-value.
func (t *trustPlace) value(doc []byte, key string, node *unstable.Node) {
	if key != requireKey && key != fromKey {
		return
	}
	whole := spanOf(node.Raw)
	start := keySpan(node.Key()).end
	start += bytes.IndexByte(doc[start:], '=') + 1
	start += leadingBlanks(doc[start:whole.end])
	t.values[key] = span{start, whole.end}
	if t.shape != inlineTable {
		t.line(doc, whole)
	}
}

// inline notes trust_configuration = { … }. Additions go right behind the
// brace, where neither a trailing comma nor a comment can be in their way.
func (t *trustPlace) inline(doc []byte, value *unstable.Node) {
	if value.Kind != unstable.InlineTable {
		return
	}
	t.shape = inlineTable
	t.at = spanOf(value.Raw).end // its range is the opening brace
	t.empty = true
	children := value.Children()
	for children.Next() {
		child := children.Node()
		if child.Kind != unstable.KeyValue {
			continue
		}
		t.empty = false
		if path := names(child.Key()); len(path) == 1 {
			t.value(doc, path[0], child)
		}
	}
}

// line puts additions at the end of the line that what ends in, indented as
// the line that it begins in.
func (t *trustPlace) line(doc []byte, what span) {
	start := bytes.LastIndexByte(doc[:what.start], '\n') + 1
	t.indent = string(doc[start : start+leadingBlanks(doc[start:])])
	t.at = len(doc)
	if n := bytes.IndexByte(doc[what.end:], '\n'); n >= 0 {
		t.at = what.end + n
	}
	if t.at > what.end && doc[t.at-1] == '\r' {
		t.at--
	}
}

func leadingBlanks(b []byte) int { return len(b) - len(bytes.TrimLeft(b, " \t")) }

// insert adds key-values that the document does not have.
func (t trustPlace) insert(doc []byte, missing []string) edit {
	var text strings.Builder
	switch t.shape {
	case inlineTable:
		text.WriteString(" " + strings.Join(missing, ", "))
		if !t.empty {
			text.WriteString(",")
		}
	case tableHeader, dottedKeys:
		prefix := ""
		if t.shape == dottedKeys {
			prefix = trustTable + "."
		}
		for _, line := range missing {
			text.WriteString(t.newline + t.indent + prefix + line)
		}
	case noTable:
		if len(doc) > 0 && doc[len(doc)-1] != '\n' {
			text.WriteString(t.newline)
		}
		if len(doc) > 0 {
			text.WriteString(t.newline)
		}
		text.WriteString("[" + trustTable + "]" + t.newline)
		for _, line := range missing {
			text.WriteString(line + t.newline)
		}
	}
	return edit{t.at, t.at, text.String()}
}

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
