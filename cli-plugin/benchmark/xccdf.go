package benchmark

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// maxXCCDF bounds a guide's file in bytes; DISA's for Docker Enterprise has
// 413 KiB, and its largest have 3 MiB.
const maxXCCDF = 16 << 20

// maxRules bounds the rules of a guide; DISA's largest have about 500.
const maxRules = 10_000

// xccdf11 is the namespace of XCCDF 1.1, in which DISA writes its manuals.
const xccdf11 = "http://checklists.nist.gov/xccdf/1.1"

// zipMagic is how a zip begins, which is what DISA hands the file out in.
const zipMagic = "PK\x03\x04"

// guideReleases lists the releases whose file is taken: the same rules under
// the same STIG IDs, but for the one that V2R2 added.
var guideReleases = []string{"V2R1", "V2R2"}

// A Guide is what DISA's own file says: the texts that this package has in
// its own words only.
type Guide struct {
	ID          string // "Docker_Enterprise_2-x_Linux-UNIX_STIG"
	Title       string
	Version     string // "2"
	ReleaseInfo string // "Release: 2 Benchmark Date: 24 Jul 2024"
	Notice      string // the notice's id, "terms-of-use"
	Source      string // "STIG.DOD.MIL"
	TargetKey   string // "5281"
	Filename    string // without its folder
	Rules       map[stig.ID]Texts
}

// Texts are what DISA's file says of one rule. Checklists repeat all of them.
type Texts struct {
	VulnID     string   `json:"vulnId"`
	RuleID     string   `json:"ruleId"` // of the file's release
	GroupTitle string   `json:"groupTitle"`
	Title      string   `json:"title"`
	LegacyIDs  []string `json:"legacyIds"`
	CCIs       []string `json:"ccis"`
	Weight     string   `json:"weight"` // "10.0"

	Discussion               string `json:"discussion"`
	FalsePositives           string `json:"falsePositives"`
	FalseNegatives           string `json:"falseNegatives"`
	Documentable             string `json:"documentable"` // "false"
	Mitigations              string `json:"mitigations"`
	SeverityOverrideGuidance string `json:"severityOverrideGuidance"`
	PotentialImpacts         string `json:"potentialImpacts"`
	ThirdPartyTools          string `json:"thirdPartyTools"`
	MitigationControl        string `json:"mitigationControl"`
	Responsibility           string `json:"responsibility"`
	IAControls               string `json:"iaControls"`

	CheckID      string `json:"checkId"`
	CheckRef     string `json:"checkRef"`     // href of the check-content-ref
	CheckRefName string `json:"checkRefName"` // "M", a manual check
	Check        string `json:"check"`
	FixID        string `json:"fixId"`
	Fix          string `json:"fix"`
}

// ReadXCCDF reads the manual that DISA publishes for this guide, in release
// V2R1 or V2R2. The name, of the file, stands in messages.
//
// Elements that nobody asked for are passed over. Nothing is fetched: the XML
// reader knows no external entities, and refuses those it does not know.
func ReadXCCDF(r io.Reader, name string) (*Guide, error) {
	bounded := &io.LimitedReader{R: r, N: maxXCCDF + 1}
	g, err := parseXCCDF(bounded)
	if bounded.N <= 0 {
		return nil, fmt.Errorf("%s: at most %d MiB are read: %s", name, maxXCCDF>>20, wantedXCCDF)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as XCCDF: %w: %s", name, err, wantedXCCDF)
	}
	own, err := DockerEnterprise()
	if err != nil {
		return nil, err
	}
	g.Filename = filepath.Base(name)
	if err := g.belongsTo(own); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, wantedXCCDF)
	}
	return g, nil
}

const wantedXCCDF = "want the manual of DISA's Docker Enterprise 2.x STIG, the file *_V2R2_Manual-xccdf.xml (or V2R1) out of DISA's zip"

// releaseNumber finds N in "Release: N Benchmark Date: …".
var releaseNumber = regexp.MustCompile(`^Release: *(\d+)\b`)

// ReleaseName is "V2R2", as DISA writes it.
func (g *Guide) ReleaseName() string {
	number := "?"
	if match := releaseNumber.FindStringSubmatch(g.ReleaseInfo); match != nil {
		number = match[1]
	}
	return "V" + g.Version + "R" + number
}

// belongsTo wants the guide to be the benchmark's, and to have no rule beyond
// its rules.
func (g *Guide) belongsTo(b Benchmark) error {
	if g.ID != b.ID {
		return fmt.Errorf("this is another guide, %q (%q)", g.ID, g.Title)
	}
	if release := g.ReleaseName(); !slices.Contains(guideReleases, release) {
		return fmt.Errorf("this is release %s (version %q, %q), and %s are known", release, g.Version, g.ReleaseInfo, strings.Join(guideReleases, " and "))
	}
	if len(g.Rules) == 0 {
		return errors.New("there is no rule in it")
	}
	for id, texts := range g.Rules {
		if own, ok := b.Find(string(id)); !ok || own.StigID != id || own.VulnID != texts.VulnID {
			return fmt.Errorf("its rule %q in %q is none of this guide", id, texts.VulnID)
		}
	}
	return nil
}

// parseXCCDF reads the children of the root one at a time.
func parseXCCDF(r io.Reader) (*Guide, error) {
	buffered := bufio.NewReader(r)
	if magic, _ := buffered.Peek(len(zipMagic)); string(magic) == zipMagic {
		return nil, errors.New("it is a zip, to be unpacked first")
	}
	decoder := xml.NewDecoder(buffered)
	root, err := firstElement(decoder)
	if err != nil {
		return nil, err
	}
	if root.Name.Local != "Benchmark" || root.Name.Space != xccdf11 {
		return nil, fmt.Errorf("it begins with the element %q of %q, not with a Benchmark of %s", root.Name.Local, root.Name.Space, xccdf11)
	}
	g := &Guide{ID: attribute(root, "id"), Rules: map[stig.ID]Texts{}}
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if err := g.child(decoder, token); err != nil {
				return nil, err
			}
		case xml.EndElement: // of the root: all else is consumed by child
			return g, nil
		}
	}
}

// firstElement skips the prolog.
func firstElement(decoder *xml.Decoder) (xml.StartElement, error) {
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return xml.StartElement{}, errors.New("there is no XML in it")
		}
		if err != nil {
			return xml.StartElement{}, err
		}
		if element, ok := token.(xml.StartElement); ok {
			return element, nil
		}
	}
}

func attribute(element xml.StartElement, name string) string {
	for _, attr := range element.Attr {
		if attr.Name.Local == name && attr.Name.Space == "" {
			return attr.Value
		}
	}
	return ""
}

// child consumes one child of the root.
func (g *Guide) child(decoder *xml.Decoder, element xml.StartElement) error {
	text := map[string]*string{"title": &g.Title, "version": &g.Version}[element.Name.Local]
	switch {
	case element.Name.Space != xccdf11:
		return decoder.Skip()
	case text != nil:
		return decoder.DecodeElement(text, &element)
	}
	switch element.Name.Local {
	case "plain-text":
		var plain string
		if err := decoder.DecodeElement(&plain, &element); err != nil {
			return err
		}
		if attribute(element, "id") == "release-info" {
			g.ReleaseInfo = plain
		}
		return nil
	case "notice":
		g.Notice = attribute(element, "id")
		return decoder.Skip()
	case "reference":
		var ref xccdfReference
		err := decoder.DecodeElement(&ref, &element)
		g.Source = ref.Source
		return err
	case "Group":
		var group xccdfGroup
		if err := decoder.DecodeElement(&group, &element); err != nil {
			return err
		}
		return g.add(group)
	default:
		return decoder.Skip()
	}
}
