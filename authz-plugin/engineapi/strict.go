package engineapi

import (
	"bytes"
	"encoding/binary"
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
func decodeStrict(body []byte, v any, want *Shape) error {
	if err := readStrict(body, want, nil); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("the body does not decode: %w", err)
	}
	return nil
}

// readStrict is ReadObject for the body of a request.
func readStrict(body []byte, want *Shape, visit Visit) error {
	switch {
	case len(body) == 0:
		return errors.New("the body is empty, or the engine did not show it")
	case len(body) > maxBody:
		return fmt.Errorf("the body is longer than %d MiB", maxBody>>20)
	}
	return ReadObject(body, want, visit)
}

// A Visit is shown a member of an object. Its value is as it stands in the
// document, without the space around it.
type Visit func(inside, key string, value []byte) error

// ReadObject walks the one JSON object that a document holds. Wherever two
// readers could understand the document differently it is an error: a key
// given twice, also after the case folding of encoding/json, which takes the
// Kelvin sign for a k and the long s for an s; data after the object; invalid
// UTF-8. Each member of the object is shown to visit, which may be nil, and
// each member of those that are objects, with inside being the key of the
// outer one; keys are folded, but for those of maps.
//
// What it takes for JSON is what encoding/json does, of which it is a third of
// the price: that package reads a document once to see whether it is JSON, and
// byte by byte.
func ReadObject(document []byte, want *Shape, visit Visit) error {
	if !utf8.Valid(document) {
		return errors.New("it is not UTF-8")
	}
	s := scanner{data: document, visit: visit}
	if s.next() != '{' {
		return errors.New("it is not a JSON object")
	}
	if err := s.object(want); err != nil {
		return err
	}
	if s.next(); s.at < len(s.data) {
		return errNotJSON
	}
	return nil
}

var errNotJSON = errors.New("it is not JSON")

// A Shape tells which objects of a document are structs, whose keys fold, and
// which are maps, whose keys do not. A nil Shape is unknown, and folds.
type Shape struct {
	isMap    bool
	fields   map[string]*field // by folded key
	declared map[string]*field // by the key as it is declared, so that most need no folding
	elem     *Shape            // of a map or list
}

// A field is one of a struct.
type field struct {
	key   string // folded
	name  string // as it is declared
	index int    // in its struct
	shape *Shape
}

// ShapeOf reads the shape off a type. Types that decode themselves are unknown.
func ShapeOf[T any]() *Shape { return shapeOf(reflect.TypeFor[T](), map[reflect.Type]*Shape{}) }

func shapeOf(t reflect.Type, seen map[reflect.Type]*Shape) *Shape {
	if t.Kind() == reflect.Pointer {
		return shapeOf(t.Elem(), seen)
	}
	if known, ok := seen[t]; ok {
		return known
	}
	if t.Kind() != reflect.Map && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	s := &Shape{}
	seen[t] = s
	switch t.Kind() {
	case reflect.Struct:
		s.fields = map[string]*field{}
		s.declared = map[string]*field{}
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

func (s *Shape) addFields(t reflect.Type, seen map[reflect.Type]*Shape) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if f.Anonymous && name == "" && inner.Kind() == reflect.Struct {
			s.addFields(inner, seen)
			continue
		}
		if name == "" {
			name = f.Name
		}
		if f.IsExported() && name != "-" {
			s.add(name, shapeOf(f.Type, seen))
		}
	}
}

func (s *Shape) add(name string, inner *Shape) {
	key := fold(name)
	known, ok := s.fields[key]
	if !ok {
		known = &field{key: key, name: name, index: len(s.fields)}
		s.fields[key] = known
	}
	known.shape = inner
	s.declared[name] = known
}

// A scanner walks a document.
type scanner struct {
	data    []byte
	at      int
	nesting int    // of objects and lists
	depth   int    // of objects
	inside  string // the key of the object's member that is being walked
	visit   Visit
}

// maxNesting is that of encoding/json.
const maxNesting = 10000

// next passes over space and gives the byte after it: zero at the end, which
// stands nowhere in JSON.
func (s *scanner) next() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) value(want *Shape) error {
	switch c := s.next(); c {
	case '{':
		return s.object(want)
	case '[':
		return s.array(want)
	case '"':
		_, _, err := s.text()
		return err
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// open begins an object or a list.
func (s *scanner) open() error {
	s.at++
	if s.nesting++; s.nesting > maxNesting {
		return fmt.Errorf("it is nested deeper than %d", maxNesting)
	}
	return nil
}

// more reports whether a member or element follows, and passes over the comma
// before it, or over the end.
func (s *scanner) more(first bool, end byte) (bool, error) {
	switch c := s.next(); {
	case c == end:
		s.at++
		s.nesting--
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.at++
		return true, nil
	default:
		return false, errNotJSON
	}
}

func (s *scanner) object(want *Shape) error {
	var seen keySet
	if err := s.open(); err != nil {
		return err
	}
	s.depth++
	for first := true; ; first = false {
		more, err := s.more(first, '}')
		if err != nil {
			return err
		}
		if !more {
			s.depth--
			return nil
		}
		if err := s.member(want, &seen); err != nil {
			return err
		}
	}
}

// member reads a key, which must not be among those seen, and its value.
func (s *scanner) member(want *Shape, seen *keySet) error {
	known, key, err := s.key(want)
	if err != nil {
		return err
	}
	if !seen.add(known, key) {
		return fmt.Errorf("the key %q stands twice in one object", engine.Clip(key))
	}
	if s.next() != ':' {
		return errNotJSON
	}
	s.at++
	return s.entry(key, want.memberShape(known))
}

// entry reads the value of a key.
func (s *scanner) entry(key string, want *Shape) error {
	s.next()
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

// key reads a key and folds it, unless it is a map's. It gives the field that
// the key is of, nil if it is of none.
func (s *scanner) key(want *Shape) (*field, string, error) {
	if s.next() != '"' {
		return nil, "", errNotJSON
	}
	raw, escaped, err := s.text()
	if err != nil {
		return nil, "", err
	}
	if want != nil && !escaped {
		if known, ok := want.declared[string(raw[1:len(raw)-1])]; ok {
			return known, known.key, nil
		}
	}
	key := string(raw[1 : len(raw)-1])
	if escaped {
		if err := json.Unmarshal(raw, &key); err != nil {
			return nil, "", errNotJSON
		}
	}
	if want != nil && want.isMap {
		return nil, key, nil
	}
	key = fold(key)
	if want != nil {
		return want.fields[key], key, nil
	}
	return nil, key, nil
}

func (s *scanner) array(want *Shape) error {
	var elem *Shape
	if want != nil {
		elem = want.elem
	}
	if err := s.open(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.more(first, ']')
		if err != nil || !more {
			return err
		}
		if err := s.value(elem); err != nil {
			return err
		}
	}
}

// A keySet is the keys of one object. Those of known fields are bits; of
// others there is a list while they are few, and a map beyond.
type keySet struct {
	known [2]uint64
	few   []string
	many  map[string]bool
}

// add reports whether a key is new. A key that belongs to a field is always
// given with it.
func (k *keySet) add(known *field, key string) bool {
	if known != nil && known.index < 64*len(k.known) {
		word, bit := known.index/64, uint64(1)<<(known.index%64)
		isNew := k.known[word]&bit == 0
		k.known[word] |= bit
		return isNew
	}
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

// text passes over a string and gives it with its quotes.
func (s *scanner) text() (raw []byte, escaped bool, err error) {
	start := s.at
	for i := start + 1; i < len(s.data); i++ {
		i += plainLength(s.data[i:])
		if i == len(s.data) {
			break
		}
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			return s.data[start:s.at], escaped, nil
		case c < ' ':
			return nil, false, errNotJSON
		case c == '\\':
			n := escapeLength(s.data[i:])
			if n == 0 {
				return nil, false, errNotJSON
			}
			escaped = true
			i += n - 1
		}
	}
	return nil, false, errNotJSON
}

// plainLength is a number of bytes at the beginning of text that stand for
// themselves in a string, in steps of eight: long strings are what most of a
// question is.
func plainLength(text []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(text); n += 8 {
		eight := binary.LittleEndian.Uint64(text[n:])
		quote, slash := eight^(ones*'"'), eight^(ones*'\\')
		// Each term has the high bit of some byte set if one is below a
		// space, or zero.
		if ((eight-ones*' ')&^eight|(quote-ones)&^quote|(slash-ones)&^slash)&high != 0 {
			break
		}
	}
	return n
}

// escapeLength is how long the escape is that text begins with, zero if it is
// none.
func escapeLength(text []byte) int {
	const long = len(`\u0000`)
	switch {
	case len(text) < 2:
		return 0
	case strings.IndexByte(`"\/bfnrt`, text[1]) >= 0:
		return 2
	case text[1] != 'u' || len(text) < long:
		return 0
	}
	for _, c := range text[2:long] {
		if strings.IndexByte("0123456789abcdefABCDEF", c) < 0 {
			return 0
		}
	}
	return long
}

func (s *scanner) word(word string) error {
	if !bytes.HasPrefix(s.data[s.at:], []byte(word)) {
		return errNotJSON
	}
	s.at += len(word)
	return nil
}

// number passes over a number as RFC 8259, section 6, has it.
func (s *scanner) number() error {
	s.accept("-")
	if !s.accept("0") && !s.digits() {
		return errNotJSON
	}
	if s.accept(".") && !s.digits() {
		return errNotJSON
	}
	if s.accept("eE") {
		s.accept("+-")
		if !s.digits() {
			return errNotJSON
		}
	}
	return nil
}

// accept passes over one byte if it is one of set.
func (s *scanner) accept(set string) bool {
	if s.at == len(s.data) || strings.IndexByte(set, s.data[s.at]) < 0 {
		return false
	}
	s.at++
	return true
}

// digits passes over digits and reports whether there were any.
func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.data) && '0' <= s.data[s.at] && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

// memberShape is that of a field's value, or of a map's.
func (s *Shape) memberShape(known *field) *Shape {
	switch {
	case known != nil:
		return known.shape
	case s != nil && s.isMap:
		return s.elem
	default:
		return nil
	}
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
