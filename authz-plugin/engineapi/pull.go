package engineapi

import (
	"context"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/trust"
)

// pull wants no body of a kind that the engine reads parameters from, not even
// where the address names nothing to pull: a form in the body would. An import
// has a body too, and goes through as long as it says nothing of its kind.
func (f Finder) pull(_ context.Context, t Target, r Request) (Demand, error) {
	if noHiddenBody(r) != nil {
		return Demand{}, engine.Refuse("hidden-body", "the request has a body that the engine did not show to authorization, and would pull by if it is a form: send none; to import an image use docker load, or docker 29 or later, which does not say that it may be one (or set requests.pull to \"allow\")")
	}
	from, err := t.param("fromImage")
	if err != nil {
		return Demand{}, err
	}
	tag, err := t.param("tag")
	if err != nil {
		return Demand{}, err
	}
	if from == "" {
		return Demand{}, nil // an import, judged when it is to run
	}
	ref, err := pullReference(from, tag)
	if err != nil {
		return Demand{}, err
	}
	return Demand{Images: []engine.Image{{Name: reference.FamiliarString(ref), Questions: []trust.Question{{Ref: ref}}}}}, nil
}

// pullReference puts a reference together as moby's postImagesCreate does.
func pullReference(from, tag string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(strings.TrimSuffix(from, ":"))
	if err != nil {
		return nil, engine.NoImage(from, err)
	}
	if tag != "" {
		if dgst, parseErr := digest.Parse(tag); parseErr == nil {
			ref, err = reference.WithDigest(reference.TrimNamed(ref), dgst)
		} else {
			ref, err = reference.WithTag(ref, tag)
		}
		if err != nil {
			return nil, engine.Refuse("malformed-request", "%q is no tag: %v", engine.Clip(tag), err)
		}
	}
	if reference.IsNameOnly(ref) {
		return nil, engine.Refuse("not-pinned", "pulling every tag of %s cannot be vouched for: pull one tag", reference.FamiliarName(ref))
	}
	return ref, nil
}
