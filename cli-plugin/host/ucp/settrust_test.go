package ucp_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/docker-stig/docker-stig/cli-plugin/host/ucp"
	"github.com/docker-stig/docker-stig/tests/doubles"
)

func TestSetTrust(t *testing.T) {
	t.Parallel()
	qa := []string{"acme/qa"}
	tests := map[string]struct {
		doc  string
		from []string
		want string
	}{
		"empty document": {"", nil, "[trust_configuration]\nrequire_content_trust = true\n"},
		"no table": {
			"a = 1\n", qa,
			"a = 1\n\n[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [\"acme/qa\"]\n",
		},
		"no table, no last newline": {"a = 1", nil, "a = 1\n\n[trust_configuration]\nrequire_content_trust = true\n"},
		"no table, CRLF": {
			"a = 1\r\n[b]\r\nc = 2\r\n", nil,
			"a = 1\r\n[b]\r\nc = 2\r\n\r\n[trust_configuration]\r\nrequire_content_trust = true\r\n",
		},
		"false to true": {
			"[trust_configuration]\n  require_content_trust=false # why\n", nil,
			"[trust_configuration]\n  require_content_trust=true # why\n",
		},
		"key missing, indented": {
			"[trust_configuration] # t\r\n\trequire_signature_from\t=\t['b']\t# f\r\n[z]\r\n", nil,
			"[trust_configuration] # t\r\n\trequire_signature_from\t=\t['b']\t# f\r\n\trequire_content_trust = true\r\n[z]\r\n",
		},
		"both missing below a header": {
			"  [ trust_configuration ] # t\n\n[z]\n", qa,
			"  [ trust_configuration ] # t\n  require_content_trust = true\n  require_signature_from = [\"acme/qa\"]\n\n[z]\n",
		},
		"header at the end of the file": {"[trust_configuration]", nil, "[trust_configuration]\nrequire_content_trust = true"},
		"order reversed": {
			"[trust_configuration]\nrequire_signature_from=[]\nother=1\nrequire_content_trust=false\n", qa,
			"[trust_configuration]\nrequire_signature_from=[\"acme/qa\"]\nother=1\nrequire_content_trust=true\n",
		},
		"array over lines, brackets in comments and strings": {
			"[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [ # ] no end\n  \"]\", # ']\n  '''\n]''',\n] # end\nx = 1\n", qa,
			"[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [\"acme/qa\"] # end\nx = 1\n",
		},
		"key missing after an array over lines": {
			"[trust_configuration]\n  require_signature_from = [\n 'acme/qa',\n] # end\n", qa,
			"[trust_configuration]\n  require_signature_from = [\n 'acme/qa',\n] # end\n  require_content_trust = true\n",
		},
		"dotted": {
			"trust_configuration.require_content_trust = false\nb = 1\n", qa,
			"trust_configuration.require_content_trust = true\ntrust_configuration.require_signature_from = [\"acme/qa\"]\nb = 1\n",
		},
		"dotted, spaced and quoted": {
			"\"trust_configuration\" . 'require_content_trust'  =  false#c\n[z]\n", nil,
			"\"trust_configuration\" . 'require_content_trust'  =  true#c\n[z]\n",
		},
		"dotted, only another key": {
			"a = 1\ntrust_configuration.x.y = 1 # c\n[z]\n", nil,
			"a = 1\ntrust_configuration.x.y = 1 # c\ntrust_configuration.require_content_trust = true\n[z]\n",
		},
		"inline": {
			"trust_configuration = {require_content_trust=false, other = [1, {a = '}'}]} # c\n[z]\n", nil,
			"trust_configuration = {require_content_trust=true, other = [1, {a = '}'}]} # c\n[z]\n",
		},
		"inline, both missing": {
			"trust_configuration = { other = 1 }\n", qa,
			"trust_configuration = { require_content_trust = true, require_signature_from = [\"acme/qa\"], other = 1 }\n",
		},
		"inline, empty": {"trust_configuration = {}\n", nil, "trust_configuration = { require_content_trust = true}\n"},
		"inline, one of two": {
			"trust_configuration={require_signature_from=['x']}", qa,
			"trust_configuration={ require_content_trust = true,require_signature_from=[\"acme/qa\"]}",
		},
		"table known only by its child": {
			"[trust_configuration.child]\na = 1\n", nil,
			"[trust_configuration.child]\na = 1\n\n[trust_configuration]\nrequire_content_trust = true\n",
		},
		"header behind its child": {
			"[trust_configuration.child]\nrequire_content_trust = false\n[trust_configuration]\nb = 1\n", nil,
			"[trust_configuration.child]\nrequire_content_trust = false\n[trust_configuration]\nrequire_content_trust = true\nb = 1\n",
		},
		"quoted": {
			"[\"trust_configuration\"]\n\"require_content_trust\" = false\n", nil,
			"[\"trust_configuration\"]\n\"require_content_trust\" = true\n",
		},
		"escaped": {
			"[\"trust\\u005fconfiguration\"]\nrequire_content_trust = false\n", nil,
			"[\"trust\\u005fconfiguration\"]\nrequire_content_trust = true\n",
		},
		"same names elsewhere": {
			"require_content_trust = false\n[a.trust_configuration]\nrequire_content_trust = false\n[trust_configuration]\nrequire_content_trust = false\n[[b]]\nrequire_content_trust = false\ntrust_configuration.require_content_trust = false\n", nil,
			"require_content_trust = false\n[a.trust_configuration]\nrequire_content_trust = false\n[trust_configuration]\nrequire_content_trust = true\n[[b]]\nrequire_content_trust = false\ntrust_configuration.require_content_trust = false\n",
		},
		"text that looks like it": {
			"a = '''\n[trust_configuration]\nrequire_content_trust = false\n'''\n# [trust_configuration]\n", nil,
			"a = '''\n[trust_configuration]\nrequire_content_trust = false\n'''\n# [trust_configuration]\n\n[trust_configuration]\nrequire_content_trust = true\n",
		},
		"value of another type": {
			"[trust_configuration]\nrequire_content_trust = \"false\" # s\n", nil,
			"[trust_configuration]\nrequire_content_trust = true # s\n",
		},
		"names that need quoting": {
			"[trust_configuration]\nrequire_content_trust = true\n",
			[]string{`a"b\c`, "tab\there", "é\x7f"},
			"[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [\"a\\\"b\\\\c\", \"tab\\u0009here\", \"é\\u007F\"]\n",
		},
		"to an empty list": {
			"[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = ['x']\n",
			[]string{},
			"[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = []\n",
		},
		"not a number elsewhere": {"a = nan\nb = -inf\n[trust_configuration]", nil, "a = nan\nb = -inf\n[trust_configuration]\nrequire_content_trust = true"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ucp.SetTrust([]byte(test.doc), test.from)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			again, err := ucp.SetTrust(got, test.from)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("a second edit changes something: %v\n%s", err, again)
			}
		})
	}
}

func TestSetTrustLeavesARightDocumentAlone(t *testing.T) {
	t.Parallel()
	doc := []byte("[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [ 'a', # first\n\"b\", ]\n")
	for _, from := range [][]string{nil, {"a", "b"}} {
		got, err := ucp.SetTrust(doc, from)
		if err != nil {
			t.Fatal(err)
		}
		if &got[0] != &doc[0] || len(got) != len(doc) {
			t.Errorf("from %q: not the same bytes", from)
		}
	}
}

func TestSetTrustErrors(t *testing.T) {
	t.Parallel()
	const secret = doubles.CanarySecret
	tests := map[string]struct {
		doc  string
		from []string
		want string
	}{
		"no TOML":         {"a = " + secret, nil, "line 1, column 5"},
		"array of tables": {"[[trust_configuration]]\na = \"" + secret + "\"", nil, "is no table"},
		"no table":        {"trust_configuration = \"" + secret + "\"", nil, "is no table"},
		"key is a table":  {"[trust_configuration.require_content_trust]\na = \"" + secret + "\"", nil, "by hand"},
		"name not UTF-8":  {"", []string{"\xff"}, "UTF-8"},
		"byte order mark": {"\ufeffa = 1", nil, "line 1, column 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ucp.SetTrust([]byte(test.doc), test.from)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q in it", err, test.want)
			}
			if got != nil {
				t.Errorf("an error came with a document")
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("error repeats a secret: %v", err)
			}
		})
	}
}

// FuzzSetTrust: whatever valid TOML comes in, the result says the same but for
// the two values, and setting them again changes nothing.
func FuzzSetTrust(f *testing.F) {
	f.Add(doubles.DefaultConfig(false), "acme/qa")
	f.Add([]byte("trust_configuration = {a=[1,{b='}'}],}"), "x\"\\\n")
	f.Add([]byte("trust_configuration.require_content_trust = false\r\n[a]"), "")
	f.Add([]byte("[trust_configuration]\nrequire_signature_from=[#]\n1979-05-27 07:32:00,]"), "é")
	f.Add([]byte("\"trust_configuration\".x=nan\n[[a.b]]\n[a.b.c]"), "\u2028")
	f.Fuzz(func(t *testing.T, doc []byte, team string) {
		original := bytes.Clone(doc)
		var want map[string]any
		valid := toml.Unmarshal(doc, &want) == nil
		got, err := ucp.SetTrust(doc, []string{team})
		if !bytes.Equal(doc, original) {
			t.Fatal("the document given was written to")
		}
		if err != nil {
			if got != nil {
				t.Fatal("an error came with a document")
			}
			if valid && settable(want) && utf8.ValidString(team) {
				t.Fatalf("a valid document was refused: %v", err)
			}
			return
		}
		if !valid {
			t.Fatal("no TOML was accepted")
		}
		if want == nil {
			want = map[string]any{}
		}
		section, _ := want["trust_configuration"].(map[string]any)
		if section == nil {
			section = map[string]any{}
		}
		section["require_content_trust"] = true
		section["require_signature_from"] = []any{team}
		want["trust_configuration"] = section
		var after map[string]any
		if err := toml.Unmarshal(got, &after); err != nil {
			t.Fatalf("the result is no TOML: %v", err)
		}
		if diff := cmp.Diff(want, after, cmp.Comparer(sameFloat)); diff != "" {
			t.Fatalf("the result says something else (-want +got):\n%s", diff)
		}
		again, err := ucp.SetTrust(got, []string{team})
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("a second edit changes something: %v", err)
		}
	})
}

// settable reports whether there is a place for the two keys: no other thing
// has the table's name, and neither key is written as a table, whose lines no
// value can replace.
func settable(doc map[string]any) bool {
	value, exists := doc["trust_configuration"]
	section, isTable := value.(map[string]any)
	if exists && !isTable {
		return false
	}
	for _, key := range []string{"require_content_trust", "require_signature_from"} {
		switch section[key].(type) {
		case map[string]any, []any:
			return false
		}
	}
	return true
}

func sameFloat(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
