package engine

import (
	"context"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// An Image is one image that a request would run or store. It is vouched for
// if one of its questions is answered yes; without questions it is not.
type Image struct {
	Name      string        // as the request or the container names it
	ID        digest.Digest // what the engine holds; empty: the name alone is judged
	Questions []trust.Question

	// More gives further questions, at the price of an image inspect. It may
	// be nil.
	More func(context.Context) ([]trust.Question, error)
}

// Verify answers an image's questions in order.
func (i Image) Verify(ctx context.Context, v trust.Verifier) (trust.Answer, error) {
	answer, err := trust.VerifyAny(ctx, v, i.Questions)
	if err == nil || i.More == nil || trust.IsRevoked(err) {
		return answer, err
	}
	more, moreErr := i.More(ctx)
	if moreErr != nil {
		return trust.Answer{}, moreErr
	}
	if answer, moreErr = trust.VerifyAny(ctx, v, more); moreErr == nil {
		return answer, nil
	}
	if len(i.Questions) == 0 || trust.IsRevoked(moreErr) || (trust.Inconclusive(moreErr) && !trust.Inconclusive(err)) {
		return trust.Answer{}, moreErr
	}
	return trust.Answer{}, err
}

// maxRepositories bounds how many repositories are asked about one image.
const maxRepositories = 32

// Held asks about content the engine holds: the names the engine lists for it
// only propose repositories, and one of them has to accept the content.
func Held(names []string, content trust.Content) []trust.Question {
	var questions []trust.Question
	var seen []string
	for _, name := range names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil || slices.Contains(seen, named.Name()) {
			continue // "<none>:<none>" is no name
		}
		if len(seen) == maxRepositories {
			break
		}
		seen = append(seen, named.Name())
		questions = append(questions, trust.Question{Ref: reference.TrimNamed(named), Content: content})
	}
	return questions
}

// Names lists what may propose a repository for an image, the first of all.
func (h HeldImage) Names(first ...string) []string {
	return slices.Concat(first, h.RepoTags, h.RepoDigests)
}

// Content is what the engine holds, as far as its store can be believed.
func (h HeldImage) Content(store trust.Store) trust.Content {
	return trust.Content{ID: h.ID, Store: store, RepoDigests: h.RepoDigests}
}
