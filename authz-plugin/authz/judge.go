package authz

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/docker-stig/docker-stig/authz-plugin/audit"
	"github.com/docker-stig/docker-stig/authz-plugin/engineapi"
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
	key    string // empty: no policy opens it
	why    string
	of     func(policy.Requests) policy.Disposition
	images bool // the request names images, which "verify" judges
}

// permits are the uses that the policy may open or close. What it does not
// open is denied.
var permits = map[engineapi.Use]permit{
	engineapi.Pull: {
		key: "pull", why: "this site pulls no images here", images: true,
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
		if got != policy.Verify || !permit.images {
			return permit.deny(target.Route)
		}
	}
	images, err := engineapi.Finder{Engine: s.Engine}.Images(ctx, target, asked)
	if err != nil {
		return refused(err)
	}
	return s.verify(ctx, images)
}

func (p permit) deny(route engineapi.Route) verdict {
	text := fmt.Sprintf("%s %s is denied: %s", route.Method, route.Pattern, p.why)
	if p.key != "" {
		text += ". The policy's requests." + p.key + " would allow it"
	}
	return faulty("route-denied", "%s", text)
}

// verify wants every image vouched for.
func (s *Settings) verify(ctx context.Context, images []engineapi.Image) verdict {
	if len(images) == 0 {
		return verdict{pass: true}
	}
	var record audit.Record
	for i, image := range images {
		signed, err := image.Verify(ctx, s.Verifier)
		if err != nil {
			return unvouched(image, err)
		}
		if i > 0 {
			record.Others = append(record.Others, image.Name)
			continue
		}
		record = audit.Record{Image: image.Name, Digest: signed.Digest.String(), How: string(signed.Method), Signers: signed.Signers}
		if record.Digest == "" {
			record.Digest = image.ID.String()
		}
	}
	return verdict{Decision: Decision{Allow: true}, record: record}
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
	images, err := engineapi.Finder{Engine: s.Engine}.Created(ctx, id)
	if err != nil {
		return refused(err)
	}
	return s.verify(ctx, images)
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
		err := s.Engine.RemoveContainer(ctx, name)
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

// unvouched is the verdict on an image that is not vouched for.
func unvouched(image engineapi.Image, err error) verdict {
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
	if refusal := new(engineapi.Refusal); errors.As(err, &refusal) {
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
