package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// maxPolicy bounds a policy file: ten thousand repositories with ten digests
// each come to about 10 MiB.
const maxPolicy = 32 << 20 // bytes

// A SyntaxError is a policy file that does not say what it should, and where.
type SyntaxError struct {
	File         string
	Line, Column int // from 1; Column counts bytes
	Msg          string
}

// Error gives file, line and column in the form editors jump to.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Msg)
}

// Load reads and checks the policy file at path. The error is a *SyntaxError
// when the file was read but does not hold a policy.
func Load(path string) (*Policy, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w (give one with --policy, or write %s)", err, DefaultPath)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxPolicy+1))
	if err != nil {
		return nil, fmt.Errorf("reading the policy: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a policy: JSON with comments and trailing commas. Unknown keys,
// keys given twice, a missing mode and patterns that leave a choice are errors.
// The name stands in messages.
func Parse(name string, data []byte) (*Policy, error) {
	if len(data) > maxPolicy {
		return nil, fmt.Errorf("%s: a policy has at most %d MiB", name, maxPolicy>>20)
	}
	d := decoder{name: name, data: data, at: map[string]int{}}
	tree, err := hujson.Parse(bytes.Clone(data)) // it is standardized in place
	if err != nil {
		return nil, d.syntax(err)
	}
	p := defaults()
	if err := d.check(tree, reflect.TypeFor[Policy](), ""); err != nil {
		return nil, err
	}
	tree.Standardize()
	if err := json.Unmarshal(tree.Pack(), p); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.validate(p); err != nil {
		return nil, err
	}
	return p, nil
}

// where is how the parser says where it stopped.
var where = regexp.MustCompile(`^hujson: line (\d+), column (\d+): `)

// syntax is a file that is not JSON, with the parser's place and message.
func (d *decoder) syntax(err error) error {
	at := where.FindStringSubmatch(err.Error())
	if at == nil {
		return fmt.Errorf("%s: want JSON: %w", d.name, err)
	}
	line, _ := strconv.Atoi(at[1])   // digits, by the expression
	column, _ := strconv.Atoi(at[2]) // likewise
	return &SyntaxError{File: d.name, Line: line, Column: column, Msg: "want JSON, with comments and trailing commas allowed: " + strings.TrimPrefix(err.Error(), at[0])}
}

// A decoder holds a policy file against the Go types before they are filled,
// so that every complaint has a line and a column.
type decoder struct {
	name string
	data []byte
	at   map[string]int // path of a value ("/notary/refresh") to its offset
}

func (d *decoder) errorf(offset int, format string, args ...any) error {
	offset = min(max(offset, 0), len(d.data))
	before := d.data[:offset]
	return &SyntaxError{
		File:   d.name,
		Line:   1 + bytes.Count(before, []byte("\n")),
		Column: offset - bytes.LastIndexByte(before, '\n'),
		Msg:    fmt.Sprintf(format, args...),
	}
}

// check compares a value with the type it will be decoded into.
func (d *decoder) check(v hujson.Value, want reflect.Type, path string) error {
	d.at[path] = v.StartOffset
	if v.Value == nil {
		return d.errorf(v.StartOffset, "want %s", describe(want))
	}
	switch want.Kind() {
	case reflect.Struct, reflect.Map:
		object, ok := v.Value.(*hujson.Object)
		if !ok {
			return d.errorf(v.StartOffset, "%swant an object", prefix(path))
		}
		return d.checkObject(object, want, path)
	case reflect.Slice:
		array, ok := v.Value.(*hujson.Array)
		if !ok {
			return d.errorf(v.StartOffset, "%swant a list", prefix(path))
		}
		for i, element := range array.Elements {
			if err := d.check(element, want.Elem(), fmt.Sprintf("%s/%d", path, i)); err != nil {
				return err
			}
		}
		return nil
	default:
		literal, ok := v.Value.(hujson.Literal)
		if !ok || literal.Kind() == 'n' {
			return d.errorf(v.StartOffset, "%swant %s", prefix(path), describe(want))
		}
		if err := json.Unmarshal(literal, reflect.New(want).Interface()); err != nil {
			if wrongType := new(json.UnmarshalTypeError); errors.As(err, &wrongType) {
				return d.errorf(v.StartOffset, "%swant %s, not %s", prefix(path), describe(want), wrongType.Value)
			}
			return d.errorf(v.StartOffset, "%s%v", prefix(path), err)
		}
		return nil
	}
}

func (d *decoder) checkObject(object *hujson.Object, want reflect.Type, path string) error {
	seen := map[string]bool{}
	for _, member := range object.Members {
		literal, ok := member.Name.Value.(hujson.Literal)
		if !ok {
			return d.errorf(member.Name.StartOffset, "%swant a key", prefix(path))
		}
		name := literal.String()
		if seen[name] {
			return d.errorf(member.Name.StartOffset, "%skey %q stands here twice: keep one", prefix(path), name)
		}
		seen[name] = true
		elem, err := memberType(want, name)
		if err != nil {
			return d.errorf(member.Name.StartOffset, "%s%v", prefix(path), err)
		}
		d.at[path+"/"+name+"#"] = member.Name.StartOffset
		if err := d.check(member.Value, elem, path+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// memberType is the type of an object's member, or an error that lists the
// members there are.
func memberType(object reflect.Type, name string) (reflect.Type, error) {
	if object.Kind() == reflect.Map {
		return object.Elem(), nil
	}
	var known []string
	for i := range object.NumField() {
		field := object.Field(i)
		if field.Tag.Get("json") == name {
			return field.Type, nil
		}
		known = append(known, field.Tag.Get("json"))
	}
	slices.Sort(known)
	return nil, fmt.Errorf("unknown key %q: the keys here are %s", name, strings.Join(known, ", "))
}

func describe(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return `a duration such as "10m" or "90d"`
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "a string"
	default:
		return "a value of another kind"
	}
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return strings.TrimPrefix(path, "/") + ": "
}
