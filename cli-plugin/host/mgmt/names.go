package mgmt

import (
	"bytes"
	"encoding/json"
)

// nameTwice finds a name that stands twice in one object of valid JSON.
// json.Unmarshal would take the last, and another reader the first (RFC 8259,
// 4: then the behaviour is unpredictable).
func nameTwice(body []byte) (name string, twice bool) {
	var open []names // of each object and list that is not closed yet
	for at := 0; at < len(body); at++ {
		switch body[at] {
		case '{', '[':
			open = append(open, names{})
		case '}', ']':
			open = open[:len(open)-1]
		case '"':
			text := quotedText(body[at:])
			at += len(text) - 1
			if isName := bytes.HasPrefix(bytes.TrimLeft(body[at+1:], " \t\r\n"), []byte(":")); !isName {
				continue
			}
			if open[len(open)-1].add(text) {
				_ = json.Unmarshal(text, &name) // it is valid
				return name, true
			}
		}
	}
	return "", false
}

// quotedText is the string that text begins with, its quotes included.
func quotedText(text []byte) []byte {
	for at := 1; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return text[:at+1]
		}
	}
	return text
}

// names are those of one object: few in a list, which is quicker, and many in
// a map.
type names struct {
	few  [][]byte
	many map[string]bool
}

const fewNames = 16

// add keeps a name in its quotes and reports whether it was there.
func (n *names) add(name []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 { // one name can be escaped in many ways
		var text string
		_ = json.Unmarshal(name, &text) // it is valid
		name = append(append([]byte{'"'}, text...), '"')
	}
	if n.many == nil {
		for _, known := range n.few {
			if bytes.Equal(known, name) {
				return true
			}
		}
		if len(n.few) < fewNames {
			n.few = append(n.few, name)
			return false
		}
		n.many = map[string]bool{}
		for _, known := range n.few {
			n.many[string(known)] = true
		}
	}
	there := n.many[string(name)]
	n.many[string(name)] = true
	return there
}
