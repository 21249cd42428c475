package enforce

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddAndRemovePlugin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ raw, want, removed string }{
		"none":      {"", "{\n  \"authorization-plugins\": [\"docker-stig-authz\"]\n}\n", "{\n}\n"},
		"empty":     {"{}", `{"authorization-plugins": ["docker-stig-authz"]}`, "{}"},
		"one line":  {`{"debug": true}`, `{"authorization-plugins": ["docker-stig-authz"], "debug": true}`, `{"debug": true}`},
		"spaces":    {"{ \"a\":\n 1 }\n", "{ \"authorization-plugins\": [\"docker-stig-authz\"], \"a\":\n 1 }\n", "{ \"a\":\n 1 }\n"},
		"gap":       {"{\n\n  \"a\": 1}", "{\n\n  \"authorization-plugins\": [\"docker-stig-authz\"],\n  \"a\": 1}", "{\n\n  \"a\": 1}"},
		"lines":     {"{\r\n\t\"debug\" : true ,\r\n\t\"x\":{}\r\n}\r\n", "{\r\n\t\"authorization-plugins\": [\"docker-stig-authz\"],\r\n\t\"debug\" : true ,\r\n\t\"x\":{}\r\n}\r\n", "{\r\n\t\"debug\" : true ,\r\n\t\"x\":{}\r\n}\r\n"},
		"others":    {`{"authorization-plugins":["casbin"]}`, `{"authorization-plugins":["casbin", "docker-stig-authz"]}`, `{"authorization-plugins":["casbin"]}`},
		"no others": {`{"a":1,"authorization-plugins":[ ]}`, `{"a":1,"authorization-plugins":["docker-stig-authz"]}`, `{"a":1}`},
		"is there":  {`{"authorization-plugins":["docker-stig-authz","b"],"a":1}`, `{"authorization-plugins":["docker-stig-authz","b"],"a":1}`, `{"authorization-plugins":["b"],"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := addPlugin([]byte(test.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("added, -want +got:\n%s", diff)
			}
			again, err := addPlugin(got)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("adding it again gives %s (%v)", again, err)
			}
			removed, err := removePlugin(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.removed, string(removed)); diff != "" {
				t.Errorf("removed, -want +got:\n%s", diff)
			}
		})
	}
}

func TestDaemonJSONThatIsNone(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"[]", "{", `{"a":1,}`, `{"a":1} // x`, `{"authorization-plugins":"x"}`, `{"authorization-plugins":[],"authorization-plugins":[]}`} {
		if got, err := addPlugin([]byte(raw)); err == nil {
			t.Errorf("%s became %s", raw, got)
		}
	}
}

func TestPolicyEdits(t *testing.T) {
	t.Parallel()
	const raw = "// ours {\n{\n  // how\n  \"content-trust\": {\"mode\": /*m*/ \"permissive\",},\n}\n"
	enforced, err := setMode([]byte(raw), "enforced")
	if err != nil || string(enforced) != strings.Replace(raw, "permissive", "enforced", 1) {
		t.Errorf("got %s, %v", enforced, err)
	}
	moved, err := setEngine(enforced, "unix:///x")
	if err != nil || !strings.Contains(string(moved), `"engine": "unix:///x",`) {
		t.Errorf("got %s, %v", moved, err)
	}
	back, err := removeEngine(moved)
	if err != nil || !bytes.Equal(back, enforced) {
		t.Errorf("got %s, want %s (%v)", back, enforced, err)
	}
	again, err := setEngine(moved, "unix:///y")
	if err != nil || string(again) != strings.Replace(string(moved), "///x", "///y", 1) {
		t.Errorf("got %s, %v", again, err)
	}
}

// Whatever a daemon.json is, adding keeps every other value, and removing
// what was added keeps them too.
func FuzzPlugin(f *testing.F) {
	for _, seed := range []string{"{}", `{"a":[1,{"b":null}]}`, `{"authorization-plugins":["x"]}`, "{\n \"a\" : 1\n}", `{"authorization-plugins":[]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		added, err := addPlugin(raw)
		if err != nil {
			return
		}
		removed, err := removePlugin(added)
		if err != nil {
			t.Fatalf("%q: %v", added, err)
		}
		want, got := values(t, raw), values(t, removed)
		for _, m := range []map[string]json.RawMessage{want, got, values(t, added)} {
			delete(m, pluginsKey)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", raw, diff)
		}
	})
}

func values(t *testing.T, raw []byte) map[string]json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return m
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return m
}
