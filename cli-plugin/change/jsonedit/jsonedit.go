// Package jsonedit changes members of a JSON object in its bytes: every other
// byte stays as it is, unknown keys, order, white space and, where a file may
// have them, comments. What a key means is its callers' business.
//
// Pointers are those of RFC 6901, through objects only; what Set and Remove do
// is what "add" and "remove" of RFC 6902 mean for a member, but that removing
// what is not there changes nothing. A patch library was turned down: it lays
// out anew what it touches.
package jsonedit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// maxDocument bounds a document; a daemon.json is some KiB.
const maxDocument = 4 << 20 // bytes

// Set is doc with a value at a pointer. The objects on the way are made where
// they are missing; a doc of white space alone is begun. A value that means the
// same already is left as it is.
func Set(doc []byte, pointer string, value []byte) ([]byte, error) {
	if !json.Valid(value) {
		return nil, fmt.Errorf("the value for %s is no JSON", pointer)
	}
	found, err := look(doc, pointer)
	switch {
	case err != nil:
		return nil, err
	case found.nothing:
		return []byte("{\n  " + member(found.missing, value) + "\n}\n"), nil
	case len(found.missing) > 0:
		return Insert(doc, found.value, member(found.missing, value))
	case Same(found.bytes(doc), value):
		return doc, nil
	}
	return Splice(doc, found.value.StartOffset, found.value.EndOffset, string(value)), nil
}

// Remove is doc without the member at a pointer.
func Remove(doc []byte, pointer string) ([]byte, error) {
	found, err := look(doc, pointer)
	if err != nil {
		return nil, err
	}
	if len(found.missing) > 0 {
		return doc, nil
	}
	return RemoveMember(doc, found.object, found.member), nil
}

// Get is the value at a pointer, nil if there is none.
func Get(doc []byte, pointer string) ([]byte, error) {
	found, err := look(doc, pointer)
	if err != nil || len(found.missing) > 0 {
		return nil, err
	}
	return found.bytes(doc), nil
}

// A place is where a pointer leads: to a value, which is a member of an object,
// or to the last value on the way, with the keys that are missing from there.
type place struct {
	value   hujson.Value
	object  *hujson.Object
	member  int
	missing []string
	nothing bool // doc is white space alone
}

func (p place) bytes(doc []byte) []byte { return doc[p.value.StartOffset:p.value.EndOffset] }

// look follows a pointer.
func look(doc []byte, pointer string) (place, error) {
	keys, err := split(pointer)
	if err != nil {
		return place{}, err
	}
	if len(bytes.TrimSpace(doc)) == 0 {
		return place{missing: keys, nothing: true}, nil
	}
	var p place
	if p.value, err = plain(doc); err != nil {
		return place{}, err
	}
	for i, key := range keys {
		if p.object, err = objectOf(p.value, keys[:i]); err != nil {
			return place{}, err
		}
		if p.member = Find(p.object, key); p.member < 0 {
			p.missing = keys[i:]
			return p, nil
		}
		p.value = p.object.Members[p.member].Value
	}
	return p, nil
}

// Same reports whether two values mean the same. Numbers have to be written
// alike.
func Same(a, b []byte) bool {
	decode := func(raw []byte) (value any, err error) {
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.UseNumber()
		err = decoder.Decode(&value)
		return value, err
	}
	one, err := decode(a)
	other, otherErr := decode(b)
	return err == nil && otherErr == nil && reflect.DeepEqual(one, other)
}

// plain reads a document that is JSON and no more: no comments, no byte order
// mark.
func plain(doc []byte) (hujson.Value, error) {
	switch {
	case len(doc) > maxDocument:
		return hujson.Value{}, fmt.Errorf("it has more than %d MiB: is it the right file?", maxDocument>>20)
	case bytes.HasPrefix(doc, []byte("\xef\xbb\xbf")):
		return hujson.Value{}, errors.New("it begins with a byte order mark: save it as UTF-8 without one")
	case !json.Valid(doc):
		return hujson.Value{}, errors.New("it is not JSON (a comment, or a comma too many?): mend it")
	}
	return hujson.Parse(doc)
}

// objectOf wants an object whose keys stand once each.
func objectOf(at hujson.Value, keys []string) (*hujson.Object, error) {
	object, ok := at.Value.(*hujson.Object)
	if !ok && len(keys) == 0 {
		return nil, errors.New("want an object in braces")
	}
	if !ok {
		return nil, fmt.Errorf("%q is no object in braces: mend it", strings.Join(keys, "."))
	}
	return object, once(object)
}

// once wants every key to stand once.
func once(object *hujson.Object) error {
	seen := map[string]bool{}
	for _, m := range object.Members {
		name := Text(m.Name)
		if seen[name] {
			return fmt.Errorf("%q stands there twice: take one out", name)
		}
		seen[name] = true
	}
	return nil
}

// split reads a pointer of one key at the least.
func split(pointer string) ([]string, error) {
	rest, ok := strings.CutPrefix(pointer, "/")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%q is no pointer to a member: want /KEY", pointer)
	}
	keys := strings.Split(rest, "/")
	for i, key := range keys {
		keys[i] = strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~") // RFC 6901, 4
	}
	return keys, nil
}

// Pointer is the pointer to a member.
func Pointer(keys ...string) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteString("/" + strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1"))
	}
	return b.String()
}

// member writes a key with its value, inside of objects for the keys between.
func member(keys []string, value []byte) string {
	text := string(bytes.TrimSpace(value))
	for i, key := range slices.Backward(keys) {
		quoted, _ := json.Marshal(key) // a string cannot fail
		text = string(quoted) + ": " + text
		if i > 0 {
			text = "{" + text + "}"
		}
	}
	return text
}
