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
	questions := func(image HeldImage, content trust.Content) []trust.Question {
		if !w.IsID {
			return []trust.Question{{Ref: w.Named, Content: content}}
		}
		return Held(append(image.Names(), asRepository(made.ImageName)...), content)
	}
	judged, err := about(ctx, e, made, w.IsID, questions)
	if err != nil {
		return nil, err
	}
	if !w.IsID && judged.Questions[0].Content.Store == trust.ContainerdStore {
		judged.More = nil // an inspect would tell nothing that counts
	}
	return []Image{judged}, nil
}

// Contained asks about the content of a container that exists, under any
// name, and about its image mounts. Its image ID cannot change, so what is
// judged is what runs.
func Contained(ctx context.Context, e Engine, c Container) ([]Image, error) {
	judged, err := about(ctx, e, c, false, func(image HeldImage, content trust.Content) []trust.Question {
		return Held(image.Names(proposal(c)...), content)
	})
	if err != nil {
		return nil, err
	}
	mounts, err := Mounted(ctx, e, ImageMounts(c.mounts()))
	return append([]Image{judged}, mounts...), err
}

// about asks about what a container was made of. Where the image ID alone
// proves nothing, or its names are wanted, the image has to be known or is
// inspected; one that is gone since has no more than its ID. A no that came
// without an inspect has More to ask.
func about(ctx context.Context, e Engine, c Container, named bool, questions func(HeldImage, trust.Content) []trust.Question) (Image, error) {
	if err := c.ImageID.Validate(); err != nil {
		return Image{}, Refuse("no-image", "container %s was not made from an image: what it runs cannot be vouched for", Clip(c.Name))
	}
	store, err := e.Store(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("asking the engine how it stores images: %w", err)
	}
	image, inspected := HeldImage{ID: c.ImageID}, false
	if named || store != trust.ContainerdStore {
		if image, inspected, err = described(ctx, e, c.ImageID); err != nil {
			return Image{}, err
		}
	}
	judged := Image{Name: c.ImageName, ID: c.ImageID, Questions: questions(image, image.Content(store))}
	if !inspected {
		judged.More = func(ctx context.Context) ([]trust.Question, error) {
			image, err := imageOf(ctx, e, c.ImageID)
			if err != nil {
				return nil, err
			}
			return questions(image, image.Content(store)), nil
		}
	}
	return judged, nil
}

// described gives an image as it is known, or else inspects it.
func described(ctx context.Context, e Engine, id digest.Digest) (image HeldImage, inspected bool, err error) {
	if image, ok := e.Known(id); ok {
		return image, false, nil
	}
	image, err = imageOf(ctx, e, id)
	return image, true, err
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
