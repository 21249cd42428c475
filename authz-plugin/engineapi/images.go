package engineapi

import (
	"context"
	"errors"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// ErrNotFound is the engine's answer that there is no such object.
var ErrNotFound = errors.New("no such object")

// An Engine answers what has to be known to judge a request. It only reads,
// RemoveContainer apart. Objects that do not exist are ErrNotFound.
type Engine interface {
	// Store tells how the engine keeps images.
	Store(ctx context.Context) (trust.Store, error)
	// Image finds an image by name, ID or prefix of an ID.
	Image(ctx context.Context, name string) (HeldImage, error)
	// Container finds a container as the engine would.
	Container(ctx context.Context, name string) (Container, error)
	// ContainerIDs lists all containers, running or not.
	ContainerIDs(ctx context.Context) ([]string, error)
	// Service finds a swarm service.
	Service(ctx context.Context, id string) (Service, error)
	// RemoveContainer removes a container that must not exist, running or
	// not, with its anonymous volumes.
	RemoveContainer(ctx context.Context, id string) error
}

// A HeldImage is an image as the engine holds it.
type HeldImage struct {
	ID          digest.Digest
	RepoTags    []string
	RepoDigests []string
}

// A Container is what decides whether a container may run.
type Container struct {
	ID          string
	Name        string // without the slash in front
	ImageID     digest.Digest
	ImageName   string   // as it was named at create
	ImageMounts []string // sources, as they were named at create
}

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
func (i Image) Verify(ctx context.Context, v trust.Verifier) (trust.Signed, error) {
	signed, err := trust.VerifyAny(ctx, v, i.Questions)
	if err == nil || i.More == nil || trust.IsRevoked(err) {
		return signed, err
	}
	more, moreErr := i.More(ctx)
	if moreErr != nil {
		return trust.Signed{}, moreErr
	}
	if signed, moreErr = trust.VerifyAny(ctx, v, more); moreErr == nil {
		return signed, nil
	}
	if len(i.Questions) == 0 || (trust.Inconclusive(moreErr) && !trust.Inconclusive(err)) {
		return trust.Signed{}, moreErr
	}
	return trust.Signed{}, err
}

// maxRepositories bounds how many repositories are asked about one image.
const maxRepositories = 32

// held asks about content the engine holds: the names the engine lists for it
// only propose repositories, and one of them has to accept the content.
func held(names []string, content trust.Content) []trust.Question {
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

// names lists what may propose a repository for an image, the first of all.
func (h HeldImage) names(first ...string) []string {
	return slices.Concat(first, h.RepoTags, h.RepoDigests)
}

// content is what the engine holds, as far as its store can be believed.
func (h HeldImage) content(store trust.Store) trust.Content {
	return trust.Content{ID: h.ID, Store: store, RepoDigests: h.RepoDigests}
}
