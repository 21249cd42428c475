package command

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/cli/cli/command"

	"github.com/docker-stig/docker-stig/cli-plugin/enforce"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// An engineStatus is what the engine does, and with which containers.
type engineStatus struct {
	look       enforce.Look
	found      enforce.Finding
	judged     []enforce.Judged
	judgedErr  error
	approved   int
	allowances []admission.Allowance // that hold now
	allowErr   error
}

// lookAtEngine finds out whether the engine enforces, and judges its
// containers if there is a policy to judge them by.
func lookAtEngine(ctx context.Context, dockerCLI command.Cli, opts statusOptions, loginsErr error) (engineStatus, error) {
	s, err := newSwitch()
	if err != nil {
		return engineStatus{}, err
	}
	look := enforce.LookAt(ctx, dockerCLI.Client(), dockerCLI.DockerEndpoint().Host, opts.policy.path, s)
	e := engineStatus{look: look, found: look.Find()}
	list, err := (&admission.Allowances{Path: filepath.Join(daemonStateDir(), "allowances.json")}).List()
	e.allowErr = err
	for _, a := range list {
		if a.Holds(time.Now()) {
			e.allowances = append(e.allowances, a)
		}
	}
	if look.PolicyErr != nil || look.InfoErr != nil || loginsErr != nil {
		return e, nil
	}
	ctx, cancel := context.WithTimeout(ctx, judgeWithin)
	defer cancel()
	judge := newJudge(dockerCLI.Client(), look, opts.policy.path, opts.file.path, dockerCLI.Err())
	e.judged, e.judgedErr = judge.All(ctx)
	e.approved = judge.approved
	return e, nil
}

// sentence is the answer.
func (s status) sentence() string {
	switch {
	case len(s.engine.found.Gaps) > 0:
		return "This engine does NOT enforce: " + s.engine.found.Gaps[0].What
	case len(s.engine.found.Unknown) > 0:
		return "It could not be found out whether this engine enforces: " + s.engine.found.Unknown[0].What
	}
	text := "This engine runs only what " + s.policyPath + " vouches for"
	if n := len(s.running()); n > 0 {
		text += ", but for " + count(n, "container that runs already", "containers that run already")
	}
	return text
}

// running are the containers that run although they would be refused.
func (s status) running() []enforce.Judged {
	var list []enforce.Judged
	for _, j := range refused(s.engine.judged) {
		if j.Running {
			list = append(list, j)
		}
	}
	return list
}

func (s status) engineParagraphs() []paragraph {
	head := paragraph{title: s.sentence()}
	said := len(s.engine.found.Gaps)+len(s.engine.found.Unknown) > 0 // the first, in the title
	for _, list := range []struct {
		label string
		gaps  []enforce.Gap
	}{{"Missing", s.engine.found.Gaps}, {"Unknown", s.engine.found.Unknown}, {"Note", s.engine.found.Notes}} {
		for _, gap := range list.gaps {
			head.addGap(list.label, gap, said)
			said = false
		}
	}
	return []paragraph{head, s.containers()}
}

// addGap tells of a gap. Of one that the title names it adds what is behind it,
// and what to do.
func (p *paragraph) addGap(label string, gap enforce.Gap, titled bool) {
	rows := [][2]string{{label, gap.What}, {"", gap.Detail}, {"", "-> " + gap.Next}}
	if titled {
		rows = [][2]string{{"Cause", gap.Detail}, {"Next", gap.Next}}
	}
	for _, row := range rows {
		if strings.TrimPrefix(row[1], "-> ") != "" {
			p.add(row[0], "%s", row[1])
		}
	}
}

// containers tells what becomes of those that exist.
func (s status) containers() paragraph {
	p := paragraph{title: "Containers"}
	e := s.engine
	switch {
	case e.judgedErr != nil:
		p.add("Judged", "not all: %v", withSudo(e.judgedErr))
	case e.look.PolicyErr != nil || e.look.InfoErr != nil || s.hostsErr != nil:
		p.add("Judged", "none: there is no policy, or no engine, or no logins to judge them with")
	default:
		no := refused(e.judged)
		p.add("Judged", "%d: %d approved, %d would be refused, %d of them run", len(e.judged), e.approved, len(no), len(s.running()))
		if len(no) > 0 && !s.all {
			p.add("", "-> docker stig authz status --all names them")
			no = nil
		}
		for _, j := range no {
			var b strings.Builder
			writeOneRefused(&b, j)
			p.add("Refused", "%s", strings.TrimSpace(strings.ReplaceAll(b.String(), "\n    ", "\n")))
		}
	}
	switch {
	case e.allowErr != nil:
		p.add("Allowed", "could not be read: %v", withSudo(e.allowErr))
	case len(e.allowances) == 0:
		p.add("Allowed", "nothing by break-glass")
	}
	for _, a := range e.allowances {
		p.add("Allowed", "%s@%s until %s, by %s: %s", a.Repository, a.Digest, dated(a.Until, s.now), a.Author, a.Reason)
	}
	if first := s.firstRefusal(); !first.IsZero() {
		p.add("From", "%s starts are refused, of the first repository; each one's day stands below", dated(first, s.now))
	}
	return p
}

// firstRefusal is the earliest day from which starts will be refused that no
// trust server moves on by itself.
func (s status) firstRefusal() time.Time {
	var first time.Time
	for _, carried := range s.known {
		role := endedBy(carried.Repository)
		renewed := served(carried) && (role == timestampRole || role == "snapshot")
		if carried.Err == nil && !carried.Until.IsZero() && !renewed && (first.IsZero() || carried.Until.Before(first)) {
			first = carried.Until
		}
	}
	return first
}

// A jsonEnforcing is what the engine does, for a program.
type jsonEnforcing struct {
	Enforced   bool
	Missing    []enforce.Gap
	Unknown    []enforce.Gap
	Notes      []enforce.Gap
	Containers jsonContainers
	Allowances []admission.Allowance
}

type jsonContainers struct {
	Judged   int
	Approved int
	Refused  []jsonRefused
	Error    string `json:",omitempty"`
}

type jsonRefused struct {
	ID      string
	Name    string
	Image   string
	Running bool
	Error   string
	Next    string `json:",omitempty"`
	Policy  string `json:",omitempty"` // lines that would let it run
}

func (e engineStatus) json() jsonEnforcing {
	out := jsonEnforcing{
		Enforced:   e.found.Enforced(),
		Missing:    append([]enforce.Gap{}, e.found.Gaps...),
		Unknown:    append([]enforce.Gap{}, e.found.Unknown...),
		Notes:      append([]enforce.Gap{}, e.found.Notes...),
		Allowances: append([]admission.Allowance{}, e.allowances...),
		Containers: jsonContainers{Judged: len(e.judged), Approved: e.approved, Refused: []jsonRefused{}, Error: textOf(e.judgedErr)},
	}
	for _, j := range refused(e.judged) {
		no := jsonRefused{ID: j.ID, Name: j.Name, Image: j.Image, Running: j.Running, Error: j.Err.Error(), Policy: j.Lines}
		if isTrustError(j.Err) {
			no.Next = trust.Advice(j.Err)
		}
		out.Containers.Refused = append(out.Containers.Refused, no)
	}
	return out
}
