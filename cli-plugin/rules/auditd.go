package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// auditdRules want Docker's files watched by the audit daemon (V-235779,
// CAT II).
//
// https://docs.docker.com/engine/security/#docker-daemon-attack-surface
var auditdRules = []Rule{{
	IDs:   []stig.ID{"DKER-EE-001090"},
	Check: checkAudited,
	Fix:   fixAudited,
	Steps: []Step{
		{"auditd is installed and runs, and the kernel records", "judgeAuditd"},
		{"auditctl -l shows a rule for each program, folder and file of Docker", "auditing.judge"},
		{"It shows one for the unit files of docker.service and docker.socket, where systemctl show -p FragmentPath finds them", "auditedPaths"},
	},
	Readings: []string{
		"A path of the guide's list that the host lacks is noted and is no finding: auditctl cannot watch what is not there. containerd and runc, which newer engines have in place of docker-containerd and docker-runc, are wanted in their stead.",
		"A host that has none of these paths is not reviewed: it may be another one than the engine's.",
		"Data that the engine keeps elsewhere than in /var/lib/docker has to be watched there, and so have programs that lie in /usr/local/bin in place of /usr/bin.",
		"A rule counts by what it records: -w, or -a always,exit with -F path= or -F dir=, of the path or of a folder above it. A watch of a symbolic link watches the link alone.",
		"The guide asks for no permissions. A rule that records neither writes nor changes of attributes tells nobody of a change, and is a finding; one that leaves out reads, executions, daemons (auid) or one architecture is said.",
		"What is written below /etc/audit and not loaded records nothing, and is a finding; what is loaded and not written is lost at the next start, and is said.",
	},
}}

// audited is the guide's list, and what engines have now.
//
// DISA's V2R2, V-235779.
var audited = []string{
	"/usr/bin/docker", "/var/lib/docker", "/etc/docker", "/etc/default/docker", "/etc/docker/daemon.json",
	"/usr/bin/docker-containerd", "/usr/bin/docker-runc", "/usr/bin/containerd", "/usr/bin/runc",
}

func checkAudited(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	findings, err := judgeAuditd(ctx, h)
	if err != nil || stig.Worst(findings) == stig.Open {
		return findings, err
	}
	loaded, err := h.AuditRules(ctx)
	if err != nil {
		return nil, err
	}
	tree, err := h.AuditTree()
	if err != nil {
		return nil, err
	}
	if loaded.Off != "" {
		return append(findings, stig.Finding{
			Object: "audit rules", Status: stig.Open, Details: fmt.Sprintf("a rule keeps the kernel from recording system calls, so no watch records anything: take %q out of /etc/audit/rules.d and run augenrules --load", loaded.Off),
			Evidence: []stig.Fact{{Source: "auditctl -l", Asked: "rules", Answer: loaded.Off}},
		}), nil
	}
	files, filesErr := h.AuditFiles()
	if filesErr != nil {
		findings = append(findings, stig.Finding{Object: "/etc/audit", Details: "whether the rules come back at the next start is unknown: " + filesErr.Error()})
	}
	paths, unknown := auditedPaths(ctx, h)
	findings = append(findings, unknown...)
	a := auditing{loaded: loaded, files: files, tree: tree}
	var absent []string
	watched := 0
	for _, name := range paths {
		f, there := a.judge(h, name)
		switch {
		case !there:
			absent = append(absent, name)
		case f.Status != stig.NotAFinding || f.Details != "":
			findings = append(findings, f)
		default:
			watched++
		}
	}
	summary := stig.Finding{Status: stig.NotAFinding, Details: fmt.Sprintf("%d of Docker's paths are watched", watched)}
	if len(absent) == len(paths) {
		summary.Status, summary.Details = stig.NotReviewed, "none of Docker's paths was found: run this on the engine's own host"
	}
	if len(absent) > 0 {
		summary.Details += "; this host does not have " + strings.Join(absent, ", ")
	}
	return append([]stig.Finding{summary}, findings...), nil
}

// judgeAuditd wants the kernel to record and somebody to write it down.
func judgeAuditd(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	status, err := h.AuditStatus(ctx)
	if errors.Is(err, host.ErrNoAuditd) {
		return []stig.Finding{{Object: "auditd", Status: stig.Open, Details: "auditd is not installed: install the package auditd (Debian, Ubuntu) or audit"}}, nil
	}
	if err != nil {
		return nil, err
	}
	f := stig.Finding{
		Object: "auditd", Status: stig.NotAFinding, Details: fmt.Sprintf("auditd runs (process %d), and the kernel records", status.Daemon),
		Evidence: []stig.Fact{{Source: "auditctl -s", Asked: "enabled, pid", Answer: fmt.Sprintf("enabled %t, pid %d", status.Enabled, status.Daemon)}},
	}
	switch {
	case status.Daemon == 0:
		f.Status, f.Details = stig.Open, "auditd does not run: systemctl enable --now auditd"
	case !status.Enabled:
		f.Status, f.Details = stig.Open, "the kernel's audit system is switched off: auditctl -e 1, and look for -e 0 in /etc/audit"
	}
	return []stig.Finding{f}, nil
}

// auditedPaths are those to watch, and findings where one is unknown.
func auditedPaths(ctx context.Context, h *host.Host) (paths []string, unknown []stig.Finding) {
	for _, name := range audited {
		paths = append(paths, placeOf(h, name))
	}
	if info, err := h.Info(ctx); err != nil {
		unknown = append(unknown, stig.Finding{Object: "the engine's data", Details: "where it lies is unknown: " + err.Error()})
	} else if dir := info.DockerRootDir; dir != "" && dir != "/var/lib/docker" {
		paths = append(paths, dir)
	}
	for _, name := range []string{"docker.service", "docker.socket"} {
		unit, err := h.Unit(ctx, name)
		switch {
		case err != nil:
			unknown = append(unknown, stig.Finding{Object: name, Details: err.Error()})
		case unit.Path != "" && !unit.Masked:
			paths = append(paths, unit.Path)
		}
	}
	return paths, unknown
}

// placeOf is where the host has a program of the guide's list: those that no
// package brought lie in /usr/local/bin. Other paths are as the guide has them.
func placeOf(h *host.Host, name string) string {
	program, ok := strings.CutPrefix(name, "/usr/bin/")
	if !ok {
		return name
	}
	if _, err := h.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return name
	}
	local := path.Join("/usr/local/bin", program)
	if _, err := h.Stat(local); err != nil {
		return name
	}
	return local
}

// auditing is what the host records.
type auditing struct {
	loaded audit.Rules
	files  []host.AuditFile
	tree   audit.Tree
}

// judge wants a path watched. There is false if the host does not have it. A
// path that is watched as the guide writes it has no details.
func (a auditing) judge(h *host.Host, name string) (f stig.Finding, there bool) {
	f = stig.Finding{Object: name, Status: stig.NotAFinding}
	if _, err := h.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return f, false
	} else if err != nil {
		f.Status, f.Details = stig.NotReviewed, err.Error()
		return f, true
	}
	leadsTo := h.RealPath(name)
	covering := a.loaded.Covering(leadsTo, a.tree)
	reliable := audit.Reliable(covering)
	perms := audit.Perms(reliable)
	for _, watch := range covering {
		f.Evidence = append(f.Evidence, stig.Fact{Source: "auditctl -l", Asked: "rules for " + leadsTo, Answer: watch.Line})
	}
	changes := strings.Contains(perms, "w") && strings.Contains(perms, "a")
	switch {
	case !changes:
		f.Status = stig.Open
		f.Details = a.missing(leadsTo, name, covering, perms)
		if f.Evidence == nil {
			f.Evidence = []stig.Fact{{Source: "auditctl -l", Asked: "rules for " + leadsTo, Answer: "none"}}
		}
		if len(a.loaded.Unread) > 0 {
			f.Status = stig.NotReviewed
			f.Details += fmt.Sprintf("; but auditctl -l has %d rules that are not understood here, the first %q", len(a.loaded.Unread), a.loaded.Unread[0])
		}
	default:
		f.Details = a.remarks(leadsTo, reliable, perms)
	}
	return f, true
}

// missing says what a path lacks, and what to do.
func (a auditing) missing(leadsTo, name string, covering []audit.Watch, perms string) string {
	lacks := "no audit rule watches it"
	if leadsTo != name {
		lacks = fmt.Sprintf("no audit rule watches %s, to which it leads", leadsTo)
	}
	if len(covering) > 0 {
		lacks = fmt.Sprintf("its audit rule records only %q and so not every change: %s", perms, covering[0].Line)
	}
	if file := a.written(leadsTo); file != "" {
		return fmt.Sprintf("%s, though one is written in %s: load it with augenrules --load", lacks, file)
	}
	return fmt.Sprintf("%s: write \"-w %s -k docker\" to /etc/audit/rules.d/docker.rules and run augenrules --load", lacks, leadsTo)
}

// remarks say where a watch that passes records less than one of the guide's,
// or will not last.
func (a auditing) remarks(leadsTo string, watches []audit.Watch, perms string) string {
	var remarks []string
	if perms != "rwxa" {
		remarks = append(remarks, fmt.Sprintf("it is watched for %q, not for \"rwxa\" as the guide's rule would", perms))
	}
	if len(watches[0].Limits) > 0 {
		remarks = append(remarks, fmt.Sprintf("it is watched under %s alone", strings.Join(watches[0].Limits, ", ")))
	}
	if a.files != nil && a.written(leadsTo) == "" {
		remarks = append(remarks, "the rule is in no file below /etc/audit, so it is lost at the next start: write it to /etc/audit/rules.d")
	}
	return strings.Join(remarks, "; ")
}

// written names the file that would have a path watched.
func (a auditing) written(name string) string {
	for _, file := range a.files {
		perms := audit.Perms(audit.Reliable(file.Rules.Covering(name, a.tree)))
		if strings.Contains(perms, "w") && strings.Contains(perms, "a") {
			return file.Name
		}
	}
	return ""
}
