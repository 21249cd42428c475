package policy

import (
	"fmt"
	"strings"
	"testing"
)

// TestNotaryHosts: a key that no image's registry has would decide nothing.
func TestNotaryHosts(t *testing.T) {
	t.Parallel()
	const other = "write the registry's host as it stands in the names of images"
	for key, want := range map[string]string{
		"dtr.example.com":              "",
		"dtr.example.com:4443":         "",
		"docker.io":                    "",
		"localhost":                    "",
		"localhost:5000":               "",
		"127.0.0.1:5000":               "",
		"[::1]:5000":                   "",
		"https://dtr.example.com":      `write "dtr.example.com"`,
		"https://dtr.example.com:4443": `write "dtr.example.com:4443"`,
		"DTR.example.com":              `write "dtr.example.com"`,
		"dtr.example.com/":             `write "dtr.example.com"`,
		"dtr.example.com/prod":         `write "dtr.example.com"`,
		"dtr.example.com.":             `write "dtr.example.com"`,
		"dtr.example.com.:4443":        `write "dtr.example.com:4443"`,
		"index.docker.io":              `write "docker.io"`,
		"registry-1.docker.io":         `write "docker.io"`,
		"https://index.docker.io/v1/":  `write "docker.io"`,
		"*.example.com":                other,
		"dtr":                          other,
		" dtr.example.com":             other,
		"dtr.example.com:":             other,
		"dtr.example.com@x":            other,
		"":                             other,
	} {
		for section, value := range map[string]string{"servers": "[]", "ca": `"/x"`} {
			t.Run(section+" "+key, func(t *testing.T) {
				t.Parallel()
				_, err := Parse("policy.json", fmt.Appendf(nil, "{\"content-trust\": {\"mode\": \"enforced\"},\n \"notary\": {%q: {%q: %s}}}", section, key, value))
				if want == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				at := fmt.Sprintf("policy.json:2:%d: notary/%s: no image is of registry %q: ", len(section)+18, section, key)
				if err == nil || !strings.HasPrefix(err.Error(), at) || !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %s%s", err, at, want)
				}
			})
		}
	}
}
