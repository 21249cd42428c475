package admission

import (
	"context"
	"errors"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// Images wants every image vouched for, or allowed by break-glass. What is
// said of the first is Admitted's; no image at all is no reason to say no.
//
// The error is an *Unvouched, an *engine.Refusal, or leaves it open.
func (j *Judge) Images(ctx context.Context, images []engine.Image) (Admitted, error) {
	var admitted Admitted
	for i, image := range images {
		one, err := j.image(ctx, image)
		if err != nil {
			return Admitted{}, err
		}
		if i == 0 {
			admitted = one
			continue
		}
		admitted.Others = append(admitted.Others, image.Name)
		if admitted.Allowance == nil {
			admitted.Allowance, admitted.refused = one.Allowance, one.refused
		}
	}
	return admitted, nil
}

func (j *Judge) image(ctx context.Context, image engine.Image) (Admitted, error) {
	admitted := Admitted{Image: image.Name, ID: image.ID}
	answer, err := image.Verify(ctx, j.Verifier)
	if err == nil {
		admitted.Answer = answer
		return admitted, nil
	}
	if refusal := new(engine.Refusal); errors.As(err, &refusal) {
		return Admitted{}, err
	}
	unvouched := &Unvouched{Image: image, Err: err}
	allowance, question, ok := j.allowed(ctx, image, err)
	if !ok {
		return Admitted{}, unvouched
	}
	admitted.Allowance, admitted.refused, admitted.Answer.Question = &allowance, unvouched, question
	return admitted, nil
}

// allowed looks for an allowance for an image that is not vouched for. Nothing
// opens what is revoked: where the policy revokes keys, not before it is known
// that none of them signed it, by a trust server or by what it said before.
func (j *Judge) allowed(ctx context.Context, image engine.Image, refusal error) (Allowance, trust.Question, bool) {
	if j.Allowances == nil || trust.IsRevoked(refusal) {
		return Allowance{}, trust.Question{}, false
	}
	allowance, question, ok := j.Allowances.Find(image.Questions, j.Now())
	if !ok && image.More != nil && j.Allowances.Names(image.ID, j.Now()) {
		more, err := image.More(ctx)
		if err != nil {
			return Allowance{}, trust.Question{}, false
		}
		allowance, question, ok = j.Allowances.Find(more, j.Now())
	}
	if !ok {
		return Allowance{}, trust.Question{}, false
	}
	known := append(question.Content.Digests(), allowance.Digest)
	if image.ID != "" {
		known = append(known, image.ID)
	}
	if err := j.withdrawn(ctx, question, known); err != nil {
		j.Log.Error("an image that is or may be revoked is not let through by its allowance", "image", image.Name, "digest", allowance.Digest, "error", err)
		return Allowance{}, trust.Question{}, false
	}
	j.Log.Warn("BREAK-GLASS: an image that nobody vouches for is let through by an allowance",
		"image", image.Name, "digest", allowance.Digest, "reason", allowance.Reason,
		"author", allowance.Author, "until", allowance.Until, "refusal", refusal)
	return allowance, question, true
}

// withdrawn reports whether the policy revokes content, or a key that may have
// signed it.
func (j *Judge) withdrawn(ctx context.Context, q trust.Question, known []digest.Digest) error {
	if err := j.Verifier.Withdrawn(ctx, q.Ref, known...); err != nil {
		return err
	}
	return j.Verifier.ByRevokedKey(ctx, q)
}

// Made judges a container that a create has just made: the content that it was
// really given, under the name that was asked for, and its configuration.
func (j *Judge) Made(ctx context.Context, c engine.Container) (Admitted, error) {
	images, err := engine.Made(ctx, j.Engine, c)
	if err != nil {
		return Admitted{}, err
	}
	mounts, err := j.mounted(ctx, c)
	if err != nil {
		return Admitted{}, err
	}
	admitted, err := j.Images(ctx, append(images, mounts...))
	if err != nil {
		return Admitted{}, err
	}
	return j.configured(ctx, c, admitted)
}

// Container judges a container that exists: to start it, or because it runs.
// With an approval nobody is asked who vouches for its image; without one a
// full yes makes one. Image mounts and configuration are judged each time:
// what they lead to can change.
func (j *Judge) Container(ctx context.Context, c engine.Container) (Admitted, error) {
	admitted, err := j.contents(ctx, c)
	if err != nil {
		return Admitted{}, err
	}
	if admitted, err = j.configured(ctx, c, admitted); err != nil {
		return Admitted{}, err
	}
	if !admitted.Approved {
		j.Approve(c, admitted)
	}
	return admitted, nil
}

// contents judges all images of a container.
func (j *Judge) contents(ctx context.Context, c engine.Container) (Admitted, error) {
	approved, ok, err := j.approved(ctx, c)
	if err != nil {
		return Admitted{}, err
	}
	if !ok {
		images, err := engine.Contained(ctx, j.Engine, c)
		if err != nil {
			return Admitted{}, err
		}
		return j.Images(ctx, images)
	}
	mounts, err := j.mounted(ctx, c)
	if err != nil {
		return Admitted{}, err
	}
	others, err := j.Images(ctx, mounts)
	if err != nil {
		return Admitted{}, err
	}
	approved.Allowance, approved.refused = others.Allowance, others.refused
	for _, mount := range mounts {
		approved.Others = append(approved.Others, mount.Name)
	}
	return approved, nil
}

// mounted asks about the images that are mounted into a container.
func (j *Judge) mounted(ctx context.Context, c engine.Container) ([]engine.Image, error) {
	sources := imageMounts(c)
	if len(sources) == 0 {
		return nil, nil
	}
	return engine.Mounted(ctx, j.Engine, sources)
}

func imageMounts(c engine.Container) []string {
	if c.Host == nil {
		return nil
	}
	return engine.ImageMounts(c.Host.Mounts)
}

// configured adds the configuration to a yes to a container's images.
func (j *Judge) configured(ctx context.Context, c engine.Container, admitted Admitted) (Admitted, error) {
	admitted.container, admitted.mounts = c.ID, len(imageMounts(c)) > 0
	if j.Protect == nil {
		return admitted, nil
	}
	err := admitted.Protected(func(image reference.Named) error { return j.Protect.Container(ctx, c, image) })
	if err != nil {
		return Admitted{}, err
	}
	admitted.Configured = true
	return admitted, nil
}

// approved finds the approval of a container, if it has one that the policy
// upholds. The error says that what was approved is revoked since.
func (j *Judge) approved(ctx context.Context, c engine.Container) (Admitted, bool, error) {
	if !j.Recorded || j.Approvals == nil {
		return Admitted{}, false, nil
	}
	a, ok := j.Approvals.Find(c.ID)
	if !ok || a.ID != c.ImageID {
		return Admitted{}, false, nil
	}
	grant, err := j.Verifier.Upholds(ctx, a.Grant)
	if trust.IsRevoked(err) {
		return Admitted{}, false, &Unvouched{Image: engine.Image{Name: c.ImageName, ID: c.ImageID}, Err: err}
	}
	if err != nil {
		return Admitted{}, false, nil // it is judged anew
	}
	if grant.Seen && !a.Seen {
		a.Grant = grant
		j.record(a, c)
	}
	signed := trust.Signed{Digest: a.Digest, Method: a.Method, Signers: a.Signers, KeyIDs: a.Keys, Scope: a.Scope}
	return Admitted{
		Image: c.ImageName, ID: c.ImageID, Approved: true,
		Answer: trust.Answer{Signed: signed, Question: trust.Question{Ref: a.Ref}},
	}, true, nil
}

// Approve records a full yes to a container, which Made or Container gave. Not
// recorded are a yes by break-glass, and one to a container with image mounts:
// what is mounted stands in no approval.
func (j *Judge) Approve(c engine.Container, admitted Admitted) {
	if !j.Recorded || j.ReadOnly || j.Approvals == nil || admitted.Allowance != nil || admitted.mounts {
		return
	}
	if admitted.container != c.ID || admitted.ID != c.ImageID || admitted.Repository() == nil {
		j.Log.Error("a yes to one container was to be recorded for another, or none", "container", c.ID, "judged", admitted.container)
		return
	}
	j.record(Approval{Container: c.ID, Grant: j.Verifier.Grant(admitted.Answer, c.ImageID), Signers: admitted.Answer.Signers, Made: j.Now().UTC()}, c)
}

func (j *Judge) record(a Approval, c engine.Container) {
	if j.ReadOnly {
		return
	}
	if err := j.Approvals.Record(a); err != nil {
		j.Log.Warn("a container is not approved; it will be judged anew at each start", "container", c.ID, "image", c.ImageName, "error", err)
	}
}
