package benchmark

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/google/go-cmp/cmp"
)

func handMade(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/guide.xml")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestReadXCCDF(t *testing.T) {
	t.Parallel()
	got, err := ReadXCCDF(strings.NewReader(handMade(t)), "folder/guide.xml")
	if err != nil {
		t.Fatal(err)
	}
	want := &Guide{
		ID: "Docker_Enterprise_2-x_Linux-UNIX_STIG", Title: "Made-up guide", Version: "2",
		ReleaseInfo: "Release: 2 Benchmark Date: 24 Jul 2024", Notice: "terms-of-use", Source: "SOURCE.EXAMPLE",
		TargetKey: "5281", Filename: "guide.xml",
		Rules: map[stig.ID]Texts{
			"DKER-EE-004370": {
				VulnID: "V-235847", RuleID: "SV-235847r961770_rule", GroupTitle: "SRG-APP-000485",
				Title:     "A title with <brackets> & more",
				LegacyIDs: []string{"SV-104867", "V-95729"}, CCIs: []string{"CCI-002724"}, Weight: "10.0",
				Discussion:     "The value may be <nil>, <b> or a & b.\n\nA second paragraph.",
				FalsePositives: "fp", FalseNegatives: "fn", Documentable: "false", Mitigations: "m",
				SeverityOverrideGuidance: "sog", PotentialImpacts: "pi", ThirdPartyTools: "tpt",
				MitigationControl: "mc", Responsibility: "r", IAControls: "ia",
				CheckID: "C-1_chk", CheckRef: "Made_up.xml", CheckRefName: "M", Check: `Look at "it".`,
				FixID: "F-1_fix", Fix: "First line.\nSecond line.",
			},
			"DKER-EE-999999": {
				VulnID: "V-265885", RuleID: "SV-265885r999859_rule", GroupTitle: "SRG-APP-000456",
				Title: "Without a description", LegacyIDs: []string{}, CCIs: []string{}, Weight: "10.0",
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.ReleaseName() != "V2R2" {
		t.Errorf("release %s", got.ReleaseName())
	}
}

// TestReadXCCDFEarlier takes the release before, which has one rule less.
func TestReadXCCDFEarlier(t *testing.T) {
	t.Parallel()
	earlier := strings.Replace(handMade(t), "Release: 2", "Release: 1", 1)
	earlier = earlier[:strings.Index(earlier, `<Group id="V-265885"`)] + "</Benchmark>"
	g, err := ReadXCCDF(strings.NewReader(earlier), "guide.xml")
	if err != nil || g.ReleaseName() != "V2R1" || len(g.Rules) != 1 {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestReadXCCDFRefuses(t *testing.T) {
	t.Parallel()
	good := handMade(t)
	for name, test := range map[string]struct{ content, want string }{
		"nothing":       {"", "there is no XML in it"},
		"plain text":    {"a letter", "there is no XML in it"},
		"a zip":         {"PK\x03\x04rest", "it is a zip"},
		"HTML":          {"<html><body/></html>", `begins with the element "html"`},
		"XCCDF 1.2":     {strings.ReplaceAll(good, "xccdf/1.1", "xccdf/1.2"), "not with a Benchmark of " + xccdf11},
		"cut off":       {good[:len(good)/2], "unexpected EOF"},
		"another guide": {strings.Replace(good, "Docker_Enterprise_2-x_Linux-UNIX_STIG", "RHEL_9_STIG", 1), `this is another guide, "RHEL_9_STIG" ("Made-up guide")`},
		"first release": {strings.Replace(strings.Replace(good, "<version>2<", "<version>1<", 1), "Release: 2", "Release: 1", 1), "this is release V1R1 "},
		"later release": {strings.Replace(good, "Release: 2", "Release: 3", 1), "this is release V2R3 "},
		"no release":    {strings.Replace(good, "release-info", "nothing", 1), "this is release V2R? "},
		"no rules":      {good[:strings.Index(good, "<Group")] + "</Benchmark>", "there is no rule in it"},
		"a strange rule": {
			strings.Replace(good, "DKER-EE-999999", "DKER-EE-123456", 1),
			`its rule "DKER-EE-123456" in "V-265885" is none of this guide`,
		},
		"a rule in another's group": {strings.Replace(good, `Group id="V-265885"`, `Group id="V-235788"`, 1), `in "V-235788" is none of this guide`},
		"a rule twice":              {strings.Replace(good, "DKER-EE-999999", "DKER-EE-004370", 1), `"DKER-EE-004370" is in it twice`},
		"an entity of its own": {
			strings.Replace(strings.Replace(good, "<Benchmark", `<!DOCTYPE b [<!ENTITY file SYSTEM "file:///etc/hostname">]><Benchmark`, 1), "Made-up", "&file;", 1),
			"invalid character entity &file;",
		},
		"another encoding": {strings.Replace(good, "utf-8", "utf-16", 1), `encoding "utf-16"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadXCCDF(strings.NewReader(test.content), "my.xml")
			if err == nil {
				t.Fatalf("taken: %+v", got)
			}
			for _, want := range []string{"my.xml", test.want, "Manual-xccdf.xml"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// endless is a well-formed beginning that never comes to its end.
type endless struct{ begun bool }

func (e *endless) Read(p []byte) (int, error) {
	if !e.begun {
		e.begun = true
		return copy(p, `<Benchmark xmlns="`+xccdf11+`"><title>`), nil
	}
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestReadXCCDFIsBounded(t *testing.T) {
	t.Parallel()
	if _, err := ReadXCCDF(new(endless), "big.xml"); err == nil || !strings.Contains(err.Error(), "big.xml: at most 16 MiB are read") {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the disk is gone") }

func TestReadXCCDFReadError(t *testing.T) {
	t.Parallel()
	if _, err := ReadXCCDF(broken{}, "x"); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("got %v", err)
	}
}

// TestReadDISA reads DISA's own file, where it lies beside the project, and
// holds our data against it.
func TestReadDISA(t *testing.T) {
	t.Parallel()
	path := beside(t, "U_Docker_Enterprise_2-x_Linux-Unix_STIG_V2R2_Manual-xccdf.xml")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g, err := ReadXCCDF(file, path)
	if err != nil {
		t.Fatal(err)
	}
	b := guide(t)
	if len(g.Rules) != len(b.Requirements) || g.TargetKey != "5281" || g.Source != "STIG.DOD.MIL" || g.Notice != "terms-of-use" || g.Filename != filepath.Base(path) {
		t.Errorf("%d rules, target key %q, source %q, notice %q, file %q", len(g.Rules), g.TargetKey, g.Source, g.Notice, g.Filename)
	}
	if g.Title != b.Title || g.ReleaseName() != b.ReleaseName() {
		t.Errorf("%s, %s", g.Title, g.ReleaseName())
	}
	for _, r := range b.Requirements {
		theirs := g.Rules[r.StigID]
		type ids struct{ vuln, rule, srg, check, fix string }
		if diff := cmp.Diff(ids{theirs.VulnID, theirs.RuleID, theirs.GroupTitle, theirs.CheckID, theirs.FixID},
			ids{r.VulnID, r.RuleID, r.SRGs[0], r.CheckID, r.FixID}, cmp.AllowUnexported(ids{})); diff != "" {
			t.Errorf("%s: -DISA +ours:\n%s", r.StigID, diff)
		}
		if diff := cmp.Diff(theirs.CCIs, r.CCIs); diff != "" {
			t.Errorf("%s: -DISA +ours:\n%s", r.StigID, diff)
		}
		for _, legacy := range theirs.LegacyIDs {
			if found, ok := b.Find(legacy); !ok || found.StigID != r.StigID {
				t.Errorf("%s is not found as %s", r.StigID, legacy)
			}
		}
		if theirs.Title == "" || theirs.Discussion == "" || theirs.Check == "" || theirs.Fix == "" || theirs.Weight != "10.0" || theirs.Documentable != "false" || theirs.CheckRefName != "M" {
			t.Errorf("%s: a text is missing: %+v", r.StigID, theirs)
		}
	}
}

// beside gives the path of a file that lies beside the project, or skips.
func beside(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "stig", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s does not lie beside the project", name)
	}
	return path
}

// tiny is a guide in few bytes, so that the fuzzer does not spend its time on
// making it smaller.
const tiny = `<Benchmark id="Docker_Enterprise_2-x_Linux-UNIX_STIG" xmlns="` + xccdf11 + `"><plain-text id="release-info">Release: 2</plain-text><version>2</version><Group id="V-265885"><Rule><version>DKER-EE-999999</version><description>&lt;VulnDiscussion&gt;x&lt;/VulnDiscussion&gt;</description></Rule></Group></Benchmark>`

func FuzzReadXCCDF(f *testing.F) {
	f.Add(tiny)
	f.Add(tiny[:200])
	f.Add(zipMagic)
	b := guide(f)
	f.Fuzz(func(t *testing.T, raw string) {
		g, err := ReadXCCDF(strings.NewReader(raw), "fuzz")
		if (g == nil) == (err == nil) {
			t.Fatalf("got %v and %v", g, err)
		}
		if err != nil {
			return
		}
		for id, texts := range g.Rules {
			if own, ok := b.Find(string(id)); !ok || own.VulnID != texts.VulnID {
				t.Fatalf("took the rule %q of %q", id, texts.VulnID)
			}
		}
	})
}

func TestTinyIsTaken(t *testing.T) {
	t.Parallel()
	g, err := ReadXCCDF(strings.NewReader(tiny), "tiny.xml")
	if err != nil || g.Rules[added].Discussion != "x" {
		t.Errorf("got %+v, %v", g, err)
	}
}
