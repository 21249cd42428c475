package benchmark

import (
	"encoding/csv"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docker-stig/docker-stig/shared/stig"
	"github.com/google/go-cmp/cmp"
)

func guide(tb testing.TB) Benchmark {
	tb.Helper()
	b, err := DockerEnterprise()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestCounts holds what the guide and its catalogue count.
func TestCounts(t *testing.T) {
	t.Parallel()
	type counts struct{ rules, high, medium, low, program, site, person int }
	got := map[string]counts{}
	for _, r := range guide(t).Requirements {
		if !slices.Contains(Components(), r.Component) {
			t.Errorf("%s: no component %q", r.StigID, r.Component)
		}
		for _, name := range []string{r.Component, "all"} {
			c := got[name]
			c.rules++
			for column, is := range map[*int]bool{
				&c.high: r.Severity == stig.CATI, &c.medium: r.Severity == stig.CATII, &c.low: r.Severity == stig.CATIII,
				&c.program: r.Decided == ByProgram, &c.site: r.Decided == BySite, &c.person: r.Decided == ByPerson,
			} {
				if is {
					*column++
				}
			}
			got[name] = c
		}
	}
	want := map[string]counts{
		"engine": {41, 10, 29, 2, 31, 10, 0},
		"host":   {24, 14, 9, 1, 23, 1, 0},
		"ucp":    {18, 0, 16, 2, 7, 11, 0},
		"dtr":    {7, 0, 7, 0, 4, 3, 0},
		"swarm":  {7, 0, 7, 0, 3, 3, 1},
		"org":    {4, 0, 4, 0, 0, 0, 4},
		"all":    {101, 24, 72, 5, 68, 28, 5},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(counts{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// added is the rule that V2R2 brought: it has no identifiers of earlier
// releases.
const added stig.ID = "DKER-EE-999999"

func TestIdentifiers(t *testing.T) {
	t.Parallel()
	b := guide(t)
	seen := map[string]stig.ID{}
	last := ""
	for _, r := range b.Requirements {
		for _, id := range []struct{ text, want string }{
			{string(r.StigID), `DKER-EE-\d{6}`},
			{r.VulnID, `V-(2357[789]\d|2358[0-7]\d|265885)`},
			{r.RuleID, `SV-` + strings.TrimPrefix(r.VulnID, "V-") + `r\d{6}_rule`},
			{r.CheckID, `C-\d{5}r\d{6}_chk`},
			{r.FixID, `F-\d{5}r\d{6}_fix`},
			{r.MKE, `(CNTR-MK-\d{6})?`},
		} {
			wellFormed(t, r.StigID, id.text, id.want)
		}
		for i, want := range []string{`V-9\d{4}`, `SV-10\d{4}`, `SV-` + strings.TrimPrefix(r.VulnID, "V-") + `r\d{6}_rule`, `SV-10\d{4}r\d_rule`} {
			if r.StigID != added {
				wellFormed(t, r.StigID, r.OtherIDs[i], want)
			}
		}
		if want := map[bool]int{true: 0, false: 4}[r.StigID == added]; len(r.OtherIDs) != want {
			t.Errorf("%s: earlier identifiers %v", r.StigID, r.OtherIDs)
		}
		for _, id := range append(r.Names(), r.CheckID, r.FixID) {
			if other, twice := seen[id]; twice {
				t.Errorf("%s is both %s and %s", id, other, r.StigID)
			}
			seen[id] = r.StigID
		}
		if r.VulnID <= last {
			t.Errorf("%s stands behind %s", r.VulnID, last)
		}
		last = r.VulnID
	}
}

func wellFormed(t *testing.T, id stig.ID, text, want string) {
	t.Helper()
	if !regexp.MustCompile(`^` + want + `$`).MatchString(text) {
		t.Errorf("%s: %q is not of the form %s", id, text, want)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	ccis, distinct := 0, map[string]bool{}
	for _, r := range guide(t).Requirements {
		for form, list := range map[string][]string{`CCI-\d{6}`: r.CCIs, `SRG-APP-\d{6}`: r.SRGs} {
			if len(list) == 0 {
				t.Errorf("%s: nothing of the form %s", r.StigID, form)
			}
			for i, text := range list {
				wellFormed(t, r.StigID, text, form)
				if slices.Contains(list[:i], text) {
					t.Errorf("%s: %s is there twice", r.StigID, text)
				}
			}
		}
		for _, cci := range r.CCIs {
			ccis++
			distinct[cci] = true
		}
		for version, numbers := range r.CIS {
			if !slices.Contains([]string{"1.2.0", "1.6.0"}, version) || len(numbers) == 0 {
				t.Errorf("%s: CIS %s %v", r.StigID, version, numbers)
			}
			for _, number := range numbers {
				wellFormed(t, r.StigID, number, `[1-8](\.\d{1,2}){1,2}`)
			}
		}
	}
	if ccis != 219 || len(distinct) != 96 {
		t.Errorf("%d CCIs, %d distinct, want 219 and 96", ccis, len(distinct))
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	titles := map[string]stig.ID{}
	for _, r := range guide(t).Requirements {
		for name, text := range map[string]string{"title": r.Title, "check": r.Check, "fix": r.Fix} {
			if text == "" || strings.TrimSpace(text) != text || strings.Contains(text, "  ") || strings.Contains(text, "\n") {
				t.Errorf("%s: the %s is %q", r.StigID, name, text)
			}
			if ended := strings.HasSuffix(text, "."); ended == (name == "title") {
				t.Errorf("%s: the end of the %s: %q", r.StigID, name, text)
			}
		}
		if len(r.Title) > 90 {
			t.Errorf("%s: a title of %d letters", r.StigID, len(r.Title))
		}
		if other, twice := titles[r.Title]; twice {
			t.Errorf("%s and %s have the same title", r.StigID, other)
		}
		titles[r.Title] = r.StigID
	}
}

// vulnIDs finds the rows that a text refers to.
var vulnIDs = regexp.MustCompile(`V-\d+`)

func TestTextsReferToRows(t *testing.T) {
	t.Parallel()
	b := guide(t)
	for _, r := range b.Requirements {
		for _, id := range vulnIDs.FindAllString(r.Check+r.Fix, -1) {
			if _, ok := b.Find(id); !ok {
				t.Errorf("%s refers to %s, which is not in the guide", r.StigID, id)
			}
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	b := guide(t)
	for _, r := range b.Requirements {
		for _, id := range r.Names() {
			revision := regexp.MustCompile(`r\d+$`)
			bare := strings.TrimSuffix(id, "_rule")
			for _, name := range []string{id, strings.ToLower(id), " " + id + " ", bare, revision.ReplaceAllString(bare, "")} {
				if found, ok := b.Find(name); !ok || found.StigID != r.StigID {
					t.Errorf("%q: got %q, want %s", name, found.StigID, r.StigID)
				}
			}
		}
	}
	for _, name := range []string{"", "V-", "V-23578", "DKER-EE", "SV", "rule", "CCI-000366"} {
		if found, ok := b.Find(name); ok {
			t.Errorf("%q: got %s", name, found.StigID)
		}
	}
}

// TestOwnWords holds that no eight words in a row are DISA's or the
// catalogue's, where those lie beside the project.
func TestOwnWords(t *testing.T) {
	t.Parallel()
	theirs := map[string]string{}
	add := func(source, text string) {
		for _, run := range runs(text) {
			theirs[run] = source
		}
	}
	file, err := os.Open(beside(t, "U_Docker_Enterprise_2-x_Linux-Unix_STIG_V2R2_Manual-xccdf.xml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	g, err := ReadXCCDF(file, "DISA's file")
	if err != nil {
		t.Fatal(err)
	}
	for _, texts := range g.Rules {
		for _, text := range []string{texts.Title, texts.Discussion, texts.Check, texts.Fix} {
			add("DISA's", text)
		}
	}
	catalogue, err := os.Open(beside(t, "docker-enterprise-2.x.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer catalogue.Close()
	rows, err := csv.NewReader(catalogue).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, text := range row {
			add("the catalogue's", text)
		}
	}
	for _, r := range guide(t).Requirements {
		for _, text := range []string{r.Title, r.Check, r.Fix} {
			for _, run := range runs(text) {
				if source, copied := theirs[run]; copied {
					t.Errorf("%s: these are %s words: %q", r.StigID, source, run)
				}
			}
		}
	}
}

// runs gives every eight words in a row, without case and punctuation.
func runs(text string) []string {
	const length = 8
	var words []string
	for _, word := range strings.Fields(strings.ToLower(text)) {
		if word = strings.Trim(word, `.,;:()[]{}"'`); word != "" {
			words = append(words, word)
		}
	}
	var all []string
	for i := range len(words) - length + 1 {
		all = append(all, strings.Join(words[i:i+length], " "))
	}
	return all
}
