package ucp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		meant, got string
		want       []string
	}{
		"key dropped":   {"a = 1\n[b]\nc = \"x\"\n", "# written anew\n[b]\n  c = 'x'\n", []string{"a"}},
		"equal":         {"[b]\nc = \"x\"\n", "# written anew\nb.c = 'x'\n", nil},
		"value":         {"[b]\nc = 1\nd = 2\n", "[b]\nc = 2\nd = 2\n", []string{"b.c"}},
		"table dropped": {"[auth.ldap]\nx = 1\n", "[auth]\n", []string{"auth.ldap"}},
		"table added":   {"[auth]\n", "[auth]\n[auth.ldap]\nx = 1\n", []string{"auth.ldap"}},
		"other type":    {"b = 1\n", "[b]\n", []string{"b"}},
		"list order":    {"b = [1, 2]\n", "b = [2, 1]\n", []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Differences([]byte(test.meant), []byte(test.got))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := Differences([]byte("a = 1"), []byte("a = ")); err == nil {
		t.Error("a document that does not parse was compared")
	}
}
