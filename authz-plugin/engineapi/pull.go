package engineapi

import (
	"context"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

func (f Finder) pull(_ context.Context, t Target, r Request) ([]Image, error) {
	from, err := t.param("fromImage")
	if err != nil {
		return nil, err
	}
	tag, err := t.param("tag")
	if err != nil {
		return nil, err
	}
	if from == "" {
		return nil, nil // an import, judged when it is to run
	}
	if err := noHiddenBody(r); err != nil {
		return nil, err
	}
	ref, err := pullReference(from, tag)
	if err != nil {
		return nil, err
	}
	return []Image{{Name: reference.FamiliarString(ref), Questions: []trust.Question{{Ref: ref}}}}, nil
}

// pullReference puts a reference together as moby's postImagesCreate does.
func pullReference(from, tag string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(strings.TrimSuffix(from, ":"))
	if err != nil {
		return nil, refuse("malformed-request", "%q names no image: %v", clip(from), err)
	}
	if tag != "" {
		if dgst, parseErr := digest.Parse(tag); parseErr == nil {
			ref, err = reference.WithDigest(reference.TrimNamed(ref), dgst)
		} else {
			ref, err = reference.WithTag(ref, tag)
		}
		if err != nil {
			return nil, refuse("malformed-request", "%q is no tag: %v", clip(tag), err)
		}
	}
	if reference.IsNameOnly(ref) {
		return nil, refuse("not-pinned", "pulling every tag of %s cannot be vouched for: pull one tag", reference.FamiliarName(ref))
	}
	return ref, nil
}
