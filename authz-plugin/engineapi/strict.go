package engineapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// maxBody is the most that an engine passes on to authorization.
const maxBody = 4 << 20 // bytes; moby's pkg/authorization, maxBodySize

// decodeStrict fills v from the one JSON object that body holds, if all readers
// understand body alike.
func decodeStrict(body []byte, v any, want *shape) error {
	if err := readStrict(body, want, nil); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("the body does not decode: %w", err)
	}
	return nil
}

// readStrict walks the one JSON object that body holds. Wherever two readers
// could understand body differently it is an error: a key given twice, also
// after the case folding of encoding/json, which takes the Kelvin sign for a k
// and the long s for an s; data after the object; invalid UTF-8. Each member
// of the object is shown to visit, which may be nil, and each member of those
// that are objects, with inside being the key of the outer one; keys are
// folded.
func readStrict(body []byte, want *shape, visit func(inside, key string, value []byte) error) error {
	switch {
	case len(body) == 0:
		return errors.New("the body is empty, or the engine did not show it")
	case len(body) > maxBody:
		return fmt.Errorf("the body is longer than %d MiB", maxBody>>20)
	case !utf8.Valid(body):
		return errors.New("the body is not UTF-8")
	case !json.Valid(body): // all but one JSON value
		return errors.New("the body is not JSON")
	}
	s := scanner{data: body, visit: visit}
	s.space()
	if s.data[s.at] != '{' {
		return errors.New("the body is not a JSON object")
	}
	return s.value(want)
}

// A shape tells which objects of a document are structs, whose keys fold, and
// which are maps, whose keys do not. A nil shape is unknown, and folds.
type shape struct {
	isMap  bool
	fields map[string]*shape // by folded key
	folded map[string]string // keys as they are declared, so that most need no folding
	elem   *shape            // of a map or list
}

// shapeOf reads the shape off a Go type. Types that decode themselves are
// unknown.
func shapeOf(t reflect.Type, seen map[reflect.Type]*shape) *shape {
	if t.Kind() == reflect.Pointer {
		return shapeOf(t.Elem(), seen)
	}
	if known, ok := seen[t]; ok {
		return known
	}
	if t.Kind() != reflect.Map && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	s := &shape{}
	seen[t] = s
	switch t.Kind() {
	case reflect.Struct:
		s.fields = map[string]*shape{}
		s.folded = map[string]string{}
		s.addFields(t, seen)
	case reflect.Map:
		s.isMap = true
		s.elem = shapeOf(t.Elem(), seen)
	case reflect.Slice, reflect.Array:
		s.elem = shapeOf(t.Elem(), seen)
	default:
	}
	return s
}

func (s *shape) addFields(t reflect.Type, seen map[reflect.Type]*shape) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if field.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			s.addFields(inner, seen)
			continue
		}
		if name == "" {
			name = field.Name
		}
		if field.IsExported() && name != "-" {
			s.folded[name] = fold(name)
			s.fields[fold(name)] = shapeOf(field.Type, seen)
		}
	}
}

// A scanner walks a document that encoding/json has accepted.
type scanner struct {
	data   []byte
	at     int
	depth  int    // of objects
	inside string // the key of the object's member that is being walked
	visit  func(inside, key string, value []byte) error
}

func (s *scanner) space() {
	for s.at < len(s.data) && strings.IndexByte(" \t\r\n", s.data[s.at]) >= 0 {
		s.at++
	}
}

func (s *scanner) value(want *shape) error {
	s.space()
	switch s.data[s.at] {
	case '{':
		return s.object(want)
	case '[':
		return s.array(want)
	case '"':
		s.text()
	default: // number, true, false, null
		for strings.IndexByte(",]} \t\r\n", s.data[s.at]) < 0 {
			s.at++
		}
	}
	return nil
}

func (s *scanner) object(want *shape) error {
	var seen keySet
	s.depth++
	for s.at++; ; s.at++ { // past '{' or ','
		s.space()
		if s.data[s.at] == '}' {
			break
		}
		folded, err := s.key(want)
		if err != nil {
			return err
		}
		if !seen.add(folded) {
			return fmt.Errorf("the key %q stands twice in one object", engine.Clip(folded))
		}
		if err := s.entry(folded, want.member(folded)); err != nil {
			return err
		}
		s.space()
		if s.data[s.at] == '}' {
			break
		}
	}
	s.at++
	s.depth--
	return nil
}

// entry reads the value of a key.
func (s *scanner) entry(key string, want *shape) error {
	s.space()
	start := s.at
	inside := s.inside
	if s.depth == 1 {
		s.inside, inside = key, ""
	}
	if err := s.value(want); err != nil {
		return err
	}
	if s.visit == nil || s.depth > 2 {
		return nil
	}
	return s.visit(inside, key, s.data[start:s.at])
}

// A keySet is the keys of one object: a list while they are few, as they are
// in nearly all objects, and a map beyond.
type keySet struct {
	few  []string
	many map[string]bool
}

func (k *keySet) add(key string) bool {
	const few = 16
	if k.many == nil && len(k.few) < few {
		if slices.Contains(k.few, key) {
			return false
		}
		k.few = append(k.few, key)
		return true
	}
	if k.many == nil {
		k.many = make(map[string]bool, 4*few)
		for _, key := range k.few {
			k.many[key] = true
		}
	}
	if k.many[key] {
		return false
	}
	k.many[key] = true
	return true
}

func (s *scanner) array(want *shape) error {
	var elem *shape
	if want != nil {
		elem = want.elem
	}
	for s.at++; ; s.at++ { // past '[' or ','
		s.space()
		if s.data[s.at] == ']' {
			break
		}
		if err := s.value(elem); err != nil {
			return err
		}
		s.space()
		if s.data[s.at] == ']' {
			break
		}
	}
	s.at++
	return nil
}

// key reads a key and the colon after it, and folds it unless it is a map's.
func (s *scanner) key(want *shape) (string, error) {
	raw := s.text()
	s.space()
	s.at++ // ':'
	if want != nil {
		if folded, ok := want.folded[string(raw[1:len(raw)-1])]; ok {
			return folded, nil
		}
	}
	key := string(raw[1 : len(raw)-1])
	if strings.IndexByte(key, '\\') >= 0 {
		if err := json.Unmarshal(raw, &key); err != nil {
			return "", fmt.Errorf("the key %s does not decode: %w", engine.Clip(string(raw)), err)
		}
	}
	if want != nil && want.isMap {
		return key, nil
	}
	return fold(key), nil
}

// text passes over a string and gives it with its quotes.
func (s *scanner) text() []byte {
	start := s.at
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.data[start:s.at]
}

func (s *shape) member(folded string) *shape {
	if s == nil {
		return nil
	}
	if s.isMap {
		return s.elem
	}
	return s.fields[folded]
}

// fold maps keys that encoding/json takes for one field to one string.
func fold(key string) string {
	for i := range len(key) {
		if key[i] >= utf8.RuneSelf {
			return strings.Map(foldRune, key)
		}
	}
	return strings.ToUpper(key)
}

// foldRune gives the smallest of the runes that equal r under Unicode's
// simple case folding.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
