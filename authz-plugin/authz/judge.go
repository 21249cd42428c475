package authz

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/distribution/reference"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/protect"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A verdict is a decision and what the record says of it. The zero verdict
// denies.
type verdict struct {
	Decision
	pass   bool // there was nothing to judge
	record audit.Record
}

// A permit is the key of the policy that opens a class of requests.
type permit struct {
	key   string // empty: no policy opens it
	why   string
	of    func(policy.Requests) policy.Disposition
	judge policy.Disposition // under which the request is judged; empty: none
}

// judges reports whether a request of the class is judged, and not denied for
// what it is.
func (p permit) judges(d policy.Disposition) bool { return d != "" && d == p.judge }

// permits are the uses that the policy may open or close. What it does not
// open is denied.
var permits = map[engineapi.Use]permit{
	engineapi.Pull: {
		key: "pull", why: "this site pulls no images here", judge: policy.Verify,
		of: func(r policy.Requests) policy.Disposition { return r.Pull },
	},
	engineapi.Build: {
		key: "build", why: "a build runs what authorization is not shown",
		of: func(r policy.Requests) policy.Disposition { return r.Build },
	},
	engineapi.Plugins: {
		key: "plugins", why: "a plugin of the engine is root on this machine",
		of: func(r policy.Requests) policy.Disposition { return r.Plugins },
	},
	engineapi.Swarm: {
		key: "swarm-join", why: "in a swarm its managers choose what runs here",
		of: func(r policy.Requests) policy.Disposition { return r.SwarmJoin },
	},
	engineapi.Checkpoint: {
		why: "a checkpoint is a process that nobody vouches for",
		of:  func(policy.Requests) policy.Disposition { return policy.Deny },
	},
	engineapi.Unknown: {
		why: "this version of docker-stig-authz does not know the request, and it may change something; a newer version may know it",
		of:  func(policy.Requests) policy.Disposition { return policy.Deny },
	},
}

// copyDenied is about containers that do not run.
var copyDenied = permit{key: "copy", why: "the container does not run, and would run what is copied"}

// judge decides on a request before the engine acts.
func (s *Settings) judge(ctx context.Context, target engineapi.Target, req Request) verdict {
	asked := engineapi.Request{Body: req.RequestBody, Header: req.RequestHeaders}
	if err := engineapi.CheckBody(target, asked); err != nil {
		return refused(err)
	}
	if target.Route.Use == engineapi.Pass {
		return verdict{pass: true}
	}
	if s.Fault != nil {
		return faulty("no-policy", "there is no policy to judge by, tell those who look after it: %v", s.Fault)
	}
	if permit, ok := permits[target.Route.Use]; ok {
		got := permit.of(s.Requests)
		if got == policy.Allow {
			return verdict{pass: true}
		}
		if !permit.judges(got) {
			return permit.deny(target.Route)
		}
	}
	demand, err := engineapi.Finder{Engine: s.Judge.Engine}.Demand(ctx, target, asked)
	if err != nil {
		return refused(err)
	}
	if c := demand.Container; target.Route.Use == engineapi.Copy && s.Requests.Copy != policy.Allow && c != nil && !c.Running {
		return copyDenied.deny(target.Route)
	}
	return s.admit(ctx, demand)
}

// admit wants all that a request asks allowed.
func (s *Settings) admit(ctx context.Context, d engineapi.Demand) verdict {
	switch {
	case d.Exec != nil:
		return s.admitExec(ctx, d)
	case d.Reach:
		return s.admitReach(ctx, *d.Container)
	case d.Container != nil:
		return s.admitContainer(ctx, d)
	case len(d.Drivers) > 0:
		return unprotected(admission.Drivers(d.Drivers...), verdict{pass: true})
	case d.Volume != nil:
		return unprotected(s.Protect.Volume(ctx, *d.Volume), verdict{pass: true})
	case len(d.Images) > 0 || d.Host != nil:
		return s.admitImages(ctx, d)
	}
	return verdict{pass: true}
}

// admitImages judges the images that a request names, and the configuration
// that a container or a service of the first would have.
func (s *Settings) admitImages(ctx context.Context, d engineapi.Demand) verdict {
	admitted, err := s.Judge.Images(ctx, d.Images)
	if err != nil {
		return refused(err)
	}
	v := accepted(admitted)
	if d.Host != nil {
		err = s.protectCreate(ctx, d, admitted)
	}
	if d.Task != nil {
		err = admitted.Protected(func(image reference.Named) error { return s.Protect.Service(ctx, *d.Task, image) })
	}
	if err == nil && d.Fallback != nil {
		if fallback := s.admitImages(ctx, *d.Fallback); !fallback.Allow {
			return fallback
		}
	}
	return unprotected(err, v)
}

// protectCreate judges a configuration that a container would have.
func (s *Settings) protectCreate(ctx context.Context, d engineapi.Demand, admitted admission.Admitted) error {
	return admitted.Protected(func(image reference.Named) error { return s.Protect.Create(ctx, d.Host, image) })
}

// admitContainer judges a container that exists, and what an update would
// make of it.
func (s *Settings) admitContainer(ctx context.Context, d engineapi.Demand) verdict {
	admitted, err := s.Judge.Container(ctx, *d.Container)
	if err == nil && d.Host != nil {
		err = s.protectCreate(ctx, d, admitted)
	}
	if err != nil {
		v := refused(err)
		v.record.Image, v.record.Container = cmp.Or(v.record.Image, d.Container.ImageName), d.Container.ID
		return v
	}
	return accepted(admitted)
}

// admitExec judges a process that is to be privileged. Its image matters only
// for exceptions: the container runs already, or it would be judged at start.
func (s *Settings) admitExec(ctx context.Context, d engineapi.Demand) verdict {
	if v := s.admitReach(ctx, *d.Container); !v.pass {
		return v
	}
	err := s.Protect.Exec(ctx, *d.Exec, s.repository(ctx, *d.Container))
	v := unprotected(err, verdict{Decision: Decision{Allow: true}})
	v.record.Image, v.record.Container = d.Container.ImageName, d.Container.ID
	return v
}

// admitReach judges what a container reaches of the host: who runs a process
// in it, or copies files of it, reaches as much. Most need no exception, and
// their image is not asked about.
func (s *Settings) admitReach(ctx context.Context, c engine.Container) verdict {
	err := s.Protect.Container(ctx, c, nil)
	if errors.As(err, new(*protect.Refusal)) {
		if repository := s.repository(ctx, c); repository != nil {
			err = s.Protect.Container(ctx, c, repository)
		}
	}
	v := unprotected(err, verdict{pass: true})
	v.record.Image, v.record.Container = c.ImageName, c.ID
	return v
}

// repository is the one that vouches for a container's image, nil if none.
func (s *Settings) repository(ctx context.Context, c engine.Container) reference.Named {
	images, err := engine.Contained(ctx, s.Judge.Engine, c)
	if err != nil {
		return nil
	}
	admitted, err := s.Judge.Images(ctx, images)
	if err != nil {
		return nil
	}
	return admitted.Repository()
}

func (p permit) deny(route engineapi.Route) verdict {
	text := fmt.Sprintf("%s %s is denied: %s", route.Method, route.Pattern, p.why)
	if p.key != "" {
		text += ". The policy's requests." + p.key + " would allow it"
	}
	return faulty("route-denied", "%s", text)
}

// judgeCreated decides on a container that a create has made.
func (s *Settings) judgeCreated(ctx context.Context, req Request) verdict {
	if s.Fault != nil {
		return faulty("no-policy", "there is no policy to judge by, tell those who look after it: %v", s.Fault)
	}
	id, err := createdID(req.ResponseBody)
	if err != nil {
		return refused(err)
	}
	c, err := engine.Exactly(ctx, s.Judge.Engine, id)
	if err != nil {
		return refused(err)
	}
	admitted, err := s.Judge.Made(ctx, c)
	if err != nil {
		v := refused(err)
		v.record.Image, v.record.Container = cmp.Or(v.record.Image, c.ImageName), c.ID
		return v
	}
	s.Judge.Approve(c, admitted)
	v := accepted(admitted)
	v.record.Container = c.ID
	return v
}

// createdID reads the engine's answer to a create. The engine shows JSON of
// up to 64 KiB.
func createdID(body []byte) (string, error) {
	var answer struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("the engine's answer does not tell which container was made: %w", err)
	}
	if !fullID.MatchString(answer.ID) {
		return "", errors.New("the engine's answer does not tell which container was made")
	}
	return answer.ID, nil
}

// remove undoes a create that was denied, before the engine's answer goes out.
// It has time of its own: the decision may have used up all there was.
func (h *Handler) remove(ctx context.Context, s *Settings, target engineapi.Target, req Request) {
	name, err := createdID(req.ResponseBody)
	if err != nil {
		// A container that was given a name can be found by it: the engine
		// would not have made a second one.
		name, _ = target.CreateName()
	}
	if name == "" {
		h.log.Error("a container that was denied is not known by name or ID; look for it with docker ps --all and remove it", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	for {
		err := s.Judge.Engine.RemoveContainer(ctx, name)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			h.log.Error("a container that was denied could not be removed; remove it with docker rm --force", "container", name, "error", err)
			return
		case <-time.After(removePause):
		}
	}
}

// A container that must not exist is removed until it is gone: somebody else
// may keep the engine busy removing it, and fail on purpose.
const (
	removeTimeout = time.Minute
	removePause   = 20 * time.Millisecond
)

// accepted is the verdict on what may run.
func accepted(a admission.Admitted) verdict {
	v := verdict{Decision: Decision{Allow: true}}
	v.record = audit.Record{
		Image: a.Image, Others: a.Others, Digest: cmp.Or(a.Answer.Digest, a.ID).String(),
		How: string(a.Answer.Method), Signers: a.Answer.Signers, Approval: a.Approved,
	}
	if grant := a.Allowance; grant != nil {
		v.record.Allowance = &audit.Allowance{By: grant.Author, Reason: grant.Reason, Until: grant.Until}
		v.record.How, v.record.Digest = "break-glass", grant.Digest.String()
	}
	return v
}

// unprotected is the verdict on a configuration that reaches the host, or v.
func unprotected(err error, v verdict) verdict {
	if err == nil {
		return v
	}
	no := refused(err)
	no.record.Image = cmp.Or(no.record.Image, v.record.Image)
	return no
}

// unvouched is the verdict on an image that is not vouched for.
func unvouched(image engine.Image, err error) verdict {
	reason := trust.Unreachable
	if refusal := new(trust.Error); errors.As(err, &refusal) && refusal.Reason != "" {
		reason = refusal.Reason
	}
	v := verdict{Decision: denyImage(image, err)}
	v.record = audit.Record{Image: image.Name, Digest: image.ID.String(), Reason: string(reason)}
	return v
}

// refused is the verdict on a request that could not be judged, or need not be.
func refused(err error) verdict {
	if no := new(admission.Unvouched); errors.As(err, &no) {
		return unvouched(no.Image, no.Err)
	}
	if refusal := new(protect.Refusal); errors.As(err, &refusal) {
		v := faulty("protected", "%s", refusal.Text)
		v.record.Setting = string(refusal.Setting)
		return v
	}
	if refusal := new(engine.Refusal); errors.As(err, &refusal) {
		return faulty(refusal.Reason, "%s", refusal.Text)
	}
	if errors.Is(err, errBusy) {
		return faulty("busy", "%v", err)
	}
	return faulty("engine-unreachable", "cannot tell what would run: %v", err)
}

func faulty(reason, format string, args ...any) verdict {
	return verdict{Decision: deny(format, args...), record: audit.Record{Reason: reason}}
}
