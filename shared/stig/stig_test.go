package stig

import (
	"encoding/json"
	"testing"
)

func TestWorst(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		statuses []Status
		want     Status
	}{
		{nil, NotReviewed},
		{[]Status{NotAFinding}, NotAFinding},
		{[]Status{NotApplicable}, NotApplicable},
		{[]Status{NotApplicable, NotAFinding}, NotAFinding},
		{[]Status{NotAFinding, NotReviewed}, NotReviewed},
		{[]Status{NotReviewed, NotApplicable}, NotReviewed},
		{[]Status{NotReviewed, Open, NotAFinding}, Open},
	} {
		var findings []Finding
		for _, status := range test.statuses {
			findings = append(findings, Finding{Status: status})
		}
		if got := Worst(findings); got != test.want {
			t.Errorf("%v: got %v, want %v", test.statuses, got, test.want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status]string{NotReviewed: "Not_Reviewed", NotApplicable: "Not_Applicable", NotAFinding: "NotAFinding", Open: "Open"} {
		text, err := json.Marshal(status)
		if err != nil || string(text) != `"`+want+`"` {
			t.Errorf("got %s, %v", text, err)
		}
		var back Status
		if err := json.Unmarshal(text, &back); err != nil || back != status {
			t.Errorf("%s read back as %v, %v", text, back, err)
		}
	}
	if err := new(Status).UnmarshalText([]byte("open")); err == nil {
		t.Error("a word that is no status was read")
	}
	for _, word := range []string{"CAT II", "cat ii", "II", "2", "medium"} {
		if got, err := ParseSeverity(word); err != nil || got != CATII {
			t.Errorf("%q: got %v, %v", word, got, err)
		}
	}
	if _, err := ParseSeverity("IV"); err == nil {
		t.Error("there is no CAT IV")
	}
	if new(Finding).Status != NotReviewed {
		t.Error("a finding that nobody filled in claims something")
	}
}
