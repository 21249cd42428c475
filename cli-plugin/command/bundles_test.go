package command

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPlatformsThatAreKept(t *testing.T) {
	t.Parallel()
	entries := []*ocispec.Platform{
		{OS: "linux", Architecture: "amd64"},
		{OS: "linux", Architecture: "arm", Variant: "v6"},
		{OS: "linux", Architecture: "arm", Variant: "v7"},
		{OS: "linux", Architecture: "arm64"},
		{OS: "windows", Architecture: "amd64"},
		nil, // an entry that names none
	}
	for name, test := range map[string]struct {
		asked []string
		want  []int // of entries
	}{
		"all":                           {nil, []int{0, 1, 2, 3, 4, 5}},
		"one":                           {[]string{"linux/amd64"}, []int{0, 5}},
		"two":                           {[]string{"linux/amd64", "windows/amd64"}, []int{0, 4, 5}},
		"any variant":                   {[]string{"linux/arm"}, []int{1, 2, 5}},
		"one variant":                   {[]string{"linux/arm/v6"}, []int{1, 5}},
		"variant that goes unsaid":      {[]string{"linux/arm64/v8"}, []int{3, 5}},
		"variant that nobody has":       {[]string{"linux/arm64/v9"}, []int{5}},
		"system that nobody has":        {[]string{"plan9/amd64"}, []int{5}},
		"variant of the amd64 baseline": {[]string{"linux/amd64/v1"}, []int{0, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, err := parsePlatforms(test.asked)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for i, entry := range entries {
				if list.keep(entry) {
					got = append(got, i)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"", "linux", "linux/", "/amd64", "linux//v7", "linux/arm/v7/x"} {
		if _, err := parsePlatforms([]string{bad}); err == nil {
			t.Errorf("%q is taken for a platform", bad)
		}
	}
}

// TestProlonging: allow-expired is offered only where it helps.
func TestProlonging(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	roles := func(root, timestamp time.Time) []notary.Role {
		return []notary.Role{{Name: "root", Expires: root}, {Name: "timestamp", Expires: timestamp}}
	}
	for name, test := range map[string]struct {
		repository notary.Repository
		want, not  string
	}{
		"timestamp":          {notary.Repository{GUN: "a.example/b", Until: end, Roles: roles(end.AddDate(1, 0, 0), end)}, `"allow-expired": {"a.example/b": "30d"}`, "root"},
		"allowed some time":  {notary.Repository{GUN: "a.example/b", Until: end, Roles: roles(end.AddDate(1, 0, 0), end.AddDate(0, 0, -30))}, "allow-expired", "root"},
		"root ends it first": {notary.Repository{GUN: "a.example/b", Until: end, Roles: roles(end, end.AddDate(0, 0, 3))}, "have its publisher sign root again", "allow-expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := prolonging(test.repository)
			if !strings.Contains(got, test.want) || strings.Contains(got, test.not) {
				t.Errorf("want %q and not %q in %q", test.want, test.not, got)
			}
		})
	}
}

// TestStatusWarnsOfWhatNobodyRenews: a timestamp that a server renews is no
// news, one that came in a bundle is.
func TestStatusWarnsOfWhatNobodyRenews(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	near, far := now.AddDate(0, 0, 3), now.AddDate(1, 0, 0)
	for name, test := range map[string]struct {
		source       trust.Source
		root, stamp  time.Time
		warns, hopes bool // hopes: says that a server may answer before
	}{
		"timestamp of a server": {trust.Cache, far, near, false, true},
		"timestamp of a bundle": {trust.Bundle, far, near, true, false},
		"root of a server":      {trust.Cache, near, near.AddDate(0, 0, 1), true, false},
		"far from a bundle":     {trust.Bundle, far, far.AddDate(0, 0, -1), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			until := test.stamp
			if test.root.Before(until) {
				until = test.root
			}
			carried := policy.Carried{Repository: notary.Repository{
				GUN: "a.example/b", Source: test.source, Until: until,
				Roles: []notary.Role{{Name: "root", Expires: test.root}, {Name: "timestamp", Expires: test.stamp}},
			}}
			s := status{now: now}
			if got := s.warning(carried); (got != "") != test.warns {
				t.Errorf("warning %q", got)
			}
			if got := s.until(carried); strings.Contains(got, "answers before") != test.hopes {
				t.Errorf("until %q", got)
			}
		})
	}
}

// TestShowWithoutPolicy: what nobody has verified is marked so, and cannot
// speak to the terminal.
func TestShowWithoutPolicy(t *testing.T) {
	t.Parallel()
	r := bundle.Repository{
		GUN:   "a.example/b",
		Roots: [][]byte{[]byte(`{"signed": {"version": 3, "expires": "2030-01-02T03:04:05Z"}}`)},
		Roles: map[string][]byte{
			"targets":   []byte(`{"signed": {"version": 1, "expires": "2030-01-02T03:04:05Z", "targets": {"1\u001b[2J": {"hashes": {"sha256": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}}}}`),
			"timestamp": []byte(`no JSON`),
		},
	}
	p := showRepository(r, nil, time.Now())
	var text strings.Builder
	if err := writeParagraphs(&text, []paragraph{p}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"so this is unverified", "root  version 3, until 2030-01-02", "timestamp  unreadable", `"1\x1b[2J"  sha256:3031323334353637383930313233343536373839303132333435363738393031  (targets)`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("want %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("a tag speaks to the terminal: %q", text.String())
	}
}

// TestImportExit: what could not be kept is no refusal.
func TestImportExit(t *testing.T) {
	t.Parallel()
	good := policy.Carried{Repository: notary.Repository{GUN: "a.example/good"}}
	refused := policy.Carried{Repository: notary.Repository{GUN: "a.example/refused"}, Err: &trust.Error{Reason: trust.Rollback}}
	failed := policy.Carried{Repository: notary.Repository{GUN: "a.example/failed"}, Err: errors.New("no space left on device")}
	for name, test := range map[string]struct {
		list []policy.Carried
		want string
	}{
		"all good": {[]policy.Carried{good}, ""},
		"mixed":    {[]policy.Carried{good, refused}, "1 of 2 repositories refused; what was accepted of the others is kept"},
		"refused":  {[]policy.Carried{refused}, "1 repository refused; nothing was written"},
		"not kept": {[]policy.Carried{failed, refused}, "a.example/failed could not be kept"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := importExit(test.list)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestLoginHost(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"dtr.example.com":             "dtr.example.com",
		"dtr.example.com:4443":        "dtr.example.com:4443",
		"https://dtr.example.com/":    "dtr.example.com",
		"localhost:5000":              "localhost:5000",
		"docker.io":                   "docker.io",
		"https://index.docker.io/v1/": "docker.io",
		"registry-1.docker.io":        "docker.io",
		"prod":                        "",
		"":                            "",
		"a b":                         "",
		"-x.example.com":              "",
	} {
		if got, err := loginHost(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is host %q (%v), want %q", text, got, err, want)
		}
	}
}

// FuzzClaims: whatever a role says of itself, it can be shown.
func FuzzClaims(f *testing.F) {
	f.Add("targets", []byte(`{"signed": {"version": 1, "expires": "2030-01-02T03:04:05Z", "targets": {"1": {"hashes": {"sha256": "AAAA"}}}}}`))
	f.Add("\x1b[2J", []byte(`{"signed": {"version": -1, "targets": {"\u001b[2J": null}}}`))
	f.Add("", []byte(`[`))
	f.Fuzz(func(t *testing.T, role string, raw []byte) {
		list := readClaims(bundle.Repository{Roots: [][]byte{raw}, Roles: map[string][]byte{role: raw}})
		for _, text := range []string{list.versions(), list.tags()} {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
				t.Errorf("it speaks to the terminal: %q", text)
			}
		}
	})
}
