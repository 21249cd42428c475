// Package admission decides whether a container that exists may run: its image
// is vouched for, was when it was made (an approval), or is let through for a
// while by break-glass (an allowance), and its configuration reaches nothing
// that it must not.
//
// It keeps approvals and allowances, as files of root's below the state
// folder. What vouches for an image it leaves to a trust.Verifier, what a
// configuration may reach to a Protector, and what becomes of a no (deny, stop,
// list) to its callers, which are the plugin and docker stig authz.
//
// An approval is not a cache of the verifier's answers: it says that one
// container was accepted in full when it was made, and lets it start again
// after its tag has moved on. It is asked about at each use whether it is still
// what the policy wants (policy.Verifier.Upholds), so nothing has to be undone
// when a policy changes.
package admission

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/protect"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
)

// A Verifier judges images, now and in view of what was accepted before.
// policy.Verifier is one.
type Verifier interface {
	trust.Verifier
	// Grant makes of a yes to content what Upholds can be asked about later.
	Grant(a trust.Answer, id digest.Digest) policy.Grant
	// Upholds reports whether what was accepted then is what the policy wants
	// now, asking nobody unless it has to look whether a part of it is revoked.
	// Revoked is final; any other error means that it has to be judged anew.
	// The grant comes back with what it saw.
	Upholds(ctx context.Context, g policy.Grant) (policy.Grant, error)
	// Withdrawn tells whether the policy revokes content with these digests, or
	// a part of it.
	Withdrawn(ctx context.Context, ref reference.Named, digests ...digest.Digest) error
	// ByRevokedKey tells whether a key that the policy revokes signed for it.
	// The error is one, too, if that cannot be told.
	ByRevokedKey(ctx context.Context, q trust.Question) error
}

// A Protector judges what a container's configuration reaches.
type Protector interface {
	// Container gives no error if the configuration reaches nothing that it
	// must not. Exceptions hold for the repository given; nil has none.
	Container(ctx context.Context, c engine.Container, image reference.Named) error
}

// A Judge says whether containers may run. It is safe for concurrent use.
// Engine, Verifier, Now and Log are required.
type Judge struct {
	Engine   engine.Engine
	Verifier Verifier
	Protect  Protector // nil: configurations are not judged

	// Recorded says that approvals hold, and that a full yes makes one. It is
	// for a policy that enforces and says "start": "recorded"; in permissive
	// mode nothing may be recorded.
	Recorded   bool
	ReadOnly   bool        // approvals hold, and none is made: for who only looks
	Approvals  *Approvals  // may be nil
	Allowances *Allowances // may be nil

	Now func() time.Time
	Log *slog.Logger
}

// Admitted says why something may run.
type Admitted struct {
	Image      string        // as the request or the container names it
	ID         digest.Digest // the engine's image ID; empty: the name alone was judged
	Answer     trust.Answer  // who vouched for it; of an allowance only the question
	Others     []string      // further images: mounts, or those of a service
	Approved   bool          // Answer is the one of when the container was made
	Allowance  *Allowance    // nobody vouched for it, or for one of Others: break-glass
	refused    *Unvouched    // why nobody did
	Configured bool          // the configuration was judged too

	container string // it was judged for
	mounts    bool
}

// Repository is the one that vouched, whose exceptions from self-protection
// hold. With break-glass there is none, be it for one image of several: an
// exception is for content that somebody answers for.
func (a Admitted) Repository() reference.Named {
	if a.Allowance != nil {
		return nil
	}
	return a.named()
}

// named is the repository that the answer is about.
func (a Admitted) named() reference.Named {
	if a.Answer.Question.Ref == nil {
		return nil
	}
	return reference.TrimNamed(a.Answer.Question.Ref)
}

// Protected judges a configuration for the repository that vouched. Where an
// exception is missing because of break-glass the refusal says so, and is no
// more final than what was said of the image: an allowance must not make of
// silence a reason to stop what runs.
func (a Admitted) Protected(judge func(image reference.Named) error) error {
	err := judge(a.Repository())
	no := new(protect.Refusal)
	if a.Allowance == nil || !errors.As(err, &no) || judge(a.named()) != nil {
		return err
	}
	text := no.Text + "; protect.except opens nothing for what runs by break-glass, not even under a repository that it names"
	missed := &protect.Refusal{Setting: no.Setting, Text: text, Err: no.Err}
	if !Conclusive(a.refused) {
		missed.Err = a.refused.Err
	}
	return missed
}

// Unvouched says that nobody vouches for an image, or that it could not be
// found out (trust.Inconclusive).
type Unvouched struct {
	Image engine.Image
	Err   error // mostly a *trust.Error
}

// Error gives the verifier's words.
func (u *Unvouched) Error() string { return u.Err.Error() }

// Unwrap gives the verifier's error.
func (u *Unvouched) Unwrap() error { return u.Err }

// Conclusive tells a no from a question that went unanswered: for want of an
// answer nothing is started, and nothing that runs is stopped. Trust data past
// its time is such a want: a server is silent, or nobody has signed anew, and
// nobody has said anything against the content.
func Conclusive(err error) bool {
	if unvouched := new(Unvouched); errors.As(err, &unvouched) {
		old := new(trust.Error)
		return !trust.Inconclusive(unvouched.Err) && (!errors.As(unvouched.Err, &old) || old.Reason != trust.Expired)
	}
	if refusal := new(protect.Refusal); errors.As(err, &refusal) {
		return !refusal.Inconclusive()
	}
	return errors.As(err, new(*engine.Refusal))
}
