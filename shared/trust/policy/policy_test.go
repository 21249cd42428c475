package policy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/trusttest"
	"github.com/opencontainers/go-digest"
	"github.com/theupdateframework/notary/tuf/data"
)

const key64 = "84ca6e4400000000000000000000000000000000000000000000000000000000"

func TestParse(t *testing.T) {
	t.Parallel()
	p, err := Parse("policy.json", []byte(`{
		// MCR's own object
		"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"dtr.example.com/prod/*": ["`+key64+`"]}}},
		"allow-expired": {"dtr.example.com/prod/*": "90d"},
		"notary": {"refresh": "5m"}, // the rest by default
	}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.ContentTrust.Mode != Enforced || time.Duration(p.Notary.Refresh) != 5*time.Minute || time.Duration(p.Notary.Timeout) != 2*time.Second {
		t.Errorf("got %+v", p)
	}
	if time.Duration(p.AllowExpired["dtr.example.com/prod/*"]) != 90*24*time.Hour || p.Requests.Pull != Verify || p.Requests.Build != Deny {
		t.Errorf("got %+v", p)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"no mode":                {`{"content-trust": {}}`, "policy.json:1:19: content-trust/mode is missing"},
		"empty":                  {`{}`, "content-trust/mode is missing"},
		"no JSON":                {`{"content-trust": `, "policy.json:1:19: want JSON"},
		"wrong mode":             {`{"content-trust": {"mode": "on"}}`, `policy.json:1:28: content-trust/mode: "on" is no mode: want disabled, permissive or enforced`},
		"unknown key":            {"{\"content-trust\": {\"mode\": \"enforced\"},\n \"signer\": {}}", `policy.json:2:2: unknown key "signer": the keys here are `},
		"other case":             {`{"Content-Trust": {"mode": "enforced"}}`, `unknown key "Content-Trust"`},
		"twice":                  {`{"content-trust": {"mode": "enforced", "mode": "disabled"}}`, `policy.json:1:40: content-trust: key "mode" stands here twice`},
		"twice, escaped":         {`{"content-trust": {"mode": "enforced", "m\u006fde": "disabled"}}`, `stands here twice`},
		"wrong type":             {`{"content-trust": {"mode": 3}}`, "policy.json:1:28: content-trust/mode: want a string, not number"},
		"null":                   {`{"content-trust": null}`, "content-trust: want an object"},
		"list for object":        {`{"content-trust": []}`, "content-trust: want an object"},
		"bad duration":           {`{"content-trust": {"mode": "enforced"}, "notary": {"timeout": "2 weeks"}}`, `"2 weeks" is no duration`},
		"library images":         {`{"content-trust": {"mode": "enforced", "trust-pinning": {"official-library-images": true}}}`, "Docker has retired"},
		"short name":             {`{"content-trust": {"mode": "enforced"}, "digests": {"alpine": []}}`, `write "docker.io/library/alpine"`},
		"tag in a pattern":       {`{"content-trust": {"mode": "enforced"}, "digests": {"a.io/x:1": []}}`, "without tag or digest"},
		"equally specific":       {`{"content-trust": {"mode": "enforced"}, "digests": {"a.io/*/app": [], "a.io/app/*": []}}`, "equally specific"},
		"short key ID":           {`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/x": ["84ca"]}}}}`, `policy.json:1:83: content-trust/trust-pinning/root-keys/a.io/x: "84ca" is no key ID`},
		"no key ID":              {`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/x": []}}}}`, "want at least one key ID"},
		"glob for a certificate": {`{"content-trust": {"mode": "enforced", "trust-pinning": {"cert-ids": {"a.io/*": ["` + key64 + `"]}}}}`, "made for one repository"},
		"http server":            {`{"content-trust": {"mode": "enforced"}, "notary": {"servers": {"a.io": ["http://a.io"]}}}`, "want https://"},
		"bad digest":             {`{"content-trust": {"mode": "enforced"}, "digests": {"a.io/x": ["sha256:1"]}}`, "is no digest"},
		"bad disposition":        {`{"content-trust": {"mode": "enforced"}, "requests": {"build": "maybe"}}`, `"maybe": want allow or deny`},
		"releases as a signer":   {`{"content-trust": {"mode": "enforced"}, "signers": {"a.io/x": ["releases"]}}`, `"releases" is no signer`},
		"signer of no name":      {`{"content-trust": {"mode": "enforced"}, "signers": {"a.io/x": ["a//b"]}}`, `"a//b" is no signer`},
		"role for a signer":      {`{"content-trust": {"mode": "enforced"}, "signer-keys": {"targets/qa": ["` + key64 + `"]}}`, `"targets/qa" is no signer`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("policy.json", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	s := compile(map[string]string{
		"a.io/**":         "all",
		"a.io/prod/*":     "prod",
		"a.io/prod/app":   "app",
		"a.io/prod/web-*": "web",
	})
	for name, want := range map[string]string{
		"a.io/x":              "all",
		"a.io/prod/x":         "prod",
		"a.io/prod/app":       "app",
		"a.io/prod/app2":      "prod",
		"a.io/prod/web-front": "web",
		"a.io/prod/x/y":       "all",
		"a.iox/prod":          "",
		"b.a.io/prod/app":     "",
	} {
		if _, got, _ := s.find(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"a/*", "a/*", true},
		{"a/*/c", "a/b/*", true},
		{"a/*b", "a/b*", true},
		{"a/*b", "a/*c", false},
		{"a/**", "*/bc", true},
		{"a/*/x", "a/**x", true},
		{"a/*-x", "b/*-x", false},
		{"a/**/c", "a/*/*", true},
	} {
		if got := overlap(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: got %v", test.a, test.b, got)
		}
		if got := overlap(test.b, test.a); got != test.want {
			t.Errorf("%s and %s: got %v", test.b, test.a, got)
		}
	}
}

// FuzzParse: whatever is read, a policy that parses says what it does and
// makes a verifier that answers.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"a.io/*": ["` + key64 + `"]}}}}`))
	f.Add([]byte(`{"content-trust": {"mode": "permissive"}, "digests": {"a.io/**": ["sha256:` + key64 + `"]}, /* x */}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := Parse("fuzz", raw)
		if err != nil {
			return
		}
		if p.ContentTrust.Mode == "" {
			t.Error("a policy without a mode was accepted")
		}
		ref, _ := reference.ParseNormalizedNamed("nowhere.invalid/x:1")
		NewVerifier(p, Options{Now: time.Now}).Scope(ref)
		if again, err := json.Marshal(p); err != nil {
			t.Error(err, again)
		}
	})
}

// FuzzOverlap holds overlap against matching: a name that both patterns match
// is an overlap.
func FuzzOverlap(f *testing.F) {
	f.Add("a/*", "*/b", "a/b")
	f.Add("a/**", "a/*/c", "a/b/c")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if len(a)+len(b) > 40 || strings.Contains(a+b, "***") || strings.Contains(name, "\n") || !ascii(a+b+name) {
			return
		}
		if globRegexp(a).MatchString(name) && globRegexp(b).MatchString(name) && !overlap(a, b) {
			t.Errorf("%q and %q both match %q", a, b, name)
		}
	})
}

func ascii(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 126 }) < 0
}

// TestVerify goes through the policy to a fake Notary.
func TestVerify(t *testing.T) {
	t.Parallel()
	good, other := digest.FromString("good"), digest.FromString("other")
	server := trusttest.NewNotary(t)
	repo := server.NewRepository(t, "dtr.example.com/prod/app")
	repo.Sign("v1", good, data.CanonicalTargetsRole)
	repo.Publish()
	p, err := Parse("policy.json", []byte(`{
		"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"dtr.example.com/prod/*": ["`+repo.RootKeyID()+`"]}}},
		"notary": {"servers": {"dtr.example.com": ["`+server.URL+`"]}, "ca": {"dtr.example.com": "`+server.CA+`"}},
		"digests": {"dtr.example.com/prod/app": ["`+string(other)+`"], "docker.io/vendor/*": ["`+string(good)+`"]},
		"revoked": {"digests": ["`+string(digest.FromString("bad"))+`"]},
	}`))
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(p, Options{Now: time.Now})
	held := trust.Content{ID: other, Store: trust.ContainerdStore}
	for name, test := range map[string]struct {
		image   string
		content trust.Content
		method  trust.Method
		digest  digest.Digest
		reason  trust.Reason
	}{
		"signed":                           {image: "dtr.example.com/prod/app:v1", method: trust.DCT, digest: good},
		"listed, in a pinned scope":        {image: "dtr.example.com/prod/app:v1", content: held, method: trust.DigestList, digest: other},
		"listed":                           {image: "vendor/app@" + string(good), method: trust.DigestList, digest: good},
		"tag in a listed scope":            {image: "vendor/app:1", method: trust.DigestList},
		"content in a listed scope":        {image: "vendor/app:1", content: trust.Content{ID: good, Store: trust.ContainerdStore}, method: trust.DigestList, digest: good},
		"digest not in the list":           {image: "vendor/app@" + string(other), reason: trust.DigestMismatch},
		"content not in the list":          {image: "vendor/app:1", content: held, reason: trust.DigestMismatch},
		"listed digest, other content":     {image: "vendor/app@" + string(good), content: held, reason: trust.DigestMismatch},
		"content that nothing identifies":  {image: "vendor/app:1", content: trust.Content{ID: other, Store: trust.GraphdriverStore}, reason: trust.DigestMismatch},
		"no scope":                         {image: "alpine:3", reason: trust.NoScope},
		"revoked digest":                   {image: "dtr.example.com/prod/app@" + string(digest.FromString("bad")), reason: trust.Revoked},
		"revoked content under no scope":   {image: "alpine:3", content: trust.Content{ID: digest.FromString("bad")}, reason: trust.Revoked},
		"unsigned repository of the scope": {image: "dtr.example.com/prod/web:v1", reason: trust.Unsigned},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref, err := reference.ParseNormalizedNamed(test.image)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := v.Verify(t.Context(), trust.Question{Ref: ref, Content: test.content})
			if test.reason == "" {
				if err != nil || signed.Method != test.method || signed.Digest != test.digest {
					t.Errorf("got %+v, %v", signed, err)
				}
				return
			}
			if refused := new(trust.Error); !errors.As(err, &refused) || refused.Reason != test.reason {
				t.Errorf("got %v, want %s", err, test.reason)
			}
		})
	}
}

// TestRevokedBeatsEveryYes: neither a digest list nor another repository can
// bring back what the policy withdraws.
func TestRevokedBeatsEveryYes(t *testing.T) {
	t.Parallel()
	good, other := digest.FromString("good"), digest.FromString("other")
	server := trusttest.NewNotary(t)
	repo := server.NewRepository(t, "dtr.example.com/prod/app")
	repo.Sign("v1", good, data.CanonicalTargetsRole)
	repo.Publish()
	p, err := Parse("policy.json", []byte(`{
		"content-trust": {"mode": "enforced", "trust-pinning": {"root-keys": {"dtr.example.com/prod/*": ["`+repo.RootKeyID()+`"]}}},
		"notary": {"servers": {"dtr.example.com": ["`+server.URL+`"]}, "ca": {"dtr.example.com": "`+server.CA+`"}},
		"digests": {"dtr.example.com/**": ["`+string(other)+`"]},
		"revoked": {"keys": ["`+repo.RootKeyID()+`"], "digests": ["`+string(good)+`"]},
	}`))
	if err != nil {
		t.Fatal(err)
	}
	v := NewVerifier(p, Options{Now: time.Now})
	for _, image := range []string{"dtr.example.com/prod/app:v1", "dtr.example.com/prod/app:other"} {
		ref, _ := reference.ParseNormalizedNamed(image)
		if signed, err := v.Verify(t.Context(), trust.Question{Ref: ref}); !trust.IsRevoked(err) {
			t.Errorf("%s: got %+v, %v", image, signed, err)
		}
	}
	first, _ := reference.ParseNormalizedNamed("dtr.example.com/dev/x@" + string(good))
	second, _ := reference.ParseNormalizedNamed("dtr.example.com/dev/y")
	content := trust.Content{ID: other, Store: trust.ContainerdStore}
	if signed, err := trust.VerifyAny(t.Context(), v, []trust.Question{{Ref: first}, {Ref: second, Content: content}}); !trust.IsRevoked(err) {
		t.Errorf("got %+v, %v", signed, err)
	}
}

func TestLongDuration(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"36525d", "213504d", "2147483647d"} {
		if got, err := parseDuration(text); err != nil || got != 36525*24*time.Hour {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}
