// Package packages decides whether the engine of a host is the one its vendor
// built and signed: the package half of DKER-EE-001770 (V-235788).
//
// It believes no tool's verdict. The signature over a repository's release
// file, or over an rpm's header, is verified here, against the keys that the
// host's own package manager trusts, and counts when the key's full
// fingerprint is in the table of vendors (keys.go) or approved by the site.
// From there a chain of digests leads down to the installed dockerd:
//
//	deb: InRelease -> Packages -> the stanza dpkg installed -> .deb -> dockerd
//	rpm: header -> file digest -> dockerd
//
// The last links of a deb are weaker than those of an rpm. dpkg keeps no
// SHA-256, so the stanza is recognized as apt recognizes it, by the fields
// that tell two builds of one version apart, and dockerd by dpkg's md5sums.
// Where apt's cache still has the .deb, its bytes close that gap.
//
// Everything is read below a root directory, so that a mounted host can be
// judged. Files are read directly; only an rpm database needs the rpm program,
// which hands over raw bytes. Paths of apt and dpkg are the defaults of
// apt 2.6: a host that moves them with apt.conf is not understood. Images, and
// what a rule makes of the answer, are left to the caller.
//
// A *Refused error is a no. Every other error means that the question could
// not be answered, and says what to do next.
//
// Formats: sources.list(5), deb822(5), the Debian repository format as of
// 2024, RPM 4 header format, OpenPGP (RFC 9580).
package packages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/shared/stig"
)

// Options say which host is judged, and by whose keys.
type Options struct {
	Root     string    // the host's root directory; empty: "/"
	Engine   string    // path of the dockerd that runs, below Root; empty: not known
	Approved []string  // signing keys the site approved, full fingerprints
	Now      time.Time // keys expired or revoked by then do not count
}

// A Proof is what is known of an engine package whose signature holds.
type Proof struct {
	Package      string
	Version      string
	Architecture string
	Format       Format
	Key          Key
	Repository   string // "URI SUITE" of the signed repository; of an rpm, the vendor its header names
	// Installed says that the dockerd below Root is the one in the package.
	// Installed never returns a Proof without it; VerifyFile may, because a
	// file can be judged before it is installed, or never be.
	Installed bool
	Facts     []stig.Fact
}

// Refused says why an engine is not its vendor's: a finding.
type Refused struct {
	Reason string
	Advice string // what to do next
	Facts  []stig.Fact
}

// Error gives reason and advice.
func (r *Refused) Error() string { return r.Reason + ": " + r.Advice }

// What a package manager answers that has nothing to judge.
var (
	errNoDatabase = errors.New("no package database")
	errNoEngine   = errors.New("no engine package")
)

// A judge carries one question through the steps, and the evidence out.
type judge struct {
	root   root
	engine string
	known  knownKeys
	now    time.Time
	facts  []stig.Fact
}

func newJudge(rootDir, engine string, approved []string, now time.Time) (*judge, error) {
	if now.IsZero() {
		return nil, errors.New("judging engine packages: no time given at which keys must be valid")
	}
	known, err := newKnownKeys(approved)
	if err != nil {
		return nil, err
	}
	if rootDir == "" {
		rootDir = "/"
	}
	return &judge{root: root(rootDir), engine: engine, known: known, now: now}, nil
}

func (j *judge) fact(source, asked, format string, args ...any) {
	j.facts = append(j.facts, stig.Fact{Source: source, Asked: asked, Answer: fmt.Sprintf(format, args...)})
}

func (j *judge) refuse(reason, advice string) *Refused {
	return &Refused{Reason: reason, Advice: advice, Facts: j.facts}
}

// Installed proves that the installed engine package is its vendor's.
func Installed(ctx context.Context, o Options) (Proof, error) {
	j, err := newJudge(o.Root, o.Engine, o.Approved, o.Now)
	if err != nil {
		return Proof{}, err
	}
	managers := []struct {
		name  string
		judge func(context.Context) (Proof, error)
	}{
		{"dpkg", j.installedDeb},
		{"rpm", j.installedRPM},
	}
	var databases []string
	for _, m := range managers {
		proof, err := m.judge(ctx)
		switch {
		case errors.Is(err, errNoDatabase):
		case errors.Is(err, errNoEngine):
			databases = append(databases, m.name)
		case err != nil:
			return Proof{}, err
		default:
			j.strayEngines(proof)
			proof.Installed, proof.Facts = true, j.facts
			return proof, nil
		}
	}
	return Proof{}, j.noPackage(databases)
}

// noPackage is the answer for a host none of whose package databases knows an
// engine.
func (j *judge) noPackage(databases []string) error {
	if len(databases) == 0 {
		return fmt.Errorf("no dpkg or rpm database below %s: run this on the engine's own host, or name its root directory", j.root)
	}
	found := j.enginesOnDisk()
	if len(found) == 0 {
		return fmt.Errorf("no engine found below %s: neither %s knows an engine package nor is there a dockerd in the usual places; "+
			"say where dockerd is", j.root, strings.Join(databases, " nor "))
	}
	for _, name := range found {
		j.fact(strings.Join(databases, ", "), name, "belongs to no installed package")
	}
	return j.refuse("no engine package is installed, "+found[0]+" was put there by hand",
		"install the vendor's package, or give the package it came from with --package")
}

// strayEngines notes every other dockerd on disk: it may be started by mistake.
func (j *judge) strayEngines(p Proof) {
	for _, name := range j.enginesOnDisk() {
		if slices.Contains(handPaths, name) {
			j.fact("disk", name, "is a dockerd outside the package %s", p.Package)
		}
	}
}
