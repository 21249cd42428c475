package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Exactly asks the engine for the container with an ID, and takes no other.
func Exactly(ctx context.Context, e Engine, id string) (Container, error) {
	c, err := e.Container(ctx, id)
	if err != nil {
		return Container{}, fmt.Errorf("asking the engine for container %s: %w", Clip(id), err)
	}
	if c.ID != id {
		return Container{}, Refuse("ambiguous-name", "the engine gave another container for %s", Clip(id))
	}
	return c, nil
}

// Made asks about a container that a create has made: whether the content that
// it really got may run under the name it was asked for by.
func Made(ctx context.Context, e Engine, made Container) ([]Image, error) {
	w, err := Want(made.ImageName)
	if err != nil {
		return nil, err
	}
	content, image, err := contentOf(ctx, e, made, w.IsID)
	if err != nil {
		return nil, err
	}
	if !w.IsID {
		q := trust.Question{Ref: w.Named, Content: content}
		return []Image{{Name: made.ImageName, ID: made.ImageID, Questions: []trust.Question{q}}}, nil
	}
	questions := Held(append(image.Names(), asRepository(made.ImageName)...), content)
	return []Image{{Name: made.ImageName, ID: made.ImageID, Questions: questions}}, nil
}

// Contained asks about the content of a container that exists, under any
// name, and about its image mounts. Its image ID cannot change, so what is
// judged is what runs.
func Contained(ctx context.Context, e Engine, c Container) ([]Image, error) {
	content, image, err := contentOf(ctx, e, c, false)
	if err != nil {
		return nil, err
	}
	judged := Image{Name: c.ImageName, ID: c.ImageID, Questions: Held(image.Names(proposal(c)...), content)}
	if content.Store == trust.ContainerdStore {
		judged.More = otherNames(e, c, content)
	}
	mounts, err := Mounted(ctx, e, ImageMounts(c.mounts()))
	return append([]Image{judged}, mounts...), err
}

// contentOf describes what a container was made of. Where the image ID alone
// proves nothing, or its names are wanted, the image is inspected; an image
// that is gone since has no more than its ID.
func contentOf(ctx context.Context, e Engine, c Container, names bool) (trust.Content, HeldImage, error) {
	if err := c.ImageID.Validate(); err != nil {
		return trust.Content{}, HeldImage{}, Refuse("no-image", "container %s was not made from an image: what it runs cannot be vouched for", Clip(c.Name))
	}
	store, err := e.Store(ctx)
	if err != nil {
		return trust.Content{}, HeldImage{}, fmt.Errorf("asking the engine how it stores images: %w", err)
	}
	image := HeldImage{ID: c.ImageID}
	if names || store != trust.ContainerdStore {
		if image, err = imageOf(ctx, e, c.ImageID); err != nil {
			return trust.Content{}, HeldImage{}, err
		}
	}
	return image.Content(store), image, nil
}

func imageOf(ctx context.Context, e Engine, id digest.Digest) (HeldImage, error) {
	image, err := e.Image(ctx, id.String())
	if errors.Is(err, ErrNotFound) {
		return HeldImage{ID: id}, nil
	}
	if err != nil {
		return HeldImage{}, fmt.Errorf("asking the engine for image %s: %w", id, err)
	}
	if image.ID != id {
		return HeldImage{}, Refuse("ambiguous-name", "the engine gave image %s for %s", image.ID, id)
	}
	return image, nil
}

// proposal gives the repository a container was made from, where it was not
// named by image ID.
func proposal(c Container) []string {
	if MayBeID(c.ImageName) {
		return nil
	}
	return []string{c.ImageName}
}

// otherNames asks about the other repositories the engine lists for a
// container's image.
func otherNames(e Engine, c Container, content trust.Content) func(context.Context) ([]trust.Question, error) {
	return func(ctx context.Context) ([]trust.Question, error) {
		image, err := imageOf(ctx, e, c.ImageID)
		if err != nil {
			return nil, err
		}
		return Held(image.Names(), content), nil
	}
}
