// Package trust holds the words of image signing: the question whether
// content may run under a name, and the answer. It knows neither a signature
// scheme nor a STIG; package policy brings the schemes together.
//
// A verdict means one thing everywhere: no error is signed (NotAFinding and
// allow), a refusal is Open and deny, an inconclusive error is Not_Reviewed
// and deny all the same. Content that may run without a signature (method
// DigestList) is allow, and never NotAFinding.
package trust

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// A Verifier tells which digest the trusted signers of an image vouch for.
// It is safe for concurrent use.
type Verifier interface {
	// Verify accepts the question's content when its error is nil, and only
	// then. The error is an *Error.
	Verify(ctx context.Context, q Question) (Signed, error)
}

// A Question asks whether content may run under a name.
//
//   - Ref with a digest: whether that digest is vouched for, under any tag.
//   - Ref with a tag: whether the tag is vouched for.
//   - Ref with neither: whether Content is vouched for, under any tag.
//
// A tag beside a digest is ignored, as the engine ignores it.
type Question struct {
	Ref     reference.Named
	Content Content // what the engine holds; zero: the name alone is judged

	// Covering are manifests and lists whose bytes, hashed, are known to name
	// the digest of Ref: who vouches for one of them vouches for it.
	Covering []digest.Digest
}

// A Store is the way an engine keeps images; it decides what an image ID is.
type Store string

const (
	// UnknownStore proves nothing about content.
	UnknownStore Store = ""
	// GraphdriverStore names an image by the digest of its configuration.
	GraphdriverStore Store = "graphdriver"
	// ContainerdStore names an image by the digest of its manifest or list.
	ContainerdStore Store = "containerd"
)

// Content is an image as an engine holds it. The zero Content says that the
// engine was not asked or holds nothing.
type Content struct {
	ID          digest.Digest // the engine's image ID
	Store       Store
	RepoDigests []string // as image inspect gives them: "localhost:5000/app@sha256:…"

	// Covering are manifests and lists whose bytes, hashed, are known to name
	// the content: by its image ID or one of its other digests.
	Covering []digest.Digest
}

// IsZero reports whether there is no content to judge.
func (c Content) IsZero() bool {
	return c.ID == "" && c.Store == UnknownStore && len(c.RepoDigests) == 0
}

// Digests are the digests by which the content may be vouched for: its own,
// and those of what covers it.
func (c Content) Digests() []digest.Digest {
	return append(c.Own(), c.Covering...)
}

// Own are the manifest digests that the engine itself vouches the content
// has. A containerd store's RepoDigests may name a digest that the content
// does not have, so there only the ID counts; a graphdriver engine computed
// its RepoDigests when it pulled or pushed; an unknown store proves nothing.
func (c Content) Own() []digest.Digest {
	switch c.Store {
	case ContainerdStore:
		if c.ID != "" {
			return []digest.Digest{c.ID}
		}
	case GraphdriverStore:
		var digests []digest.Digest
		for _, text := range c.RepoDigests {
			if ref, err := reference.ParseNormalizedNamed(text); err == nil {
				if digested, ok := ref.(reference.Digested); ok {
					digests = append(digests, digested.Digest())
				}
			}
		}
		return digests
	case UnknownStore:
	}
	return nil
}

// Is reports whether the content is the manifest with this digest.
func (c Content) Is(want digest.Digest) bool {
	for _, got := range c.Digests() {
		if got == want && want != "" {
			return true
		}
	}
	return false
}

// Method is the way content was vouched for.
type Method string

const (
	// DCT is Docker Content Trust: a signed tag on a Notary v1 server.
	DCT Method = "dct"
	// Cosign is a cosign signature kept beside the image in its registry.
	Cosign Method = "cosign"
	// DigestList is the policy's own list of digests: approved, not signed.
	DigestList Method = "digest-list"
)

// Signs reports whether the method is a signature rather than an approval.
func (m Method) Signs() bool { return m == DCT || m == Cosign }

// Source is where the signed metadata came from.
type Source string

const (
	// Server is an answer of the trust server itself.
	Server Source = "server"
	// Cache is verified metadata kept from an earlier answer.
	Cache Source = "cache"
	// Bundle is metadata imported over an air gap.
	Bundle Source = "bundle"
	// PolicyFile is the policy's own list of digests.
	PolicyFile Source = "policy"
)

// Signed is what the signers of an accepted image vouch for.
type Signed struct {
	// Digest is the manifest's; a tag was only a question about it. It is
	// empty only for DigestList when a tag was judged by its name alone.
	Digest  digest.Digest
	Method  Method
	Signers []string  // delegation roles, or certificate identities
	KeyIDs  []string  // keys whose signatures counted
	Expires time.Time // of the first metadata to expire, UTC; zero: never
	Source  Source
	Scope   string // the pattern of the policy that decided

	// RenewBy is when somebody has to have signed again, or brought a newer
	// bundle, if that is within 14 days. What a trust server renews by itself
	// is not counted while it answers.
	RenewBy time.Time
}

// Soon is how long before trust data expires people are told.
const Soon = 14 * 24 * time.Hour

// A Reason is why an image was not accepted.
type Reason string

// The reasons. Only Unreachable, and the empty Reason, leave the question
// unanswered; the others are a no.
const (
	Unreachable    Reason = "unreachable"     // no answer: server, store or clock failed
	Unsigned       Reason = "unsigned"        // no signature, or no target of that name
	NoScope        Reason = "no-scope"        // the policy names no signer for the repository
	UnknownSigner  Reason = "unknown-signer"  // signed, but by no key the policy names
	BadSignature   Reason = "bad-signature"   // the bytes do not verify
	BelowThreshold Reason = "below-threshold" // too few keys of the role signed
	Expired        Reason = "expired"         // metadata older than it allows itself to be
	Rollback       Reason = "rollback"        // a version lower than one seen before
	DigestMismatch Reason = "digest-mismatch" // signed, but for another manifest
	Revoked        Reason = "revoked"         // the policy withdraws the key or the digest
)

// An Error says why, and at which role, an image was not accepted.
type Error struct {
	Reason Reason
	Ref    reference.Named
	Role   string // "timestamp", "targets/releases", ...; empty outside TUF
	Err    error
	Next   string // what to do, where Advice for the reason would mislead
}

// Error names the image, the reason and the cause.
func (e *Error) Error() string {
	text := "image is not vouched for"
	if e.Ref != nil {
		text = reference.FamiliarString(e.Ref) + " is not vouched for"
	}
	if e.Reason != "" {
		text += fmt.Sprintf(" (%s)", e.Reason)
	}
	if e.Role != "" {
		text += ": role " + e.Role
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Inconclusive reports whether the question went unanswered rather than
// answered no. Both keep the image out; only a no is an Open finding.
func (e *Error) Inconclusive() bool { return e.Reason == Unreachable || e.Reason == "" }

// Inconclusive reports whether err leaves the question unanswered: an *Error
// that says so, or any other error at all.
func Inconclusive(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Inconclusive()
	}
	return err != nil
}

// IsRevoked reports whether err withdraws a key or digest: no other yes counts.
func IsRevoked(err error) bool {
	refused := new(Error)
	return errors.As(err, &refused) && refused.Reason == Revoked
}

// An Answer is a yes, and the question that it was given to.
type Answer struct {
	Signed
	Question Question
}

// VerifyAny accepts content if one of the questions is answered yes: the tags
// and digests an engine lists under an image ID only propose repositories.
// What is revoked ends it. Of several errors it returns an inconclusive one,
// because that question might have been the yes; otherwise the first.
func VerifyAny(ctx context.Context, v Verifier, questions []Question) (Answer, error) {
	var refusal error
	for _, q := range questions {
		signed, err := v.Verify(ctx, q)
		if err == nil {
			return Answer{signed, q}, nil
		}
		if IsRevoked(err) {
			return Answer{}, err
		}
		if refusal == nil || (Inconclusive(err) && !Inconclusive(refusal)) {
			refusal = err
		}
	}
	if refusal == nil {
		refusal = &Error{Reason: Unsigned, Err: errors.New("no repository is known for this content")}
	}
	return Answer{}, refusal
}
