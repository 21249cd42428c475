package rules

import "time"

// The vendors of engines, by whose word a version is supported.
const (
	community  = "Docker Engine - Community"
	enterprise = "Docker Engine - Enterprise"
	mirantis   = "Mirantis Container Runtime"
)

// Products of Docker Enterprise, which Mirantis calls MKE and MSR, have rows
// under the names that package host gives them.
const (
	ucpProduct = "UCP"
	dtrProduct = "DTR"
)

// A support row is what a vendor announced of a release.
type support struct {
	vendor  string
	release string // "25.0", "29.x", or in words where below is set
	below   [2]int // this row is for all releases before this one
	ended   bool   // it is over, on until if that day is known
	until   time.Time
	source  string
}

// answer says it in words.
func (s support) answer() string {
	switch {
	case s.ended && s.until.IsZero():
		return "support of " + s.release + " has ended"
	case s.ended:
		return "support of " + s.release + " ended on " + s.until.Format(time.DateOnly)
	case s.until.IsZero():
		return s.release + " is maintained"
	default:
		return s.release + " is supported until " + s.until.Format(time.DateOnly)
	}
}

// tableRead is the day of the newest source: moby v2.0.0-beta.24.
var tableRead = day(2026, 9, 15)

const (
	branches  = "https://github.com/moby/moby/blob/v2.0.0-beta.24/project/BRANCHES-AND-TAGS.md"
	mcr1903   = "https://docs.mirantis.com/mcr/19.03/index.html"
	disaV2R2  = "DISA Docker Enterprise 2.x Linux/UNIX STIG V2R2, V-265885"
	released2 = "Docker Enterprise 2.x or older"

	enterprise30 = "https://docs.mirantis.com/docker-enterprise"
	mke33        = "https://docs.mirantis.com/mke/3.3/ref-arch.html"
	mke34        = "https://docs.mirantis.com/mke/3.4/index.html"
	mke35        = "https://docs.mirantis.com/mke/3.5/ref-arch.html"
	mke37        = "https://docs.mirantis.com/mke/3.7/release-notes/deprecation-notes.html"
)

// supportTable is read from the top; the first row that fits counts. Docker,
// Inc. builds packages of 29.x alone: 25.0 is kept alive for Amazon and
// Mirantis, who build their own.
var supportTable = []support{
	{vendor: community, release: "29.x", source: branches},
	{vendor: community, release: "releases before 29", below: [2]int{29, 0}, ended: true, source: branches},

	{vendor: enterprise, release: released2, below: [2]int{19, 3}, ended: true, source: disaV2R2},
	{vendor: enterprise, release: "19.03", ended: true, until: day(2022, 5, 27), source: mcr1903},

	{vendor: mirantis, release: released2, below: [2]int{19, 3}, ended: true, source: disaV2R2},
	{vendor: mirantis, release: "19.03", ended: true, until: day(2022, 5, 27), source: mcr1903},
	{vendor: mirantis, release: "20.10", ended: true, source: branches},
	{vendor: mirantis, release: "23.0", ended: true, until: day(2025, 5, 19), source: branches},
	{vendor: mirantis, release: "25.0", until: day(2026, 12, 4), source: branches},

	{vendor: ucpProduct, release: released2, below: [2]int{3, 2}, ended: true, source: disaV2R2},
	{vendor: ucpProduct, release: "3.2", ended: true, until: day(2021, 7, 21), source: enterprise30},
	{vendor: ucpProduct, release: "3.3", ended: true, until: day(2022, 5, 27), source: mke33},
	{vendor: ucpProduct, release: "3.4", ended: true, until: day(2023, 4, 11), source: mke34},
	{vendor: ucpProduct, release: "3.5", ended: true, until: day(2023, 11, 22), source: mke35},
	{vendor: ucpProduct, release: "3.7", ended: true, until: day(2025, 8, 29), source: mke37},

	{vendor: dtrProduct, release: released2, below: [2]int{2, 7}, ended: true, source: disaV2R2},
	{vendor: dtrProduct, release: "2.7", ended: true, until: day(2021, 7, 21), source: enterprise30},
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}
