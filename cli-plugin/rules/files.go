package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// A fileRule wants files owned by somebody, or with no permission beyond some.
type fileRule struct {
	id    stig.ID
	files places
	// One of the two is wanted.
	owner string // "root:root"
	mode  mode
	// absent is the status where there is no such file, and none the one
	// where nothing leads to a file; NotReviewed, it is that of absent.
	absent   stig.Status
	none     stig.Status
	readings []string
}

// A mode is which permissions a file may have.
type mode struct {
	bits  fs.FileMode
	exact bool // no others, and no fewer
}

func atMost(bits fs.FileMode) mode  { return mode{bits: bits} }
func exactly(bits fs.FileMode) mode { return mode{bits: bits, exact: true} }

// A place is where a file is, or would be.
type place struct {
	path string
	kind fs.FileMode // its type: 0 for a regular file
}

// places finds the files to judge. With none, whyNone says what that means.
type places func(ctx context.Context, h *host.Host) (found []place, whyNone string, err error)

const titleDecides = "The requirement's title allows stricter modes and the last sentence of its check the exact mode alone; the title decides."

// fileRules are those about owners and modes of Docker's files.
//
// https://docs.docker.com/engine/security/protect-access/
var fileRules = []Rule{
	fileRule{id: "DKER-EE-005170", files: unitFile("docker.service"), owner: "root:root", absent: stig.NotAFinding}.rule(),  // V-235851, CAT I
	fileRule{id: "DKER-EE-005180", files: unitFile("docker.service"), mode: atMost(0o644), absent: stig.NotAFinding}.rule(), // V-235852, CAT II
	fileRule{id: "DKER-EE-005190", files: unitFile("docker.socket"), owner: "root:root", absent: stig.NotAFinding}.rule(),   // V-235853, CAT I
	fileRule{id: "DKER-EE-005200", files: unitFile("docker.socket"), mode: atMost(0o644), absent: stig.NotAFinding}.rule(),  // V-235854, CAT II
	fileRule{id: "DKER-EE-005210", files: configFolder, owner: "root:root", absent: stig.Open, readings: []string{ // V-235855, CAT I
		"For Ubuntu the guide names /etc/default/docker as the folder. It is a file: there both are judged, and /etc/docker alone where that file is absent.",
		noFolder,
	}}.rule(),
	fileRule{id: "DKER-EE-005220", files: at("/etc/docker", fs.ModeDir), mode: atMost(0o755), absent: stig.Open, readings: []string{titleDecides, noFolder}}.rule(), // V-235856, CAT II
	fileRule{id: "DKER-EE-005230", files: registryCertificates(true), owner: "root:root", absent: stig.NotAFinding, readings: []string{ // V-235857, CAT I
		noCertificates, "The guide's command prints the owners of the registries' folders, its text speaks of the files in them: both are judged.",
	}}.rule(),
	fileRule{id: "DKER-EE-005240", files: registryCertificates(false), mode: atMost(0o444), absent: stig.NotAFinding, readings: []string{titleDecides, noCertificates}}.rule(),      // V-235858, CAT II
	fileRule{id: "DKER-EE-005250", files: tlsFile("tlscacert"), none: stig.NotApplicable, owner: "root:root", readings: tlsReadings}.rule(),                                         // V-235859, CAT I
	fileRule{id: "DKER-EE-005260", files: tlsFile("tlscacert"), none: stig.NotApplicable, mode: atMost(0o444), readings: slices.Concat(tlsReadings, []string{titleDecides})}.rule(), // V-235860, CAT II
	fileRule{id: "DKER-EE-005270", files: tlsFile("tlscert"), none: stig.NotApplicable, owner: "root:root", readings: tlsReadings}.rule(),                                           // V-235861, CAT I
	fileRule{id: "DKER-EE-005280", files: tlsFile("tlscert"), none: stig.NotApplicable, mode: atMost(0o444), readings: slices.Concat(tlsReadings, []string{titleDecides})}.rule(),   // V-235862, CAT II
	fileRule{id: "DKER-EE-005290", files: tlsFile("tlskey"), none: stig.NotApplicable, owner: "root:root", readings: tlsReadings}.rule(),                                            // V-235863, CAT II
	fileRule{id: "DKER-EE-005300", files: tlsFile("tlskey"), none: stig.NotApplicable, mode: exactly(0o400), readings: tlsReadings}.rule(),                                          // V-235864, CAT I
	fileRule{id: "DKER-EE-005310", files: apiSocket, owner: "root:docker", readings: []string{otherSocket}}.rule(),                                                                  // V-235865, CAT I
	fileRule{id: "DKER-EE-005320", files: apiSocket, mode: atMost(0o660), readings: []string{titleDecides, otherSocket}}.rule(),                                                     // V-235866, CAT I
	fileRule{id: "DKER-EE-005330", files: at(daemonConfig, 0), owner: "root:root", absent: stig.Open}.rule(),                                                                        // V-235867, CAT I
	fileRule{id: "DKER-EE-005340", files: at(daemonConfig, 0), mode: atMost(0o644), absent: stig.Open, readings: []string{ // V-235868, CAT I
		titleDecides, "A daemon.json that is missing is open: the requirement before it wants the file, and a mode is wanted of it here.",
	}}.rule(),
	fileRule{id: "DKER-EE-005350", files: defaultsFile, owner: "root:root", absent: stig.NotApplicable, readings: []string{dependsOnFile}}.rule(),                // V-235869, CAT I
	fileRule{id: "DKER-EE-005360", files: defaultsFile, mode: atMost(0o644), absent: stig.NotApplicable, readings: []string{titleDecides, dependsOnFile}}.rule(), // V-235870, CAT I
}

const (
	linkReading    = "stat without -L looks at a symbolic link itself, whose mode is always 0777: the file it leads to is judged."
	noFolder       = "A host without /etc/docker is open: the guide's command prints nothing there, and it wants to see the owner and the mode."
	noCertificates = "No certificates of registries is no finding: there is nothing to protect."
	otherSocket    = "The guide names /var/run/docker.sock. Where the engine is reached on another socket of this host, that one is judged too; where neither is there, nobody can tell."
	dependsOnFile  = "The file is optional, and the requirement speaks of the one that is there: without it it does not apply."
)

var tlsReadings = []string{
	"The guide gives no path: the file is the one that dockerd is told to use, and without TLS the requirement does not apply.",
	"Certificates in the volumes of UCP are left out: Docker wants another owner there, and a change of it breaks UCP.",
}

// rule makes a Rule of it.
func (r fileRule) rule() Rule {
	wanted := "its owner and group are " + r.owner
	if r.owner == "" {
		wanted = fmt.Sprintf("its mode is %04o or stricter", r.mode.bits)
		if r.mode.exact {
			wanted = fmt.Sprintf("its mode is %04o", r.mode.bits)
		}
	}
	return Rule{IDs: []stig.ID{r.id}, Check: r.check, Fix: r.fix, Readings: append(slices.Clone(r.readings), linkReading), Steps: []Step{
		{"Find the file", "fileRule.check"}, {"Look at it with stat: " + wanted, "fileRule.judge"},
	}}
}

// check judges each file. Where there are many, those that pass are summed up.
func (r fileRule) check(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	found, whyNone, err := r.files(ctx, h)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return []stig.Finding{{Status: r.withoutFile(), Details: whyNone}}, nil
	}
	var findings, passed []stig.Finding
	for _, p := range found {
		f := r.judge(h, p)
		if f.Status == stig.NotAFinding {
			passed = append(passed, f)
			continue
		}
		findings = append(findings, f)
	}
	if len(passed) > 3 {
		passed = []stig.Finding{{Status: stig.NotAFinding, Details: fmt.Sprintf("%d files pass", len(passed))}}
	}
	return slices.Concat(passed, findings), nil
}

// withoutFile is the status where nothing leads to a file.
func (r fileRule) withoutFile() stig.Status {
	if r.none != stig.NotReviewed {
		return r.none
	}
	return r.absent
}

// judge looks at one file. It is not opened.
func (r fileRule) judge(h *host.Host, p place) stig.Finding {
	f := stig.Finding{Object: p.path}
	file, err := h.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && h.Dangling(p.path):
		f.Details = "it is a link that leads nowhere: put it right or remove it"
		return f
	case errors.Is(err, fs.ErrNotExist):
		f.Status, f.Details = r.absent, "there is no such file"
		if r.absent == stig.Open {
			f.Details = fmt.Sprintf("there is no such file, and the guide wants one: create it, owned by root:root, with %s", r.creation())
		}
		if r.absent == stig.NotReviewed {
			f.Details = "there is no such file, though the engine was told of it: look at its configuration"
		}
		return f
	case err != nil:
		f.Details = err.Error()
		return f
	case file.Mode.Type() != p.kind:
		f.Details = fmt.Sprintf("it is a %s where a %s belongs: look what it is", typeName(file.Mode), typeName(p.kind))
		return f
	}
	owner := file.Owner + ":" + file.Group
	f.Status = stig.NotAFinding
	f.Details = fmt.Sprintf("%s %04o", owner, unixMode(file.Mode))
	f.Evidence = []stig.Fact{{Source: "host", Asked: "stat " + p.path, Answer: f.Details}}
	if r.owner != "" && owner != r.owner {
		f.Status = stig.Open
		f.Details = fmt.Sprintf("it belongs to %s and should belong to %s: chown %[2]s %s", owner, r.owner, p.path)
	}
	if r.owner == "" && !r.mode.allows(file.Mode) {
		f.Status = stig.Open
		f.Details = fmt.Sprintf("its mode is %04o and should be %s: chmod %04o %s", unixMode(file.Mode), r.mode, r.mode.of(file.Mode), p.path)
	}
	return f
}

// creation says what makes the file or folder.
func (r fileRule) creation() string {
	if r.id == "DKER-EE-005330" || r.id == "DKER-EE-005340" {
		return "{} in it and mode 0644"
	}
	return "mode 0755"
}

// allows reports whether a file has no permission beyond the wanted ones.
func (m mode) allows(have fs.FileMode) bool {
	bits := unixMode(have)
	if m.exact {
		return bits == uint32(m.bits)
	}
	return bits&^uint32(m.bits) == 0
}

// of is the mode that a file should have: what it has beyond is taken away, and
// a key that only root reads stays so.
func (m mode) of(have fs.FileMode) uint32 {
	if m.exact {
		return uint32(m.bits)
	}
	return unixMode(have) & uint32(m.bits)
}

func (m mode) String() string {
	if m.exact {
		return fmt.Sprintf("%04o", m.bits)
	}
	return fmt.Sprintf("%04o or stricter", m.bits)
}

// unixMode gives the twelve bits that stat prints.
func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func typeName(m fs.FileMode) string {
	names := map[fs.FileMode]string{0: "file", fs.ModeDir: "folder", fs.ModeSocket: "socket", fs.ModeNamedPipe: "pipe"}
	if name, ok := names[m.Type()]; ok {
		return name
	}
	return "device"
}
