package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/moby/client"

	"github.com/docker-stig/docker-stig/cli-plugin/enforce"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A judge judges the containers that exist as docker-stig-authz would, with
// its state and its logins.
type judge struct {
	judge    admission.Judge
	verifier *policy.Verifier
	start    policy.Disposition
	approved int // of those that All judged
}

// newJudge makes a judge of an engine whose disk begins at root.
func newJudge(api client.APIClient, look enforce.Look, policyPath, authFile string, talk io.Writer) *judge {
	log := slog.New(talker{talk})
	verifier := policy.NewVerifier(look.Policy, policy.Options{
		Now: time.Now, StateDir: daemonStateDir(), Logins: access.OpenFile(authFile), CertDirs: []string{certsDir}, Log: log,
	})
	host := admission.Host{Paths: []string{policyPath, daemonStateDir(), authFile}, Now: time.Now}
	if look.Dockerd != nil {
		host.Root = fmt.Sprintf("/proc/%d/root", look.Dockerd.PID)
		host.Paths = append(host.Paths, look.Dockerd.Socket, look.Dockerd.ConfigFile)
	}
	asked := engine.NewClient(api.DaemonHost(), time.Now)
	return &judge{verifier: verifier, start: look.Policy.Requests.Start, judge: admission.Judge{
		Engine:     asked,
		Verifier:   verifier,
		Protect:    admission.NewProtection(look.Policy.Protect, asked, host),
		Allowances: &admission.Allowances{Path: filepath.Join(daemonStateDir(), "allowances.json"), Log: log},
		Now:        time.Now,
		Log:        log,
	}}
}

func (j *judge) approvals() *admission.Approvals {
	return admission.OpenApprovals(admission.ApprovalOptions{Dir: filepath.Join(daemonStateDir(), "approvals"), Now: time.Now, Log: j.judge.Log})
}

// look judges every container, and records nothing. Approvals count where the
// policy starts containers by them.
func (j *judge) look(ctx context.Context) ([]admission.Judged, error) {
	looking := j.judge
	looking.Recorded, looking.ReadOnly, looking.Approvals = j.recording(), true, j.approvals()
	all, err := looking.All(ctx)
	return all, errors.Join(err, looking.Approvals.Close(ctx))
}

// All judges every container, and records nothing.
func (j *judge) All(ctx context.Context) ([]enforce.Judged, error) {
	all, err := j.look(ctx)
	if err != nil {
		return nil, err
	}
	var list []enforce.Judged
	j.approved = 0
	for _, one := range all {
		c := one.Container
		if one.Admitted.Approved {
			j.approved++
		}
		list = append(list, enforce.Judged{ID: c.ID, Name: c.Name, Image: c.ImageName, Running: c.Running, Err: one.Err, Lines: policyLines(one.Err)})
	}
	return list, nil
}

// Approve records the containers that may run, so that they start after their
// tags have moved on.
func (j *judge) Approve(ctx context.Context) error {
	recording := j.judge
	recording.Recorded, recording.Approvals = true, j.approvals()
	_, err := recording.All(ctx)
	return errors.Join(err, recording.Approvals.Close(ctx))
}

// recording reports whether the policy starts containers by their approvals.
func (j *judge) recording() bool { return j.start == policy.Recorded }

// policyLines are those that would let a container run. What its
// configuration wants is in the refusal itself.
func policyLines(err error) string {
	unvouched := new(admission.Unvouched)
	if !errors.As(err, &unvouched) {
		return ""
	}
	for _, q := range unvouched.Image.Questions {
		digests := q.Content.Digests()
		if q.Ref != nil && len(digests) > 0 {
			return fmt.Sprintf("\"digests\": {%q: [%q]}", q.Ref.Name(), digests[0])
		}
	}
	return ""
}

// refused are those that would not run. Those in use come first.
func refused(all []enforce.Judged) []enforce.Judged {
	list := slices.DeleteFunc(slices.Clone(all), func(j enforce.Judged) bool { return j.Err == nil })
	slices.SortStableFunc(list, func(a, b enforce.Judged) int {
		switch {
		case a.Running == b.Running:
			return 0
		case a.Running:
			return -1
		default:
			return 1
		}
	})
	return list
}
