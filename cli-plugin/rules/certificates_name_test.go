package rules

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]distinguished{
		"CN=a":                       {{"CN=a"}},
		"CN=a, OU=b ,O = c d ":       {{"CN=a"}, {"OU=b"}, {"O=c d"}},
		"UID=1+CN=a,DC=x":            {{"CN=a", "UID=1"}, {"DC=x"}},
		`CN=a\,b\+c\\d\20`:           {{`CN=a,b+c\d `}},
		`CN=Gr\C3\BC\C3\9Fe`:         {{"CN=Grüße"}},
		"oid.2.5.4.3=a,1.2.3=b,E=x":  {{"CN=a"}, {"1.2.3=b"}, {"EMAILADDRESS=x"}},
		"CN=":                        {{"CN="}},
		"S=California,C=US,CN=a=b=c": {{"ST=California"}, {"C=US"}, {"CN=a=b=c"}},
	} {
		got, err := parseName(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "a", "CN=a,", "=a", "CN=a\\", ",CN=a", "/C=US/CN=a,x", "/C=US/CN=a", "2..5=a", "CN=a;=b,x y=c", `CN=\FF`} {
		if got, err := parseName(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// FuzzParseName: whatever is written, it is a name or an error, and a name as
// certificates hold it is read back as it was.
func FuzzParseName(f *testing.F) {
	for _, text := range []string{"CN=a,O=b", `CN=\2C`, "CN=a+UID=b", "", "\\", `OU="x, y"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseName(text); err == nil && len(n) == 0 {
			t.Errorf("%q is a name of nothing", text)
		}
		if !utf8.ValidString(text) || text == "" {
			return
		}
		raw, err := asn1.Marshal(pkix.Name{Organization: []string{text}, CommonName: "x"}.ToRDNSequence())
		if err != nil {
			return // not every string fits into a certificate
		}
		got, err := nameOf(raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(distinguished{{"CN=x"}, {"O=" + text}}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if _, err := nameOf(append(raw, 0)); err == nil {
			t.Error("bytes behind a name are not noticed")
		}
	})
}
