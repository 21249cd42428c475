package site

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse("site.yaml", []byte(`
approved-keys: [9DC858229FC7DD38854AE2D88D81803C0EBFCD88] # comment
vendor-images:
  - docker.io/docker/ucp:3.2.1
ucp:
  url: https://ucp.example.com
  username: auditor
  parallel: 256
  require-signature-from: [ops/release]
`))
	if err != nil {
		t.Fatal(err)
	}
	parallel := 256
	want := Site{
		ApprovedKeys: []string{"9DC858229FC7DD38854AE2D88D81803C0EBFCD88"},
		VendorImages: []string{"docker.io/docker/ucp:3.2.1"},
		UCP: UCP{
			Server:               Server{URL: "https://ucp.example.com", Username: "auditor", Parallel: &parallel},
			RequireSignatureFrom: []string{"ops/release"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnsaidIsNotEmpty(t *testing.T) {
	t.Parallel()
	unsaid, err := Parse("site.yaml", []byte("# nothing yet\n"))
	if err != nil || unsaid.UCP.RequireSignatureFrom != nil {
		t.Errorf("got %v, %v", unsaid, err)
	}
	empty, err := Parse("site.yaml", []byte("ucp: {require-signature-from: []}\n"))
	if err != nil || empty.UCP.RequireSignatureFrom == nil {
		t.Errorf("an empty list was not told from none: %v, %v", empty, err)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ text, want string }{
		"unknown key":  {"ucp:\n  uri: https://x\n", "site.yaml:2:3: unknown field"},
		"twice":        {"ucp: {}\nucp: {}\n", "site.yaml:2:1: mapping key \"ucp\" already defined"},
		"wrong type":   {"approved-keys: yes\n", "site.yaml:1:16: "},
		"no YAML":      {"ucp: [\n", "site.yaml:1:6: "},
		"short key ID": {"approved-keys:\n  - 621E9F35\n", "site.yaml:2:5: \"621E9F35\" is no full fingerprint"},
		"no image":     {"vendor-images: [Docker/UCP]\n", "site.yaml:1:17: "},
		"no https":     {"dtr:\n  url: http://x\n", "site.yaml:2:8: this is no address"},
		"no questions": {"ucp:\n  parallel: 0\n", "site.yaml:2:13: 0 questions at once are out of bounds: want 1 to 256"},
		"too many":     {"dtr:\n  url: https://x\n  parallel: 257\n", "site.yaml:3:13: 257 questions"},
		"no number":    {"dtr:\n  parallel: many\n", "site.yaml:2:13: "},
		"two of them":  {"ucp: {}\n---\ndtr: {}\n", "want one document"},
		"not a object": {"- 1\n", "site.yaml:1:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("site.yaml", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("ucp: {url: https://x}\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		_, _ = Parse("fuzz", raw) // must neither panic nor hang
	})
}
