package jsonedit

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// Parse reads a document, comments and all, that is an object whose keys stand
// once each.
func Parse(doc []byte) (hujson.Value, *hujson.Object, error) {
	tree, err := hujson.Parse(doc)
	if err != nil {
		return tree, nil, err
	}
	object, err := objectOf(tree, nil)
	return tree, object, err
}

// Find is the place of a key, -1 if it is not there.
func Find(object *hujson.Object, key string) int {
	return slices.IndexFunc(object.Members, func(m hujson.ObjectMember) bool { return Text(m.Name) == key })
}

// Text is what a string says, "" for every other value.
func Text(v hujson.Value) string {
	text, ok := v.Value.(hujson.Literal)
	if !ok || text.Kind() != '"' {
		return ""
	}
	return text.String()
}

// Splice puts a text in the place of doc[from:to].
func Splice(doc []byte, from, to int, text string) []byte {
	return slices.Concat(doc[:from], []byte(text), doc[to:])
}

// Insert writes a member, "KEY": VALUE, into an object of doc before all
// others, in their style.
func Insert(doc []byte, at hujson.Value, member string) ([]byte, error) {
	object, ok := at.Value.(*hujson.Object)
	if !ok {
		return nil, errors.New("want an object in braces")
	}
	open := at.StartOffset + 1
	if len(object.Members) == 0 {
		return Splice(doc, open, open, member), nil
	}
	first := object.Members[0].Name
	lead := leadOf(doc[:first.StartOffset], string(first.BeforeExtra))
	if len(bytes.TrimSpace(first.BeforeExtra)) == 0 {
		between := lead
		if lead == "" {
			between = " "
		}
		return Splice(doc, first.StartOffset, first.StartOffset, member+","+between), nil
	}
	open = first.StartOffset - len(first.BeforeExtra) // the comment there is the first's
	return Splice(doc, open, open, lead+member+","), nil
}

// leadOf is the end of line and the white space before a member in a line of
// its own.
func leadOf(before []byte, extra string) string {
	if !strings.Contains(extra, "\n") {
		return ""
	}
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	eol := "\n"
	if strings.Contains(extra, "\r\n") {
		eol = "\r\n"
	}
	return eol + string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// RemoveMember takes out a member with one comma and the white space around.
func RemoveMember(doc []byte, object *hujson.Object, at int) []byte {
	member := object.Members[at]
	from := member.Name.StartOffset - len(member.Name.BeforeExtra)
	to := member.Value.EndOffset
	switch {
	case at+1 < len(object.Members): // the comma behind it goes
		next := object.Members[at+1].Name
		to = next.StartOffset - len(next.BeforeExtra)
		if len(bytes.TrimSpace(next.BeforeExtra)) == 0 { // no comment that would go too
			from, to = member.Name.StartOffset, next.StartOffset
		}
	case at > 0: // the comma before it goes
		from = object.Members[at-1].Value.EndOffset
	default:
		to += len(member.Value.AfterExtra)
	}
	return Splice(doc, from, to, "")
}
