package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/cli-plugin/benchmark"
	"github.com/docker-stig/docker-stig/cli-plugin/scan"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// cklOrder is our reading of DISA's checklist schema 2.5: every element has
// these children, in this order; a ? may be missing and a + repeat.
var cklOrder = map[string][]string{
	"CHECKLIST": {"ASSET", "STIGS"},
	"ASSET":     {"ROLE", "ASSET_TYPE", "MARKING?", "HOST_NAME", "HOST_IP", "HOST_MAC", "HOST_GUID?", "HOST_FQDN", "TARGET_COMMENT?", "TECH_AREA", "TARGET_KEY", "STIG_GUID?", "WEB_OR_DATABASE", "WEB_DB_SITE", "WEB_DB_INSTANCE"},
	"STIGS":     {"iSTIG+"},
	"iSTIG":     {"STIG_INFO", "VULN+"},
	"STIG_INFO": {"SI_DATA+"},
	"SI_DATA":   {"SID_NAME", "SID_DATA?"},
	"VULN":      {"STIG_DATA+", "STATUS", "FINDING_DETAILS", "COMMENTS", "SEVERITY_OVERRIDE", "SEVERITY_JUSTIFICATION"},
	"STIG_DATA": {"VULN_ATTRIBUTE", "ATTRIBUTE_DATA"},
}

// an element of a checklist; they have no attributes.
type element struct {
	XMLName  xml.Name
	Children []element `xml:",any"`
	Text     string    `xml:",chardata"`
}

// inOrder wants each element's children as the schema has them.
func (e element) inOrder(t *testing.T) {
	t.Helper()
	left := e.Children
	for _, want := range cklOrder[e.XMLName.Local] {
		name := strings.TrimRight(want, "?+")
		n := 0
		for n < len(left) && left[n].XMLName.Local == name {
			n++
		}
		if n == 0 && !strings.HasSuffix(want, "?") || n > 1 && !strings.HasSuffix(want, "+") {
			t.Errorf("%s has %d %s here", e.XMLName.Local, n, name)
		}
		left = left[n:]
	}
	if len(left) > 0 {
		t.Errorf("%s has %s out of order", e.XMLName.Local, left[0].XMLName.Local)
	}
	for _, child := range e.Children {
		child.inOrder(t)
	}
}

// find gives the texts of all elements of a name.
func (e element) find(name string) []string {
	var found []string
	for _, child := range e.Children {
		if child.XMLName.Local == name {
			found = append(found, child.Text)
		}
		found = append(found, child.find(name)...)
	}
	return found
}

func written(t *testing.T, format Format, c scan.Checklist) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, format, c, Options{Tool: Tool{"docker-stig", "1.2.3", "abc"}}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// spoilt says what programs say: control characters, what is no UTF-8, the
// end of a CDATA section, the form of a block, and far too much.
func spoilt(t *testing.T) scan.Checklist {
	t.Helper()
	c := sample(t)
	c.Results[1].Findings = nil
	for range 5000 {
		c.Results[1].Findings = append(c.Results[1].Findings, stig.Finding{Object: "container <web> :: TEST", Status: stig.Open, Details: "\x1b[31mred\x00 \xff ]]> & \n passed :: TEST all"})
	}
	c.Asset.FQDN, c.Asset.HostName = "short", strings.Repeat("é", 300)
	return c
}

var block = regexp.MustCompile(`^(failed|passed|skipped|error) :: TEST .+ :: (MESSAGE|SKIP_MESSAGE) .+$`)

func TestCKL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]scan.Checklist{"sample": sample(t), "spoilt": spoilt(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := written(t, CKL, c)
			var list element
			if err := xml.Unmarshal(raw, &list); err != nil {
				t.Fatal(err)
			}
			list.inOrder(t)
			for _, status := range list.find("STATUS") {
				if !slices.Contains([]string{"Open", "NotAFinding", "Not_Applicable", "Not_Reviewed"}, status) {
					t.Errorf("status %q", status)
				}
			}
			for _, details := range list.find("FINDING_DETAILS") {
				if len(details) > maxDetails {
					t.Errorf("details of %d bytes", len(details))
				}
				for _, one := range strings.Split(details, between) {
					if !block.MatchString(one) {
						t.Errorf("Heimdall cannot take %q apart", one)
					}
				}
			}
			if fqdn := list.find("HOST_FQDN")[0]; fqdn != "" && !strings.Contains(fqdn, ".") {
				t.Errorf("Heimdall refuses the name %q", fqdn)
			}
			if host := list.find("HOST_NAME")[0]; host == "" || len(host) > 255 {
				t.Errorf("STIG Manager refuses a name of %d bytes", len(host))
			}
			if again := written(t, CKL, c); !bytes.Equal(raw, again) {
				t.Error("the same checklist gives other bytes")
			}
			validCKL(t, raw)
		})
	}
}

// validCKL holds a file against DISA's schema, where that lies beside the
// project.
func validCKL(t *testing.T, raw []byte) {
	t.Helper()
	schema := filepath.Join("..", "..", "..", "shared", "formats", "U_Checklist_Schema_V2.xsd")
	xmllint, err := exec.LookPath("xmllint")
	if _, there := os.Stat(schema); there != nil || err != nil {
		t.Logf("not held against DISA's schema: %v", errors.Join(there, err))
		return
	}
	file := filepath.Join(t.TempDir(), "out.ckl")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := exec.CommandContext(t.Context(), xmllint, "--noout", "--schema", schema, file).CombinedOutput(); err != nil {
		t.Errorf("DISA's schema: %v\n%s", err, said)
	}
}

// TestGuideTexts: with DISA's file its texts fill the checklist.
func TestGuideTexts(t *testing.T) {
	t.Parallel()
	c := sample(t)
	id := c.Results[0].StigID
	c.Guide = &benchmark.Guide{ID: "X", Title: "Their title", Version: "2", ReleaseInfo: "Release: 2 Benchmark Date: 24 Jul 2024", TargetKey: "5281", Rules: map[stig.ID]benchmark.Texts{
		id: {VulnID: "V-1", RuleID: "SV-1r2_rule", Title: "Their rule", Discussion: "their\nwords", Check: "their check", Fix: "their fix", CCIs: []string{"CCI-000001"}, LegacyIDs: []string{"V-2", "SV-3"}},
	}}
	for _, format := range []Format{CKL, CKLB} {
		raw := string(written(t, format, c))
		for _, want := range []string{"Their title", "Their rule", "their check", "their fix", "CCI-000001", "SV-3", "SV-1r2"} {
			if !strings.Contains(raw, want) {
				t.Errorf("%s has no %q", format, want)
			}
		}
		if format == CKL && !strings.Contains(raw, "their\nwords") {
			t.Error("a line end is no line end")
		}
	}
}

// TestCKLB wants what readers need: strings and never null, an ID for each
// rule, the words of statuses.
func TestCKLB(t *testing.T) {
	t.Parallel()
	raw := written(t, CKLB, spoilt(t))
	decoder := json.NewDecoder(bytes.NewReader(raw))
	var got cklb
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		t.Error("something stands behind the document")
	}
	if nulls := bytes.Count(raw, []byte(": null")); nulls != 1 || got.Target.Classification != nil {
		t.Errorf("%d nulls: only the target's classification may be", nulls)
	}
	s := got.STIGs[0]
	if s.Version == "" || s.Size != len(s.Rules) || s.Reference != "5281" || got.CKLBVersion != "1.0" {
		t.Errorf("stig %s, %d of %d rules, reference %s, format %s", s.Version, len(s.Rules), s.Size, s.Reference, got.CKLBVersion)
	}
	for _, rule := range s.Rules {
		if strings.HasSuffix(rule.RuleID, "_rule") || !strings.HasSuffix(rule.RuleIDSrc, "_rule") || rule.UUID == "" || rule.STIGUUID != s.UUID {
			t.Errorf("ids %s, %s, %s, %s", rule.RuleID, rule.RuleIDSrc, rule.UUID, rule.STIGUUID)
		}
		if !slices.Contains([]string{"open", "not_a_finding", "not_applicable", "not_reviewed"}, rule.Status) {
			t.Errorf("status %q", rule.Status)
		}
		if len(rule.FindingDetails) > maxDetails {
			t.Errorf("details of %d bytes", len(rule.FindingDetails))
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x00b\xff ]]> & <x>\r\n\t")
	f.Fuzz(func(t *testing.T, text string) {
		x := &xmlWriter{}
		x.leaf("A", text)
		var got element
		if err := xml.Unmarshal([]byte(x.b.String()), &got); err != nil {
			t.Fatalf("%q: %v", x.b.String(), err)
		}
		// A reader makes one line end of \r\n; EscapeText keeps \r as a reference.
		if want := legal(text); got.Text != want {
			t.Errorf("%q came back as %q", want, got.Text)
		}
	})
}
