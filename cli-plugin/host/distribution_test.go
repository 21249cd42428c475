package host

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRelease(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want Distribution
	}{
		"ubuntu": {
			"PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n",
			Distribution{ID: "ubuntu", Like: []string{"debian"}, Name: "Ubuntu 24.04.1 LTS", Version: "24.04"},
		},
		"rocky": {
			"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID='9.4'\n",
			Distribution{ID: "rocky", Like: []string{"rhel", "centos", "fedora"}, Name: "rocky 9.4", Version: "9.4"},
		},
		"oracle": {
			"NAME=\"Oracle Linux Server\"\nID=\"ol\"\nID_LIKE=\"fedora\"\nVERSION_ID=\"9.4\"\n",
			Distribution{ID: "ol", Like: []string{"fedora", "rhel"}, Name: "ol 9.4", Version: "9.4"},
		},
		"comments, spaces, capitals": {"# ID=other\n\n  ID=Debian  \r\n", Distribution{ID: "debian", Name: "debian"}},
		"escapes":                    {`PRETTY_NAME="The \"Home\" \$1 \\"`, Distribution{Name: `The "Home" $1 \`}},
		"one quote":                  {"ID=\"\n", Distribution{ID: `"`, Name: `"`}},
		"nothing":                    {"", Distribution{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parseRelease(test.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDistributionIs(t *testing.T) {
	t.Parallel()
	d := Distribution{ID: "rocky", Like: []string{"rhel", "centos"}}
	if !d.Is("rocky") || !d.Is("rhel") || d.Is("ubuntu") || d.Is("") {
		t.Errorf("got it wrong: %v", d)
	}
}

func FuzzParseRelease(f *testing.F) {
	f.Add("ID=ubuntu\nPRETTY_NAME=\"x\\\"\n")
	f.Add("ID='\n=\n\"=\"")
	f.Fuzz(func(t *testing.T, text string) {
		if d := parseRelease(text); strings.ContainsAny(d.ID, "\n") {
			t.Errorf("an ID of two lines: %q", d.ID)
		}
	})
}
