package rules

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// supportedVersion wants an engine that its vendor still mends (V-265885,
// CAT I).
//
// https://github.com/moby/moby/blob/master/project/BRANCHES-AND-TAGS.md
var supportedVersion = Rule{
	IDs:   []stig.ID{"DKER-EE-999999"},
	Check: judgeVersion,
	Steps: []Step{
		{"the installation is not Docker Enterprise 2.x: neither its engine, nor UCP or DTR where they run", "judgeVersion"},
		{"the version is one that its vendor supports", "supportOf"},
	},
	Readings: []string{
		"Docker Enterprise 3.0 began with engine 19.03, UCP 3.2 and DTR 2.7, so what is below that is 2.x or older, and a finding",
		"UCP and DTR (now MKE and MSR) count by the tags of their containers that run on this engine",
		"the requirement's title asks for a supported version of whatever runs: vendors' announcements are kept as a table with their sources, and versions it does not know are for a person",
		"a distribution's own build names no vendor: only the distribution says how long it mends it",
	},
}

// tableTrusted is how long a vendor's word that a version is maintained, with
// no day named, counts after it was read. A major version of the engine lives
// for about a year.
const tableTrusted = 365 * 24 * time.Hour

func judgeVersion(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	version, err := h.Version(ctx)
	if err != nil {
		return nil, err
	}
	if version.Version == "" {
		return nil, errors.New("the engine's answer to GET /version names no version: is it an engine?")
	}
	f := stig.Finding{Evidence: []stig.Fact{
		{Source: "engine", Asked: "GET /version Platform.Name", Answer: version.Platform.Name},
		{Source: "engine", Asked: "GET /version Version", Answer: version.Version},
	}}
	supportOf(&f, edition(version), vendorOf(version), version.Version, h.Now())
	findings := []stig.Finding{f}
	for _, p := range []host.Product{host.UCP, host.DTR} {
		if f := productSupport(ctx, h, p); f != nil {
			findings = append(findings, *f)
		}
	}
	return findings, nil
}

// productSupport judges a product that runs on the engine; nil: it does not.
func productSupport(ctx context.Context, h *host.Host, p host.Product) *stig.Finding {
	f := &stig.Finding{Object: p.Name}
	members, err := h.Members(ctx, p)
	if err != nil {
		f.Details = fmt.Sprintf("whether %s runs on this engine is unknown: %v", p.Name, err)
		return f
	}
	if len(members) == 0 {
		return nil
	}
	version, err := runningVersion(ctx, h, p)
	if err != nil || version == "" {
		f.Details = fmt.Sprintf("%s runs here (%s), and the tags of its images do not tell which version: %s", p.Name, members[0], supportAnswer)
		return f
	}
	f.Evidence = []stig.Fact{{Source: "engine", Asked: "tag of the running containers of " + p.Name, Answer: version}}
	supportOf(f, p.Name+" "+version, p.Name, version, h.Now())
	return f
}

const supportAnswer = "put the answer under answers.DKER-EE-999999 in site.yaml: the day until which the vendor supports it, and where that is written"

// supportOf compares with what the vendor announced.
func supportOf(f *stig.Finding, name, vendor, version string, now time.Time) {
	row, known := announced(vendor, version)
	if known {
		f.Evidence = append(f.Evidence, stig.Fact{Source: row.source, Asked: vendor + " " + row.release, Answer: row.answer()})
	}
	switch {
	case vendor == "" && known && row.ended:
		f.Details = fmt.Sprintf("%s names no vendor, so a distribution built it; upstream no longer maintains %s. If the distribution still mends it, %s; else upgrade", name, row.release, supportAnswer)
	case vendor == "" || !known:
		f.Details = fmt.Sprintf("whether the vendor of %s still supports it is not known here: %s", name, supportAnswer)
	case row.ended || !row.until.IsZero() && now.After(row.until.AddDate(0, 0, 1)):
		f.Status = stig.Open
		f.Details = fmt.Sprintf("%s: %s (%s). Upgrade to a version that is supported", name, row.answer(), row.source)
	case !row.until.IsZero():
		f.Status, f.Expires = stig.NotAFinding, row.until
		f.Details = fmt.Sprintf("%s: %s (%s)", name, row.answer(), row.source)
	case now.Sub(tableRead) > tableTrusted:
		f.Details = fmt.Sprintf("%s was maintained when this program learned of it on %s, and that is too long ago: bring docker-stig up to date, or %s", name, tableRead.Format(time.DateOnly), supportAnswer)
	default:
		f.Status = stig.NotAFinding
		f.Details = fmt.Sprintf("%s: %s (%s). It is maintained by its makers, which is no vendor's contract", name, row.answer(), row.source)
	}
}

// edition names the engine.
func edition(version client.ServerVersionResult) string {
	name := version.Platform.Name
	if name == "" {
		name = "an engine without an edition,"
	}
	return name + " " + version.Version
}

// vendorOf tells whose word counts, "" if the engine names nobody. Engines of
// Docker Enterprise 2.0 name their edition in the version alone: 17.06.2-ee-25.
func vendorOf(version client.ServerVersionResult) string {
	platform := version.Platform.Name
	switch {
	case strings.Contains(platform, "Mirantis"):
		return mirantis
	case strings.Contains(platform, "Enterprise"), platform == "" && strings.Contains(version.Version, "-ee"):
		return enterprise
	case strings.Contains(platform, "Community"):
		return community
	default:
		return ""
	}
}

// announced finds what a vendor said of a version; of an engine without a
// vendor, what upstream said.
func announced(vendor, version string) (support, bool) {
	major, minor, ok := release(version)
	if !ok {
		return support{}, false
	}
	if vendor == "" {
		vendor = community
	}
	for _, row := range supportTable {
		below := row.below != [2]int{} && (major < row.below[0] || major == row.below[0] && minor < row.below[1])
		within := row.release == fmt.Sprintf("%d.x", major) || row.release == fmt.Sprintf("%d.%02d", major, minor) || row.release == fmt.Sprintf("%d.%d", major, minor)
		if row.vendor == vendor && (below || within) {
			return row, true
		}
	}
	return support{}, false
}

// release reads the first two numbers of a version: 20.10.24+dfsg1, 17.06.2-ee-25.
func release(version string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(version, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(second)
	return major, minor, errMajor == nil && errMinor == nil
}
