package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/mount"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// ImageMounts lists the sources of mounts that are images.
func ImageMounts(mounts []mount.Mount) []string {
	var sources []string
	for _, m := range mounts {
		if m.Type == mount.TypeImage {
			sources = append(sources, m.Source)
		}
	}
	return sources
}

// A Wanted image is a name as a request gives it, read as the engine reads it.
type Wanted struct {
	Name  string
	Named reference.Named // nil: an image ID and nothing else
	IsID  bool            // it is, or the engine may take it for, an image ID
}

// Want reads the name of an image. The error carries Docker's own words.
func Want(name string) (Wanted, error) {
	ref, err := reference.ParseAnyReference(name)
	if err != nil {
		return Wanted{}, NoImage(name, err)
	}
	w := Wanted{Name: name, IsID: MayBeID(name)}
	if named, ok := ref.(reference.Named); ok {
		w.Named = reference.TagNameOnly(named)
		return w, nil
	}
	w.IsID = true
	return w, nil
}

// NoImage refuses what cannot be read as the name of an image. Before an @ may
// stand a login, as in an address that was pasted: that is not repeated, and
// neither is an error that may quote it.
func NoImage(name string, err error) error {
	if at := strings.LastIndexByte(name, '@'); at >= 0 {
		name, err = "…"+name[at:], reference.ErrReferenceInvalidFormat
	}
	return Refuse("malformed-request", "%q names no image: %v", Clip(name), err)
}

// MayBeID reports whether an engine may find an image by name as by its ID or
// the beginning of one. Graphdriver engines take a prefix of any length, with
// or without the algorithm in front.
func MayBeID(name string) bool {
	hex := strings.TrimPrefix(name, "sha256:")
	return hex != "" && len(hex) <= 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// IsFullID reports whether name is an image ID in full, which no tag can take
// over.
func IsFullID(name string) bool {
	return MayBeID(name) && len(strings.TrimPrefix(name, "sha256:")) == 64
}

// ByName asks whether an image may run under a name. The engine is asked only
// where the name may stand for an image ID: an image inspect is costly, and
// the answer to create judges the content in any case. An ID that the engine
// does not hold is ErrNotFound.
func ByName(ctx context.Context, e Engine, name string) (Image, error) {
	w, err := Want(name)
	if err != nil {
		return Image{}, err
	}
	if w.IsID {
		image, err := byID(ctx, e, name)
		if !errors.Is(err, ErrNotFound) || w.Named == nil {
			return image, err
		}
	}
	return Image{Name: reference.FamiliarString(w.Named), Questions: []trust.Question{{Ref: w.Named}}}, nil
}

// byID asks about the content that the engine finds under a name.
func byID(ctx context.Context, e Engine, name string) (Image, error) {
	image, err := e.Image(ctx, name)
	if err != nil {
		return Image{}, fmt.Errorf("asking the engine for image %s: %w", Clip(name), err)
	}
	store, err := e.Store(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("asking the engine how it stores images: %w", err)
	}
	return Image{Name: name, ID: image.ID, Questions: Held(append(image.Names(), asRepository(name)...), image.Content(store))}, nil
}

// asRepository takes a name that may be an image ID for a repository's, where
// it can be one. It is the last to be asked, so that a refusal is about the
// names the image really has.
func asRepository(name string) []string {
	if IsFullID(name) {
		return nil
	}
	return []string{name}
}

// Mounted asks about images that are mounted. The engine resolves them while
// it creates the container and does not tell to what, so only names that
// cannot move will do: a digest, or an image ID in full.
func Mounted(ctx context.Context, e Engine, sources []string) ([]Image, error) {
	var images []Image
	for _, source := range sources {
		w, err := Want(source)
		if err != nil {
			return nil, err
		}
		_, pinned := w.Named.(reference.Canonical)
		if !pinned && !IsFullID(source) {
			return nil, Refuse("not-pinned", "the image mount %q can move to other content: name it by digest, REPOSITORY@sha256:…", Clip(source))
		}
		image, err := ByName(ctx, e, source)
		if errors.Is(err, ErrNotFound) {
			return nil, Refuse("no-such-image", "No such image to mount: %s", Clip(source))
		}
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}
