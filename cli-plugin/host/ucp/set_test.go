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

// trust are the two settings of content trust; from may be nil.
func trust(from []string) []ucp.Setting {
	settings := []ucp.Setting{{Path: []string{"trust_configuration", "require_content_trust"}, Value: true}}
	if from == nil {
		return settings
	}
	return append(settings, ucp.Setting{Path: []string{"trust_configuration", "require_signature_from"}, Value: from})
}

func TestSetTwo(t *testing.T) {
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
			"trust_configuration = { require_signature_from = [\"acme/qa\"], require_content_trust = true, other = 1 }\n",
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
			"[trust_configuration.child]\nrequire_content_trust = false\n[trust_configuration]\nb = 1\nrequire_content_trust = true\n",
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
			got, err := ucp.Set([]byte(test.doc), trust(test.from)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			again, err := ucp.Set(got, trust(test.from)...)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("a second edit changes something: %v\n%s", err, again)
			}
		})
	}
}

func TestSetLeavesARightDocumentAlone(t *testing.T) {
	t.Parallel()
	doc := []byte("[trust_configuration]\nrequire_content_trust = true\nrequire_signature_from = [ 'a', # first\n\"b\", ]\n")
	for _, from := range [][]string{nil, {"a", "b"}} {
		got, err := ucp.Set(doc, trust(from)...)
		if err != nil {
			t.Fatal(err)
		}
		if &got[0] != &doc[0] || len(got) != len(doc) {
			t.Errorf("from %q: not the same bytes", from)
		}
	}
}

func TestSetErrors(t *testing.T) {
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
			got, err := ucp.Set([]byte(test.doc), trust(test.from)...)
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

// TestSet sets keys of every type in tables of every depth and shape.
func TestSet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		doc   string
		path  string
		value any
		want  string
	}{
		"number":              {"[auth.sessions]\n  lifetime_minutes = 60 # min\n", "auth.sessions.lifetime_minutes", int64(10), "[auth.sessions]\n  lifetime_minutes = 10 # min\n"},
		"number, to 0":        {"[auth.sessions]\nrenewal = 0x14\n", "auth.sessions.renewal", int64(0), "[auth.sessions]\nrenewal = 0\n"},
		"text":                {"[audit]\nlevel = 'metadata'\n[z]\n", "audit.level", "request", "[audit]\nlevel = \"request\"\n[z]\n"},
		"another type":        {"[a]\nb = \"10\"\n", "a.b", int64(10), "[a]\nb = 10\n"},
		"no inner table":      {"[auth]\nbackend = 'ldap'\n", "auth.sessions.limit", int64(3), "[auth]\nbackend = 'ldap'\n\n[auth.sessions]\nlimit = 3\n"},
		"neither table":       {"", "auth.sessions.limit", int64(3), "[auth.sessions]\nlimit = 3\n"},
		"last of its table":   {"[a.b]\r\n  x = 1 # c\r\n\r\n  y = [\r\n]\r\n\r\n# z's\r\n[z]\r\n", "a.b.c", true, "[a.b]\r\n  x = 1 # c\r\n\r\n  y = [\r\n]\r\n  c = true\r\n\r\n# z's\r\n[z]\r\n"},
		"dotted from outside": {"[auth]\nsessions.a = 1 # c\nb = 2\n", "auth.sessions.c", int64(3), "[auth]\nsessions.a = 1 # c\nsessions.c = 3\nb = 2\n"},
		"dotted at the top":   {"auth.sessions.a = 1\nb = 2\n[z]\n", "auth.sessions.c", int64(3), "auth.sessions.a = 1\nauth.sessions.c = 3\nb = 2\n[z]\n"},
		"dotted, there":       {"[auth]\nsessions.a = 1\n", "auth.sessions.a", int64(3), "[auth]\nsessions.a = 3\n"},
		"dotted beside":       {"auth.backend = 'x'\n", "auth.sessions.c", int64(3), "auth.backend = 'x'\n\n[auth.sessions]\nc = 3\n"},
		"inline in a table":   {"[auth]\nsessions = { a = 1 } # c\n", "auth.sessions.c", int64(3), "[auth]\nsessions = { c = 3, a = 1 } # c\n"},
		"inline in inline":    {"auth = { x = 1, sessions = { a = 1 }, y = {c = 2} }\n", "auth.sessions.c", int64(3), "auth = { x = 1, sessions = { c = 3, a = 1 }, y = {c = 2} }\n"},
		"inline around":       {"auth = { x = 1 }\n", "auth.sessions.c", int64(3), "auth = { sessions.c = 3, x = 1 }\n"},
		"dotted in inline":    {"auth = { sessions.c = 1 }\n", "auth.sessions.c", int64(3), "auth = { sessions.c = 3 }\n"},
		"an array beside":     {"[[auth.list]]\nc = 1\n[auth.list.sessions]\nc = 2\n[auth.sessions]\nc = 1\n", "auth.sessions.c", int64(3), "[[auth.list]]\nc = 1\n[auth.list.sessions]\nc = 2\n[auth.sessions]\nc = 3\n"},
		"its own name inside": {"[a]\n[a.a]\nb = 1\n", "a.b", true, "[a]\nb = true\n[a.a]\nb = 1\n"},
		"names in quotes":     {"", "a b.é.\"", "x", "[\"a b\".\"é\"]\n\"\\\"\" = \"x\"\n"},
		"inline table away":   {"[a]\nb = {c = 1} # d\n", "a.b", true, "[a]\nb = true # d\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			setting := ucp.Setting{Path: strings.Split(test.path, "."), Value: test.value}
			got, err := ucp.Set([]byte(test.doc), setting)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			again, err := ucp.Set(got, setting)
			if err != nil || &again[0] != &got[0] {
				t.Errorf("a second edit changes something: %v\n%s", err, again)
			}
		})
	}
}

// FuzzSet: whatever valid TOML comes in, the result says the same but for one
// value, and setting it again changes nothing.
func FuzzSet(f *testing.F) {
	f.Add(doubles.DefaultConfig(false), "trust_configuration.require_signature_from", uint8(3), "acme/qa")
	f.Add(doubles.DefaultConfig(true), "auth.sessions.per_user_limit", uint8(1), "")
	f.Add([]byte("a = {b={c=1},d=[1,{b='}'}],}"), "a.b.d", uint8(2), "x\"\\\n")
	f.Add([]byte("a.b.c = false\r\n[d]"), "a.b.e", uint8(0), "")
	f.Add([]byte("[a]\nb=[#]\n1979-05-27 07:32:00,]"), "a.b", uint8(3), "é")
	f.Add([]byte("\"a\".x=nan\n[[c.b]]\n[c.b.d]"), "a.\u2028", uint8(2), "\u2028")
	f.Add([]byte("[[a.b]]\n[x]\na.c = 1"), "a.c", uint8(1), "")
	f.Fuzz(func(t *testing.T, doc []byte, path string, kind uint8, text string) {
		setting := ucp.Setting{Path: strings.Split(path, "."), Value: []any{true, int64(len(text)), text, []string{text}}[kind%4]}
		original := bytes.Clone(doc)
		var want map[string]any
		valid := toml.Unmarshal(doc, &want) == nil
		got, err := ucp.Set(doc, setting)
		if !bytes.Equal(doc, original) {
			t.Fatal("the document given was written to")
		}
		if err != nil {
			if got != nil {
				t.Fatal("an error came with a document")
			}
			if valid && len(setting.Path) > 1 && settable(want, setting.Path) && utf8.ValidString(path) && utf8.ValidString(text) {
				t.Fatalf("a valid document was refused: %v", err)
			}
			return
		}
		if !valid {
			t.Fatal("no TOML was accepted")
		}
		var after map[string]any
		if err := toml.Unmarshal(got, &after); err != nil {
			t.Fatalf("the result is no TOML: %v", err)
		}
		if diff := cmp.Diff(with(want, setting), after, cmp.Comparer(sameFloat)); diff != "" {
			t.Fatalf("the result says something else (-want +got):\n%s", diff)
		}
		again, err := ucp.Set(got, setting)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("a second edit changes something: %v", err)
		}
	})
}

// with is a decoded document in which a setting is made.
func with(doc map[string]any, s ucp.Setting) map[string]any {
	if doc == nil {
		doc = map[string]any{}
	}
	section := doc
	for _, name := range s.Path[:len(s.Path)-1] {
		inner, ok := section[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			section[name] = inner
		}
		section = inner
	}
	value := s.Value
	if list, ok := value.([]string); ok {
		value = []any{list[0]}
	}
	section[s.Path[len(s.Path)-1]] = value
	return doc
}

// settable reports whether there is a place for a key: only tables stand on the
// way to it, and it is not written as a table itself, whose lines no value can
// replace.
func settable(doc map[string]any, path []string) bool {
	for i, name := range path {
		value, there := doc[name]
		if !there {
			return true
		}
		table, isTable := value.(map[string]any)
		if i < len(path)-1 && !isTable {
			return false
		}
		if i == len(path)-1 {
			_, isList := value.([]any)
			return !isTable && !isList
		}
		doc = table
	}
	return true
}

func sameFloat(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
