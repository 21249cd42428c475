package site

import (
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
)

const answered = `
asset: {host-name: dkr01, fqdn: dkr01.example.mil}
answers:
  DKER-EE-002410:
    status: NotAFinding
    comment: see SSP, chapter 4
    by: J. Doe
    expires: 2027-06-30
    when: Not_Reviewed
waivers:
  - rule: DKER-EE-002010
    objects: ["container legacy-*"]
    reason: replaced in June
    approver: ISSM
    ticket: RA-17
    expires: "2027-06-30"
assessed-in: {components: [ucp, dtr], checklist: cluster.ckl, by: J. Doe}
`

func TestAnswers(t *testing.T) {
	t.Parallel()
	got, err := Parse("site.yaml", []byte(answered))
	if err != nil {
		t.Fatal(err)
	}
	a := got.Answers["DKER-EE-002410"]
	if a.Status != stig.NotAFinding || a.Expires.String() != "2027-06-30" || a.By != "J. Doe" {
		t.Errorf("answer %+v", a)
	}
	w := got.Waivers[0]
	if !w.For("container legacy-web") || !w.For("container legacy-web (service shop_web)") || w.For("container web") || w.Expires.String() != "2027-06-30" {
		t.Errorf("waiver %+v", w)
	}
	for at, want := range map[string]bool{"2027-06-30T23:59:59Z": false, "2027-07-01T00:00:00Z": true} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Expires.Past(now); got != want {
			t.Errorf("%s: past %v, want %v", at, got, want)
		}
	}
	if (Date{}).Past(time.Now()) {
		t.Error("what has no end is over")
	}
}

func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"no status":       {"answers:\n  DKER-EE-002410: {comment: x, by: y}\n", "site.yaml:2:19: an answer needs a status"},
		"wrong status":    {"answers:\n  DKER-EE-002410: {status: open, comment: x, by: y}\n", "site.yaml:2:28: \"open\" is no checklist status: want Open"},
		"nobody":          {"answers:\n  DKER-EE-002410: {status: Open, comment: x}\n", "an answer needs by"},
		"no ID":           {"answers:\n  V-235824: {status: Open, comment: x, by: y}\n", "is no STIG ID"},
		"no date":         {"answers:\n  DKER-EE-002410: {status: Open, comment: x, by: y, expires: soon}\n", "site.yaml:2:62: \"soon\" is no date: want YYYY-MM-DD"},
		"no day":          {"waivers: [{rule: DKER-EE-002010, reason: x, approver: y, expires: 2027-02-30}]\n", "is no date"},
		"no hash":         {"answers:\n  DKER-EE-002410: {status: Open, comment: x, by: y, facts: abc}\n", "want the hash"},
		"endless waiver":  {"waivers: [{rule: DKER-EE-002010, reason: x, approver: y}]\n", "a waiver needs reason, approver and expires"},
		"bad pattern":     {"waivers: [{rule: DKER-EE-002010, objects: ['['], reason: x, approver: y, expires: 2027-01-01}]\n", "is no pattern"},
		"days":            {"swarm: {node-cert-expiry: 90d}\n", "site.yaml:1:27: \"90d\" is no lifetime"},
		"no such way":     {"containers: {system: maybe}\n", "site.yaml:1:22: \"maybe\" is no way to judge"},
		"empty citation":  {"assessed-in: {components: [ucp]}\n", "assessed-in needs"},
		"citing the host": {"assessed-in: {components: [host], checklist: x, by: y}\n", "not assessed for a cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Parse("site.yaml", []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
