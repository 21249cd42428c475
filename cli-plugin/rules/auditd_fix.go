package rules

import (
	"context"
	"fmt"

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
	if len(add) == 0 && stig.Worst(unknown) == stig.NotAFinding {
		wanted.Person = append(wanted.Person, "the watches are written already and not loaded: augenrules --load, or a restart where the rules are locked (-e 2)")
		return wanted, nil
	}
	wanted.Changes = []change.Change{{
		Serves: []stig.ID{"DKER-EE-001090"}, Disruption: change.None,
		Lines: &change.Lines{Path: auditRulesFile, Add: add, Then: change.LoadAudit},
	}}
	return wanted, nil
}
