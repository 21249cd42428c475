package engineapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// Created judges what a create has made. The question is whether the content
// that the container really got may run under the name it was asked for by.
func (f Finder) Created(ctx context.Context, id string) ([]Image, error) {
	made, err := f.Engine.Container(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for container %s: %w", clip(id), err)
	}
	if made.ID != id {
		return nil, refuse("ambiguous-name", "the engine gave another container for %s", clip(id))
	}
	w, err := want(made.ImageName)
	if err != nil {
		return nil, err
	}
	content, image, err := f.contentOf(ctx, made, w.isID)
	if err != nil {
		return nil, err
	}
	if !w.isID {
		q := trust.Question{Ref: w.named, Content: content}
		return []Image{{Name: made.ImageName, ID: made.ImageID, Questions: []trust.Question{q}}}, nil
	}
	questions := held(append(image.names(), asRepository(made.ImageName)...), content)
	return []Image{{Name: made.ImageName, ID: made.ImageID, Questions: questions}}, nil
}

// contentOf describes what a container was made of. Where the image ID alone
// proves nothing, or its names are wanted, the image is inspected; an image
// that is gone since has no more than its ID.
func (f Finder) contentOf(ctx context.Context, c Container, names bool) (trust.Content, HeldImage, error) {
	if err := c.ImageID.Validate(); err != nil {
		return trust.Content{}, HeldImage{}, refuse("no-image", "container %s was not made from an image: what it runs cannot be vouched for", clip(c.Name))
	}
	store, err := f.Engine.Store(ctx)
	if err != nil {
		return trust.Content{}, HeldImage{}, fmt.Errorf("asking the engine how it stores images: %w", err)
	}
	image := HeldImage{ID: c.ImageID}
	if names || store != trust.ContainerdStore {
		if image, err = f.imageOf(ctx, c.ImageID); err != nil {
			return trust.Content{}, HeldImage{}, err
		}
	}
	return image.content(store), image, nil
}

func (f Finder) imageOf(ctx context.Context, id digest.Digest) (HeldImage, error) {
	image, err := f.Engine.Image(ctx, id.String())
	if errors.Is(err, ErrNotFound) {
		return HeldImage{ID: id}, nil
	}
	if err != nil {
		return HeldImage{}, fmt.Errorf("asking the engine for image %s: %w", id, err)
	}
	if image.ID != id {
		return HeldImage{}, refuse("ambiguous-name", "the engine gave image %s for %s", image.ID, id)
	}
	return image, nil
}

// start refuses, beyond what revive does, to start by other means than the
// container itself: a host configuration in the body (engines up to 20.10,
// API 1.23 and below), and a checkpoint, which is a process of its own.
func (f Finder) start(ctx context.Context, t Target, r Request) ([]Image, error) {
	// An engine takes what is longer than 7 bytes for a host configuration;
	// some clients send "{}".
	if len(r.Body) > 7 {
		return nil, refuse("malformed-request", "a start with a body would change the container: use API version 1.24 or later")
	}
	for _, key := range []string{"checkpoint", "checkpoint-dir"} {
		value, err := t.param(key)
		if err != nil {
			return nil, err
		}
		if value != "" {
			return nil, refuse("checkpoint", "a checkpoint cannot be vouched for: start the container without it")
		}
	}
	return f.revive(ctx, t, r)
}

func (f Finder) revive(ctx context.Context, t Target, r Request) ([]Image, error) {
	images, err := f.container(ctx, t, r)
	if errors.Is(err, ErrNotFound) {
		// Not left to the engine to say: a container of that name could be
		// made, and not judged yet, before the engine looks for it.
		return nil, refuse("no-such-container", "No such container: %s", clip(t.Name))
	}
	return images, err
}

func (f Finder) alter(ctx context.Context, t Target, r Request) ([]Image, error) {
	if t.Route.Body {
		var ignored map[string]any
		if err := decodeStrict(r.Body, &ignored, updateShape, nil); err != nil {
			return nil, refuse("malformed-request", "the update cannot be read: %v", err)
		}
	}
	images, err := f.container(ctx, t, r)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // the engine will say so itself
	}
	return images, err
}

// container asks about the content of a container that exists, and about its
// image mounts. Its image ID cannot change, so what is judged is what runs.
func (f Finder) container(ctx context.Context, t Target, r Request) ([]Image, error) {
	if err := noHiddenBody(r); err != nil {
		return nil, err
	}
	name, err := t.object("container")
	if err != nil {
		return nil, err
	}
	c, err := f.Engine.Container(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("asking the engine for container %s: %w", clip(name), err)
	}
	if err := f.unambiguous(ctx, name, c); err != nil {
		return nil, err
	}
	content, image, err := f.contentOf(ctx, c, false)
	if err != nil {
		return nil, err
	}
	judged := Image{Name: c.ImageName, ID: c.ImageID, Questions: held(image.names(proposal(c)...), content)}
	if content.Store == trust.ContainerdStore {
		judged.More = f.otherNames(c, content)
	}
	mounts, err := f.mounts(ctx, c.ImageMounts)
	return append([]Image{judged}, mounts...), err
}

// proposal gives the repository a container was made from, where it was not
// named by image ID.
func proposal(c Container) []string {
	if mayBeID(c.ImageName) {
		return nil
	}
	return []string{c.ImageName}
}

// otherNames asks about the other repositories the engine lists for a
// container's image.
func (f Finder) otherNames(c Container, content trust.Content) func(context.Context) ([]trust.Question, error) {
	return func(ctx context.Context) ([]trust.Question, error) {
		image, err := f.imageOf(ctx, c.ImageID)
		if err != nil {
			return nil, err
		}
		return held(image.names(), content), nil
	}
}

// unambiguous refuses a name that also begins another container's ID. The
// engine looks for the name first: taken away between question and act, the
// name would start the other container.
func (f Finder) unambiguous(ctx context.Context, name string, c Container) error {
	if name == c.ID || strings.Trim(name, "0123456789abcdef") != "" {
		return nil
	}
	if name != c.Name && strings.HasPrefix(c.ID, name) {
		return nil // found by prefix, which the engine only does when it is the only one
	}
	ids, err := f.Engine.ContainerIDs(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine for its containers: %w", err)
	}
	for _, id := range ids {
		if id != c.ID && strings.HasPrefix(id, name) {
			return refuse("ambiguous-name", "%s is a container's name and begins the ID of another: use the ID %s", clip(name), c.ID)
		}
	}
	return nil
}
