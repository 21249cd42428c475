package rules

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/docker-stig/docker-stig/cli-plugin/host"
	"github.com/docker-stig/docker-stig/cli-plugin/host/audit"
	"github.com/docker-stig/docker-stig/shared/stig"
)

const cliPath = "/usr/bin/docker"

// execRules want nobody to have gone into a container with more rights than
// it has, or as another user.
//
// https://docs.docker.com/reference/cli/docker/container/exec/
var execRules = []Rule{
	execRule{"DKER-EE-002080", "--privileged", func(e dockerExec) bool { return e.privileged }, privilegedExec}.rule(), // V-235813, CAT I
	execRule{"DKER-EE-002090", "--user", func(e dockerExec) bool { return e.user != "" }, userExec}.rule(),             // V-235814, CAT II
}

// An execRule wants docker exec not to be used with an option.
type execRule struct {
	id     stig.ID
	option string
	logged func(dockerExec) bool // a command line in the audit log has it
	live   func(host.Container, liveExec) bool
}

// A liveExec is what the engine tells of one that it still knows.
type liveExec struct {
	user       string
	privileged bool
}

func privilegedExec(_ host.Container, e liveExec) bool { return e.privileged }

// userExec: the engine fills in the container's own user where none is given.
func userExec(c host.Container, e liveExec) bool {
	return e.user != "" && (c.Config == nil || e.user != c.Config.User)
}

func (r execRule) rule() Rule {
	return Rule{
		IDs: []stig.ID{r.id}, Check: r.check,
		Steps: []Step{
			{"ausearch -k docker finds no docker exec with " + r.option, "execRule.judgeLog"},
			{"Beyond the guide: none that still runs has it", "execRule.judgeLive"},
		},
		Readings: []string{
			"A record counts by the command line that it has, read as docker's client reads it: the option of docker exec, docker container exec or docker compose exec, before the container's name. The same word in the program that is run there, or in a path, does not.",
			"An empty log proves nothing unless the kernel watches the executions of " + cliPath + " under the key docker (V-235779): without it the requirement is not reviewed.",
			"Clients of the engine's API leave no such record. Of what they run, the engine tells while it runs; one with the container's own user cannot be told from one without the option.",
		},
	}
}

func (r execRule) check(ctx context.Context, h *host.Host) ([]stig.Finding, error) {
	return append(r.judgeLive(ctx, h), r.judgeLog(ctx, h)), nil
}

// judgeLive asks the engine for what was started in running containers.
func (r execRule) judgeLive(ctx context.Context, h *host.Host) []stig.Finding {
	containers, err := h.Containers(ctx)
	if err != nil {
		return []stig.Finding{{Object: "running execs", Details: err.Error()}}
	}
	var findings []stig.Finding
	asked := 0
	for _, c := range containers {
		object := "container " + c.Title()
		if c.Err != nil {
			findings = append(findings, stig.Finding{Object: object, Details: c.Err.Error()})
			continue
		}
		for _, id := range c.ExecIDs {
			exec, err := h.LiveExec(ctx, id)
			if err != nil {
				findings = append(findings, stig.Finding{Object: object, Details: err.Error()})
			}
			if err != nil || exec == nil {
				continue
			}
			asked++
			live := liveExec{user: exec.ProcessConfig.User, privileged: exec.ProcessConfig.Privileged != nil && *exec.ProcessConfig.Privileged}
			if r.live(c, live) {
				findings = append(findings, stig.Finding{
					Object: object, Status: stig.Open, Details: fmt.Sprintf("a program was started in it with docker exec %s: ask who did, and withhold it with roles of UCP or an authorization plugin", r.option),
					Evidence: []stig.Fact{{Source: "engine", Asked: "GET /exec/" + id + "/json ProcessConfig", Answer: fmt.Sprintf("privileged %t, user %q", live.privileged, live.user)}},
				})
			}
		}
	}
	return append(findings, stig.Finding{Object: "running execs", Status: stig.NotAFinding, Details: fmt.Sprintf("%d programs that were started in %d containers were asked about", asked, len(containers))})
}

// judgeLog searches the audit log. Many uses make one finding.
func (r execRule) judgeLog(ctx context.Context, h *host.Host) stig.Finding {
	f := stig.Finding{Object: "audit log"}
	execs, err := h.Execs(ctx)
	if err != nil {
		f.Details = err.Error()
		return f
	}
	var uses []string
	for _, exec := range execs {
		e, ok := readDockerExec(exec)
		if ok && r.logged(e) {
			uses = append(uses, fmt.Sprintf("%s by %s in %s (event %s)", exec.When().Format(time.RFC3339), orUnknown(exec.Login), orUnknown(e.container), exec.Event))
		}
		if ok && !exec.Whole && !r.logged(e) {
			f.Details = fmt.Sprintf("the record of a docker exec lacks the end of its command line: look at ausearch -a %s", exec.Event[strings.LastIndex(exec.Event, ":")+1:])
		}
	}
	f.Evidence = []stig.Fact{{Source: "ausearch -k docker -m EXECVE -x docker", Asked: "docker exec " + r.option, Answer: fmt.Sprintf("%d of %d programs that were run", len(uses), len(execs))}}
	if len(uses) > 0 {
		slices.Reverse(uses) // the last ones say most
		f.Status = stig.Open
		f.Details = fmt.Sprintf("docker exec was used with %s %d times: %s; withhold it with roles of UCP or an authorization plugin", r.option, len(uses), few(uses))
		return f
	}
	if f.Details != "" {
		return f
	}
	if gap := logGap(ctx, h); gap != "" {
		f.Details = "the log has no docker exec with " + r.option + ", which proves nothing: " + gap
		return f
	}
	f.Status, f.Details = stig.NotAFinding, fmt.Sprintf("executions of %s are watched, and none in the log is docker exec with %s", placeOf(h, cliPath), r.option)
	return f
}

func orUnknown(text string) string {
	if text == "" {
		return "somebody"
	}
	return text
}

// logGap says why the audit log need not have every use of docker's client, ""
// if it has.
func logGap(ctx context.Context, h *host.Host) string {
	status, err := h.AuditStatus(ctx)
	if err != nil {
		return err.Error()
	}
	if !status.Enabled || status.Daemon == 0 {
		return "auditd does not run, or the kernel does not record (auditctl -s)"
	}
	loaded, err := h.AuditRules(ctx)
	if err != nil {
		return err.Error()
	}
	tree, err := h.AuditTree()
	if err != nil {
		return err.Error()
	}
	client := placeOf(h, cliPath)
	if _, err := h.Stat(client); err != nil {
		return fmt.Sprintf("whether docker's client is run from elsewhere than %s is unknown: %v", cliPath, err)
	}
	for _, record := range []string{"EXECVE", "SYSCALL"} {
		if slices.Contains(loaded.Excluded, record) {
			return fmt.Sprintf("an audit rule throws the records of type %s away", record)
		}
	}
	watches := slices.DeleteFunc(audit.Reliable(loaded.Covering(h.RealPath(client), tree)), func(w audit.Watch) bool {
		return !slices.ContainsFunc(w.Keys, func(key string) bool { return strings.Contains(key, "docker") })
	})
	if !strings.Contains(audit.Perms(watches), "x") {
		return fmt.Sprintf("no audit rule records the executions of %s under the key docker: write \"-w %[1]s -k docker\" to /etc/audit/rules.d/docker.rules, run augenrules --load, and let it stand for as long as the site wants to look back", client)
	}
	return ""
}

// isDockerClient knows docker's client by its file, or by the name it was
// given where the record lacks the file.
func isDockerClient(e audit.Exec) bool {
	name := e.Exe
	if name == "" && len(e.Args) > 0 {
		name = e.Args[0]
	}
	return path.Base(name) == "docker"
}
