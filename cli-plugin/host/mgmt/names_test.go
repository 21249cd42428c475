package mgmt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestNameTwice(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 3 * fewNames {
		fmt.Fprintf(&many, `"n%d":"n%d",`, i, i+1)
	}
	for body, want := range map[string]string{
		`{"a":1,"a":1}`:                            "a",
		`{"a":1,"\u0061":1}`:                       "a",
		`{"a\"b":1 , "a\"b" :2}`:                   `a"b`,
		`[{"a":1},{"a":{"b":[],"b":"b"}}]`:         "b",
		`{` + many.String() + `"n40":0}`:           "n40",
		`{` + many.String() + `"x":{"n40":"n40"}}`: "",
		`{"a":1,"A":1,"b":{"a":1},"c":["a","a"]}`:  "",
		`{"a":"\\","b":"{\"a\":1","c":"]"}`:        "",
		` "a" `:                                    "",
		`{}`:                                       "",
	} {
		if got, twice := nameTwice([]byte(body)); got != want || twice != (want != "") {
			t.Errorf("%s: got %q, %t, want %q", body, got, twice, want)
		}
	}
}

// FuzzNameTwice holds it against the tokens of encoding/json.
func FuzzNameTwice(f *testing.F) {
	for _, body := range []string{`{"a":1,"a":[{}]}`, `[{"a":"\u0022:"},{"a":1}]`, `"\\"`, `{"":{"":{}},"a":null}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			return
		}
		name, got := nameTwice(body)
		if want := tokenTwice(json.NewDecoder(bytes.NewReader(body))); got != want {
			t.Errorf("%q: %t (%q), want %t", body, got, name, want)
		}
	})
}

// tokenTwice says the same by and by.
func tokenTwice(decoder *json.Decoder) bool {
	var open []map[string]bool // nil for a list
	isName := false
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		switch delimiter, ok := token.(json.Delim); {
		case ok && delimiter == '{':
			open = append(open, map[string]bool{})
		case ok && delimiter == '[':
			open = append(open, nil)
		case ok:
			open = open[:len(open)-1]
		case isName:
			name, _ := token.(string)
			if open[len(open)-1][name] {
				return true
			}
			open[len(open)-1][name] = true
			isName = false
			continue
		}
		isName = len(open) > 0 && open[len(open)-1] != nil
	}
}
