package jsonedit

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSet(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ doc, pointer, value, want, err string }{
		"missing":               {"", "/userland-proxy", "false", "{\n  \"userland-proxy\": false\n}\n", ""},
		"white space alone":     {" \n", "/a", "1", "{\n  \"a\": 1\n}\n", ""},
		"empty object":          {"{ }", "/a", "1", `{"a": 1 }`, ""},
		"replaced":              {"{\n\t\"a\" : true ,\"x\":[1, 2]}\n\n", "/a", "false", "{\n\t\"a\" : false ,\"x\":[1, 2]}\n\n", ""},
		"the same already":      {`{"l": {"b" : 1,"a":"x"}}`, "/l", `{"a":"x","b":1}`, `{"l": {"b" : 1,"a":"x"}}`, ""},
		"unknown keys, order":   {"{\n    \"zz\": 1,\n    \"aa\": 2\n}", "/mm", "3", "{\n    \"mm\": 3,\n    \"zz\": 1,\n    \"aa\": 2\n}", ""},
		"carriage returns":      {"{\r\n  \"a\": 1\r\n}\r\n", "/b", "2", "{\r\n  \"b\": 2,\r\n  \"a\": 1\r\n}\r\n", ""},
		"into an object":        {`{"log-opts": {"a": "1"}}`, "/log-opts/max-size", `"10m"`, `{"log-opts": {"max-size": "10m", "a": "1"}}`, ""},
		"an object on the way":  {`{"x": 1}`, "/log-opts/max-size", `"10m"`, `{"log-opts": {"max-size": "10m"}, "x": 1}`, ""},
		"escaped":               {`{}`, "/a~1b~0c", "1", `{"a/b~c": 1}`, ""},
		"a comment":             {"{\n// ours\n\"a\": 1}", "/a", "2", "", "not JSON"},
		"a trailing comma":      {`{"a": 1,}`, "/a", "2", "", "not JSON"},
		"a byte order mark":     {"\xef\xbb\xbf{}", "/a", "1", "", "byte order mark"},
		"a key twice":           {`{"a": 1, "a": 2}`, "/b", "1", "", "twice"},
		"a key twice, inside":   {`{"o": {"a": 1, "\u0061": 2}}`, "/o/b", "1", "", "twice"},
		"a list":                {`[1]`, "/a", "1", "", "object in braces"},
		"no object on the way":  {`{"log-opts": "x"}`, "/log-opts/max-size", `"10m"`, "", `"log-opts" is no object`},
		"a value that is none":  {`{}`, "/a", "nope", "", "no JSON"},
		"no pointer":            {`{}`, "a", "1", "", "no pointer"},
		"pointer to everything": {`{}`, "", "1", "", "no pointer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Set([]byte(test.doc), test.pointer, []byte(test.value))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ doc, pointer, want string }{
		"not there":      {`{"a": 1}`, "/b", `{"a": 1}`},
		"missing":        {"", "/a", ""},
		"the only one":   {"{\n  \"a\": 1\n}\n", "/a", "{\n}\n"},
		"the first":      {"{\n  \"a\": 1,\n  \"b\": 2\n}", "/a", "{\n  \"b\": 2\n}"},
		"the last":       {"{\n  \"a\": 1,\n  \"b\": 2\n}", "/b", "{\n  \"a\": 1\n}"},
		"inside":         {`{"o": {"a": 1, "b": 2}}`, "/o/a", `{"o": {"b": 2}}`},
		"not on the way": {`{"x": 1}`, "/o/a", `{"x": 1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Remove([]byte(test.doc), test.pointer)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzSet wants an edit to change one key, and to be taken back by Remove.
func FuzzSet(f *testing.F) {
	for _, doc := range []string{"", "{}", `{"a":1}`, "{\r\n\t\"x\" : [1,{}] ,\"key\":\"v\"\r\n}\n", `{"key":{"a":null}}`, `{"k":1e400}`, "{\"\xff\":1}"} {
		f.Add([]byte(doc), "key", `"value"`)
	}
	f.Add([]byte(`{"a/b":1}`), "a/b", "false")
	f.Fuzz(func(t *testing.T, doc []byte, key, value string) {
		clean, _ := json.Marshal(key)
		if json.Unmarshal(clean, &key) != nil || key == "" {
			t.Skip("no key")
		}
		pointer := Pointer(key)
		edited, err := Set(doc, pointer, []byte(value))
		if err != nil {
			return
		}
		before, after := decode(t, doc), decode(t, edited)
		wanted := map[string]json.RawMessage{}
		for k, v := range before {
			wanted[k] = v
		}
		wanted[key] = json.RawMessage(value)
		if diff := cmp.Diff(compact(t, wanted), compact(t, after)); diff != "" {
			t.Fatalf("%q, %q = %q gave %q:\n%s", doc, key, value, edited, diff)
		}
		if again, err := Set(edited, pointer, []byte(value)); err != nil || !bytes.Equal(again, edited) {
			t.Fatalf("a second edit of %q gave %q, %v", edited, again, err)
		}
		removed, err := Remove(edited, pointer)
		if err != nil {
			t.Fatal(err)
		}
		delete(before, key)
		if diff := cmp.Diff(compact(t, before), compact(t, decode(t, removed))); diff != "" {
			t.Fatalf("removing %q from %q gave %q:\n%s", key, edited, removed, diff)
		}
	})
}

func decode(t *testing.T, doc []byte) map[string]json.RawMessage {
	t.Helper()
	members := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(doc)) == 0 {
		return members
	}
	if err := json.Unmarshal(doc, &members); err != nil {
		t.Fatalf("%q: %v", doc, err)
	}
	return members
}

// compact leaves out the white space of values, and how they are escaped.
func compact(t *testing.T, members map[string]json.RawMessage) map[string]string {
	t.Helper()
	out := map[string]string{}
	for key, value := range members {
		decoder := json.NewDecoder(bytes.NewReader(value))
		decoder.UseNumber()
		var decoded any
		if err := decoder.Decode(&decoded); err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		text, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(text)
	}
	return out
}
