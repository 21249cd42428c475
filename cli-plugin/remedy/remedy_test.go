package remedy

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/hosttest"
	"github.com/docker-stig/docker-stig/cli-plugin/rules"
	"github.com/docker-stig/docker-stig/shared/stig"
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
			if diff := cmp.Diff(test.want, Diff("f", []byte(test.before), []byte(test.after))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMake(t *testing.T) {
	t.Parallel()
	b, err := benchmark.DockerEnterprise()
	if err != nil {
		t.Fatal(err)
	}
	var signed []benchmark.Requirement
	for _, id := range []stig.ID{stig.VendorSigned, stig.RegistryTags, stig.TrustEnforced} {
		r, ok := b.Find(string(id))
		if !ok {
			t.Fatalf("no %s", id)
		}
		signed = append(signed, r)
	}
	plan, err := Make(t.Context(), &host.Host{Engine: &hosttest.Engine{}}, signed)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() || len(plan.Manual) != 1 || len(plan.Warnings) != 2 {
		t.Errorf("got %+v: want one requirement that needs a person and two that do not apply", plan)
	}
	var out bytes.Buffer
	if err := plan.Show(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"V-235788 (DKER-EE-001770) needs a person", "V-235847 does not apply", "nothing to change"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, out.String())
		}
	}
	if _, err := Make(t.Context(), &host.Host{Engine: &hosttest.Engine{Err: errors.New("gone")}}, b.Requirements); err == nil {
		t.Error("a plan was made without knowing the host")
	}
}

func TestApplyStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	var done []string
	change := func(name string, err error) rules.Change {
		return rules.Change{Subject: name, Serves: []stig.ID{"X"}, Apply: func(context.Context) error {
			done = append(done, name)
			return err
		}}
	}
	plan := Plan{Changes: []rules.Change{change("one", nil), change("two", errors.New("broken")), change("three", nil)}}
	err := plan.Apply(t.Context())
	if err == nil || err.Error() != "two: broken" || strings.Join(done, " ") != "one two" {
		t.Errorf("got %v after %v", err, done)
	}
}
