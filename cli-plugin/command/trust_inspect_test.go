package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func days(n int) time.Time { return noon.AddDate(0, 0, n) }

func key(letter string, signed bool) notary.Key {
	return notary.Key{ID: strings.Repeat(letter, 64), Algorithm: "ecdsa", Signed: signed}
}

func inspected(t *testing.T, name string, found notary.Repository) inspection {
	t.Helper()
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return inspection{name: name, ref: ref, scope: "example.com/**", servers: []string{"https://a.example.com", "https://b.example.com"}, found: found, err: found.Err}
}

func sample() notary.Repository {
	root := key("a", true)
	root.CertificateID = strings.Repeat("b", 64)
	return notary.Repository{
		GUN: "example.com/app", Source: trust.Server, Until: days(13),
		Roles: []notary.Role{
			{Name: "root", Version: 2, Expires: days(3650), Threshold: 1, Keys: []notary.Key{root}},
			{Name: "targets", Version: 7, Expires: days(900), Threshold: 1, Keys: []notary.Key{key("c", true)}, Tags: 1},
			{Name: "snapshot", Version: 9, Expires: days(900), Threshold: 1, Keys: []notary.Key{key("d", true)}},
			{Name: "timestamp", Version: 40, Expires: days(13), Threshold: 1, Keys: []notary.Key{key("e", true)}},
			{Name: "targets/qa", Version: 3, Expires: days(9), Threshold: 2, Keys: []notary.Key{key("1", true), key("2", true), key("3", false)}, Paths: []string{"1.", "2."}, Tags: 1},
			{Name: "targets/old", Threshold: 1, Keys: []notary.Key{key("4", false)}, Err: &trust.Error{Reason: trust.Expired, Role: "targets/old", Err: errors.New("it was good until 2026-01-01")}},
		},
		Tags: []notary.Tag{
			{Name: "1.0", Signed: trust.Signed{Digest: digest.FromString("one"), Method: trust.DCT, Signers: []string{"qa"}, Expires: days(9)}},
			{Name: "2.0", Err: &trust.Error{Reason: trust.Unsigned, Role: "targets/qa", Err: errors.New("signer \"qa\" has not signed tag 2.0")}},
		},
	}
}

const sampleTable = `example.com/app
  Verdict  accepted: 1 of 2 tags are vouched for
  Scope    example.com/**
  Source   server
  Servers  https://a.example.com, https://b.example.com
  Starts are refused from 2026-03-14 12:00 UTC (in 13 days), when timestamp expires, unless a trust server answers then: it renews the timestamp.
  WARNING: targets/qa expires 2026-03-10 12:00 UTC (in 9 days): have qa sign again (docker stig trust sign)

  ROLE         VERSION  THRESHOLD  SIGNED BY    TAGS  EXPIRES                             MAY SIGN
  root         2        1          1 of 1 keys  -     2036-02-27 12:00 UTC (in 10 years)  -
  targets      7        1          1 of 1 keys  1     2028-08-17 12:00 UTC (in 2 years)   all tags
  snapshot     9        1          1 of 1 keys  -     2028-08-17 12:00 UTC (in 2 years)   -
  timestamp    40       1          1 of 1 keys  -     2026-03-14 12:00 UTC (in 13 days)   -
  targets/qa   3        2          2 of 3 keys  1     2026-03-10 12:00 UTC (in 9 days)    "1."…, "2."…
  targets/old  -        1          0 of 1 keys  0     -                                   no tags
  targets/old cannot be used: expired, role targets/old: it was good until 2026-01-01

  KEYS THAT MAY SIGN
  root
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  its certificate
  targets
    cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
  snapshot
    dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
  timestamp
    eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee
  targets/qa, signer qa
    1111111111111111111111111111111111111111111111111111111111111111
    2222222222222222222222222222222222222222222222222222222222222222
    3333333333333333333333333333333333333333333333333333333333333333  has not signed
  targets/old, signer old
    4444444444444444444444444444444444444444444444444444444444444444  has not signed

  VOUCHED FOR  DIGEST                                                                   SIGNERS
  1.0          sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed  qa

  REFUSED  REASON
  2.0      unsigned, role targets/qa: signer "qa" has not signed tag 2.0
`

func TestInspectionTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := writeInspectionTable(&b, []inspection{inspected(t, "example.com/app", sample())}, noon, false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleTable, b.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// TestManyTags holds the table to a length that a person can read, and the
// JSON to completeness.
func TestManyTags(t *testing.T) {
	t.Parallel()
	const many = 1000
	found := sample()
	found.Tags = nil
	for n := range many {
		found.Tags = append(found.Tags, notary.Tag{Name: fmt.Sprintf("t%04d", n), Signed: trust.Signed{Digest: digest.FromString("x")}})
	}
	list := []inspection{inspected(t, "example.com/app", found)}
	tests := []struct {
		all  bool
		rows int
		rest bool
	}{
		{all: false, rows: maxRows, rest: true},
		{all: true, rows: many, rest: false},
	}
	for _, test := range tests {
		var b strings.Builder
		if err := writeInspectionTable(&b, list, noon, test.all); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.String(), "\n  t0"); got != test.rows {
			t.Errorf("all %v: %d tags are shown, want %d", test.all, got, test.rows)
		}
		if got := strings.Contains(b.String(), "… and 980 more tags: --all shows them"); got != test.rest {
			t.Errorf("all %v: says how to see the rest: %v", test.all, got)
		}
	}
	var b strings.Builder
	if err := writeInspectionJSON(&b, list, noon); err != nil {
		t.Fatal(err)
	}
	var out []jsonInspection
	if err := json.Unmarshal([]byte(b.String()), &out); err != nil {
		t.Fatal(err)
	}
	if len(out[0].Tags) != many || len(out[0].SignedTags) != many {
		t.Errorf("JSON has %d and %d tags, want %d", len(out[0].Tags), len(out[0].SignedTags), many)
	}
}

func TestInspectionJSON(t *testing.T) {
	t.Parallel()
	i := inspected(t, "example.com/app", sample())
	got := i.json(noon)
	want := jsonInspection{
		SchemaVersion: 1, Name: "example.com/app", Repository: "example.com/app",
		SignedTags:         []signedTag{{"1.0", digest.FromString("one").Encoded(), []string{"qa"}}},
		Signers:            []jsonSigner{{"qa", []jsonID{{strings.Repeat("1", 64)}, {strings.Repeat("2", 64)}, {strings.Repeat("3", 64)}}}, {"old", []jsonID{{strings.Repeat("4", 64)}}}},
		AdministrativeKeys: []jsonSigner{{"Root", []jsonID{{strings.Repeat("b", 64)}}}, {"Repository", []jsonID{{strings.Repeat("c", 64)}}}},
		Verdict:            "accepted", Scope: "example.com/**", Source: "server", Servers: i.servers,
		RefusedFrom: "2026-03-14T12:00:00Z", NextExpiry: &jsonExpiry{"targets/qa", "2026-03-10T12:00:00Z"},
		Warnings: []string{"targets/qa expires 2026-03-10 12:00 UTC (in 9 days): have qa sign again (docker stig trust sign)"},
	}
	wantTags := []jsonTag{
		{Name: "1.0", Verdict: "signed", Digest: string(digest.FromString("one")), Signers: []string{"qa"}, Expires: "2026-03-10T12:00:00Z"},
		{Name: "2.0", Verdict: "refused", Reason: "unsigned", Role: "targets/qa", Error: i.found.Tags[1].Err.Error()},
	}
	if diff := cmp.Diff(wantTags, got.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if len(got.Roles) != 6 || got.Roles[4].Signer != "qa" || got.Roles[4].Threshold != 2 || got.Roles[5].Error == "" {
		t.Errorf("roles are %+v", got.Roles)
	}
	got.Roles, got.Tags = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRefusedFrom(t *testing.T) {
	t.Parallel()
	timestamp := func(n int) []notary.Role { return []notary.Role{{Name: "timestamp", Expires: days(n)}} }
	tests := map[string]struct {
		found    notary.Repository
		want     string
		warnings int
	}{
		"never":           {notary.Repository{}, "", 0},
		"server":          {notary.Repository{Source: trust.Server, Until: days(3), Roles: timestamp(3)}, "from 2026-03-04 12:00 UTC (in 3 days), when timestamp expires, unless a trust server answers then", 0},
		"cache":           {notary.Repository{Source: trust.Cache, Until: days(3), Roles: timestamp(3)}, "before that, see that a trust server answers", 1},
		"bundle":          {notary.Repository{Source: trust.Bundle, Until: days(3), Roles: timestamp(3)}, "import a newer bundle", 1},
		"allowed expired": {notary.Repository{Source: trust.Bundle, Until: days(60), Roles: timestamp(-30)}, "(in 60 days), when the time that allow-expired in the policy gives is over", 1},
		"over":            {notary.Repository{Source: trust.Bundle, Until: days(-2), Roles: timestamp(-2), Err: &trust.Error{Reason: trust.Expired}}, "Starts have been refused since 2026-02-27 12:00 UTC (2 days ago)", 1},
		"root":            {notary.Repository{Source: trust.Server, Until: days(5), Roles: []notary.Role{{Name: "root", Expires: days(5)}}}, "when root expires: before that, have whoever holds the root key", 1},
		"just outside":    {notary.Repository{Source: trust.Server, Until: days(15), Roles: []notary.Role{{Name: "targets", Expires: days(15)}}}, "when targets expires", 0},
		"just inside":     {notary.Repository{Source: trust.Server, Until: days(14), Roles: []notary.Role{{Name: "targets", Expires: days(14)}}}, "when targets expires", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := refusedFrom(test.found, noon)
			if !strings.Contains(got, test.want) || (test.want == "") != (got == "") {
				t.Errorf("%q, want it to have %q", got, test.want)
			}
			if list := warnings(test.found, noon); len(list) != test.warnings {
				t.Errorf("warnings %q, want %d", list, test.warnings)
			}
		})
	}
}

func TestAway(t *testing.T) {
	t.Parallel()
	tests := map[time.Duration]string{
		0:                         "in less than 2 minutes",
		-time.Minute:              "less than 2 minutes ago",
		5 * time.Minute:           "in 5 minutes",
		2 * time.Hour:             "in 2 hours",
		47 * time.Hour:            "in 47 hours",
		-48 * time.Hour:           "2 days ago",
		13*24*time.Hour + 1:       "in 13 days",
		729 * 24 * time.Hour:      "in 729 days",
		10 * 366 * 24 * time.Hour: "in 10 years",
	}
	for d, want := range tests {
		if got := away(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
