package command

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/report"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/google/go-cmp/cmp"
)

func decoded(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestRulesSpeakAsChecklistsDo holds that a requirement has the same fields
// in both answers for a program.
func TestRulesSpeakAsChecklistsDo(t *testing.T) {
	t.Parallel()
	guide, requirements, err := selectRequirements([]string{string(stig.TrustEnforced)})
	if err != nil {
		t.Fatal(err)
	}
	var checked, explained bytes.Buffer
	format := report.JSON
	checklist := scan.Checklist{Benchmark: guide, Results: []scan.Result{{Requirement: requirements[0]}}}
	if err := report.Write(&checked, format, checklist, report.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := writeRulesJSON(&explained, guide, requirements, nil); err != nil {
		t.Fatal(err)
	}
	list, rules := decoded(t, checked.Bytes()), decoded(t, explained.Bytes())
	result, _ := list["results"].([]any)[0].(map[string]any)
	rule, _ := rules["requirements"].([]any)[0].(map[string]any)
	for _, pair := range []struct {
		theirs, ours any
		fields       []string
	}{
		{list["benchmark"], rules["benchmark"], []string{"id", "title", "release", "date"}},
		{result, rule, []string{"vulnId", "stigId", "ruleId", "severity", "title", "ccis"}},
	} {
		theirs, ours := pair.theirs.(map[string]any), pair.ours.(map[string]any)
		for _, field := range pair.fields {
			if theirs[field] == nil || ours[field] == nil {
				t.Errorf("%s is not in both: %v, %v", field, theirs[field], ours[field])
			}
		}
		for field := range ours {
			if _, both := theirs[field]; !both {
				continue
			}
			if diff := cmp.Diff(theirs[field], ours[field]); diff != "" {
				t.Errorf("%s: -check +rules:\n%s", field, diff)
			}
		}
	}
}

func TestNarrowing(t *testing.T) {
	t.Parallel()
	_, all, err := selectRequirements(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		n    narrowing
		want int
	}{
		{narrowing{}, 101},
		{narrowing{components: []string{"engine"}}, 41},
		{narrowing{components: []string{"ucp", "dtr"}}, 25},
		{narrowing{severities: []string{"CAT I"}}, 24},
		{narrowing{severities: []string{"high", "3"}}, 29},
		{narrowing{components: []string{"host"}, severities: []string{"i"}}, 14},
		{narrowing{components: []string{"org"}, severities: []string{"III"}}, 0},
	} {
		got, err := test.n.of(all)
		if err != nil || len(got) != test.want {
			t.Errorf("%+v: got %d, %v, want %d", test.n, len(got), err, test.want)
		}
	}
	for _, n := range []narrowing{{components: []string{"Engine"}}, {components: []string{""}}, {severities: []string{"0"}}} {
		if got, err := n.of(all); err == nil {
			t.Errorf("%+v: got %d", n, len(got))
		}
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 5, ""},
		{"a bc def", 4, "a bc\ndef"},
		{"a bc def", 3, "a\nbc\ndef"},
		{"toolong b", 3, "toolong\nb"},
		{"ää ö", 4, "ää ö"},
		{"  a \n b ", 9, "a b"},
	} {
		if got := fill(test.text, test.width); got != test.want {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}

// TestManualCannotSteerTheTerminal holds for DISA's texts, which come from
// outside.
func TestManualCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	_, requirements, err := selectRequirements([]string{string(stig.TrustEnforced)})
	if err != nil {
		t.Fatal(err)
	}
	manual := &benchmark.Guide{Version: "2", ReleaseInfo: "Release: 1 Benchmark Date: 23 Apr 2021", Rules: map[stig.ID]benchmark.Texts{
		stig.TrustEnforced: {VulnID: "V-235847", Title: "a\u009b2Jb\u202ec\td\nlast", Discussion: "x\x1b]0;y\a"},
	}}
	var page bytes.Buffer
	if err := writeRulesPages(&page, requirements, manual); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"DISA's text, V2R1\n", "    a2Jbc\td\n    last\n", "    x]0;y\n"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q in %q", want, page.String())
		}
	}
}
