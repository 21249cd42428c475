package change

import (
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
			if diff := cmp.Diff(test.want, Diff("f", "now", "planned", []byte(test.before), []byte(test.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
