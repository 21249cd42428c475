package change

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ before, after, want string }{
		"nothing": {"a\n", "a\n", "--- f (now)\n+++ f (planned)\n"},
		"one line, no context": {
			"secret = 1\nb = 1\nsecret = 2\n", "secret = 1\nb = 2\nsecret = 2\n",
			"--- f (now)\n+++ f (planned)\n@@ -2,1 +2,1 @@\n-b = 1\n+b = 2\n",
		},
		"two places": {
			"a\nx\nb\n", "c\nx\nd\n",
			"--- f (now)\n+++ f (planned)\n@@ -1,1 +1,1 @@\n-a\n+c\n@@ -3,1 +3,1 @@\n-b\n+d\n",
		},
		"added at the end":   {"a\n", "a\nb\nc\n", "--- f (now)\n+++ f (planned)\n@@ -2,0 +2,2 @@\n+b\n+c\n"},
		"carriage returns":   {"a\r\n", "b\r\n", "--- f (now)\n+++ f (planned)\n@@ -1,1 +1,1 @@\n-a\n+b\n"},
		"no newline at last": {"a", "b", "--- f (now)\n+++ f (planned)\n@@ -1,1 +1,1 @@\n-a\n+b\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, Diff(Text, "f", "now", "planned", []byte(test.before), []byte(test.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDiffOfMembers wants no value but of what differs.
func TestDiffOfMembers(t *testing.T) {
	t.Parallel()
	const head = "--- f (now)\n+++ f (planned)\n"
	for name, test := range map[string]struct {
		form                Form
		before, after, want string
	}{
		"one member a line": {
			JSON, "{\n  \"proxy\": \"u:secret@p\",\n  \"debug\": true\n}\n", "{\n  \"proxy\": \"u:secret@p\",\n  \"debug\": false\n}\n",
			"@@ -3,1 +3,1 @@\n-  \"debug\": true\n+  \"debug\": false\n",
		},
		"a new file": {JSON, "", "{\n  \"debug\": false\n}\n", "@@ -1,0 +1,3 @@\n+{\n+  \"debug\": false\n+}\n"},
		"all in a line": {
			JSON, `{"proxies": {"http-proxy": "u:secret@p"}, "debug": true}`, `{"userland-proxy": false, "proxies": {"http-proxy": "u:secret@p"}}`,
			"@@ / @@\n-  debug = true\n+  userland-proxy = false\n",
		},
		"a comma goes": {
			JSON, "{\n  \"proxy\": \"secret\",\n  \"log-opts\": {\"max-size\": \"1m\"}\n}\n", "{\n  \"proxy\": \"secret\"\n}\n",
			"@@ /log-opts @@\n-  max-size = \"1m\"\n",
		},
		"the end of a longer one": {
			JSON, "{\n  \"a\": [\n \"secret\"], \"b\": 1\n}\n", "{\n  \"a\": [\n \"secret\"], \"b\": 2\n}\n",
			"@@ / @@\n-  b = 1\n+  b = 2\n",
		},
		"laid out anew": {
			TOML, "[auth]\n  password = 'secret'\n[trust]\n  on = false\n", "[trust]\non = true\nfrom = ['a/b', 'c']\n[auth]\npassword = \"secret\"\n",
			"@@ /trust @@\n+  from = [\"a/b\",\"c\"]\n-  on = false\n+  on = true\n",
		},
		"an inline table": {TOML, "auth = {a = 'secret', b = 1}\n", "auth = {a = 'secret', b = 2}\n", "@@ /auth @@\n-  b = 1\n+  b = 2\n"},
		"neither":         {JSON, "secret", "{}", "It differs, and cannot be read to say where.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(head+test.want, Diff(test.form, "f", "now", "planned", []byte(test.before), []byte(test.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDiffering(t *testing.T) {
	t.Parallel()
	got, err := Differing(JSON, []byte(`{"a": 1, "b": {"c/d": "secret", "e": [1, 2]}, "f": 0}`), []byte(`{"b": {"e": [1,2], "c/d": "other"}, "a": 1, "g": {}}`))
	if diff := cmp.Diff([]string{"/b/c~1d", "/f", "/g"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := Differing(TOML, nil, []byte("a = ")); err == nil {
		t.Error("what is no TOML was read")
	}
}

// FuzzDiff holds the shape of what others wrote against a panic, and against
// showing a member that does not differ.
func FuzzDiff(f *testing.F) {
	f.Add("{\"a\": \"SECRET\", \"b\": 1}", "{\"b\": 2, \"a\": \"SECRET\"}")
	f.Add("{\n\"a\": \"SECRET\"\n}", "{\n\"b\": 1, \"a\": \"SECRET\"\n}")
	f.Add("a = 'SECRET'", "b = 1\na = 'SECRET'")
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, form := range []Form{JSON, TOML} {
			shown := Diff(form, "f", "now", "planned", []byte(before), []byte(after))
			from, err := leavesOf(form, []byte(before))
			to, otherErr := leavesOf(form, []byte(after))
			if err != nil || otherErr != nil || !strings.Contains(shown, "SECRET") {
				continue
			}
			if !slices.ContainsFunc(slices.Concat(from.beyond(to), to.beyond(from)), func(m leaf) bool { return strings.Contains(m.pointer()+m.value, "SECRET") }) {
				t.Errorf("%s: %q and %q: %s", form, before, after, shown)
			}
		}
	})
}

// TestDiffHidesPasswords: the lines that differ may hold some, or be told apart
// by them.
func TestDiffHidesPasswords(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		"deb https://me:a@b?#@h/x y z\n":            "-deb https://<NOT SHOWN>@h/x y z\n",
		"URIs: https://secret@h/x https://:p@h/y\n": "-URIs: https://<NOT SHOWN>@h/x https://<NOT SHOWN>@h/y\n",
		"password=secret words\n":                   "-password=<NOT SHOWN>\n",
		"  Proxy_Password : secret\n":               "-  Proxy_Password :<NOT SHOWN>\n",
		"-w /etc/passwd -p wa\n":                    "--w /etc/passwd -p wa\n",
		"mail=me@example.com https://h/@x\n":        "-mail=me@example.com https://h/@x\n",
	} {
		if got := Diff(Text, "f", "now", "planned", []byte(before), nil); !strings.HasSuffix(got, "@@\n"+want) {
			t.Errorf("%q:\n%s", before, got)
		}
	}
}
