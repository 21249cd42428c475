package rules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/docker-stig/docker-stig/cli-plugin/change"
	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/shared/stig"
)

// auditRulesFile is where the watches go that a host lacks.
const auditRulesFile = "/etc/audit/rules.d/docker.rules"

// fixAudited writes a watch for each of Docker's paths that nobody watches. All
// have the key docker, by which V-235813 and V-235814 search.
func fixAudited(ctx context.Context, h *host.Host) (change.Wanted, error) {
	running, err := judgeAuditd(ctx, h)
	if err != nil {
		return change.Wanted{}, err
	}
	if stig.Worst(running) != stig.NotAFinding {
		return change.Wanted{Person: []string{running[0].Details + "; then run docker stig fix again"}}, nil
	}
	loaded, err := h.AuditRules(ctx)
	if err != nil {
		return change.Wanted{}, err
	}
	if loaded.Off != "" {
		return change.Wanted{Person: []string{fmt.Sprintf("take %q out of /etc/audit/rules.d and run augenrules --load: it keeps the kernel from recording anything", loaded.Off)}}, nil
	}
	tree, err := h.AuditTree()
	if err != nil {
		return change.Wanted{}, err
	}
	files, err := h.AuditFiles()
	if err != nil {
		return change.Wanted{}, err
	}
	lost, err := onlyCompiled(h, files)
	if err != nil {
		return change.Wanted{}, err
	}
	if lost != "" {
		return change.Wanted{Person: []string{fmt.Sprintf("%s has %q, which no file of /etc/audit/rules.d has, and augenrules --load would lose it: move such rules to a file there, and run docker stig fix again", compiledRules, lost)}}, nil
	}
	paths, unknown := auditedPaths(ctx, h)
	a := auditing{loaded: loaded, files: files, tree: tree}
	var add []string
	for _, name := range paths {
		f, there := a.judge(h, name)
		if leadsTo := h.RealPath(name); there && f.Status == stig.Open && a.written(leadsTo) == "" {
			add = append(add, "-w "+leadsTo+" -k docker")
		}
	}
	var wanted change.Wanted
	for _, f := range unknown {
		wanted.Notes = append(wanted.Notes, f.Object+": "+f.Details)
	}
	if len(add) == 0 {
		if stig.Worst(unknown) == stig.NotAFinding {
			wanted.Person = append(wanted.Person, "the watches are written already and not loaded: augenrules --load, or a restart of the host where the rules are locked (-e 2)")
		}
		return wanted, nil
	}
	status, err := h.AuditStatus(ctx)
	if err != nil {
		return change.Wanted{}, err
	}
	watches := &change.Lines{Path: auditRulesFile, Add: add, Then: change.LoadAudit}
	if status.Locked {
		watches.Then = ""
		wanted.Person = append(wanted.Person, "the kernel takes no audit rules any more (-e 2), so the watches count when the host starts again: restart it")
	}
	serves := []stig.ID{"DKER-EE-001090"}
	wanted.Changes = []change.Change{{Serves: serves, Disruption: change.None, Lines: watches}}
	if _, err := h.Stat(auditRulesFile); errors.Is(err, fs.ErrNotExist) { // as guides for hosts want of new ones
		wanted.Changes = append(wanted.Changes, change.Change{Serves: serves, Disruption: change.None, Owner: &change.Owner{Path: auditRulesFile, Mode: "0640"}})
	}
	return wanted, nil
}

// compiledRules is what augenrules makes of the files of rules.d. Where those
// are not used, it is written by hand.
const compiledRules = "/etc/audit/audit.rules"

// onlyCompiled is a rule of the compiled file that no other file has, "" if
// there is none.
func onlyCompiled(h *host.Host, files []host.AuditFile) (string, error) {
	sources, compiled := map[string]bool{}, []string(nil)
	for _, file := range files {
		raw, err := h.Read(file.Name)
		if err != nil {
			return "", fmt.Errorf("reading audit rules: %w", err)
		}
		for line := range strings.Lines(string(raw)) {
			line = strings.TrimSpace(line)
			switch {
			case file.Name != compiledRules:
				sources[line] = true
			case strings.HasPrefix(line, "-w") || strings.HasPrefix(line, "-a") || strings.HasPrefix(line, "-A"):
				compiled = append(compiled, line)
			}
		}
	}
	for _, line := range compiled {
		if !sources[line] {
			return line, nil
		}
	}
	return "", nil
}
