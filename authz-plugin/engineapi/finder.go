package engineapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/reference"

	"github.com/docker-stig/docker-stig/shared/trust"
)

// A Request is what the engine says of a request beyond its target.
type Request struct {
	Body   []byte            // only of JSON, and on some engines not even that
	Header map[string]string // flattened: the last of several values
}

// A Finder finds the images that requests name.
type Finder struct{ Engine Engine }

// finders say how each use names its images. A use that is not here names
// none that could be judged.
var finders = map[Use]func(Finder, context.Context, Target, Request) ([]Image, error){
	Create:        Finder.create,
	Start:         Finder.start,
	Revive:        Finder.revive,
	Alter:         Finder.alter,
	Pull:          Finder.pull,
	ServiceCreate: Finder.serviceCreate,
	ServiceUpdate: Finder.serviceUpdate,
}

// Images lists the images that a request would run or store. All of them must
// be vouched for. An error denies the request; a *Refusal says that it would
// be denied whoever signed its images.
func (f Finder) Images(ctx context.Context, t Target, r Request) ([]Image, error) {
	find, ok := finders[t.Route.Use]
	if !ok {
		return nil, refuse("unknown-route", "%s %s names no image that could be judged", t.Route.Method, t.Route.Pattern)
	}
	return find(f, ctx, t, r)
}

// CheckBody refuses a request without the body that its route needs. Engines
// have left bodies out on the way to authorization and read them afterwards
// (CVE-2024-41110, CVE-2026-34040).
func CheckBody(t Target, r Request) error {
	if t.Route.Body && len(r.Body) == 0 {
		return refuse("hidden-body", "%s needs a body, and the engine showed none to authorization: send Content-Type application/json and a Content-Length, at most 1 MiB on older engines", t.Route.Pattern)
	}
	return nil
}

// noHiddenBody refuses a body that the engine has not shown and may read
// after it asked: form parameters would override those of the address, and a
// body that arrives slowly would put time between question and act. A header
// that is given twice shows its last value and works by its first, so any
// Content-Type at all counts.
func noHiddenBody(r Request) error {
	_, typed := r.Header["Content-Type"]
	if !typed || len(r.Body) > 0 || r.Header["Content-Length"] == "0" {
		return nil
	}
	return refuse("hidden-body", "the request has a body that the engine did not show to authorization: send none")
}

func (f Finder) create(ctx context.Context, _ Target, r Request) ([]Image, error) {
	body, err := decodeCreate(r.Body)
	if err != nil {
		return nil, err
	}
	image, err := f.byName(ctx, body.Image)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // the engine will say so itself
	}
	if err != nil {
		return nil, err
	}
	mounts, err := f.mounts(ctx, imageMounts(body.HostConfig.Mounts))
	return append([]Image{image}, mounts...), err
}

// byName asks whether an image may run under a name. The engine is asked only
// where the name may stand for an image ID: an image inspect is costly, and
// the answer to create judges the content in any case. An ID that the engine
// does not hold is ErrNotFound.
func (f Finder) byName(ctx context.Context, name string) (Image, error) {
	w, err := want(name)
	if err != nil {
		return Image{}, err
	}
	if w.isID {
		image, err := f.byID(ctx, name)
		if !errors.Is(err, ErrNotFound) || w.named == nil {
			return image, err
		}
	}
	return Image{Name: reference.FamiliarString(w.named), Questions: []trust.Question{{Ref: w.named}}}, nil
}

// byID asks about the content that the engine finds under a name.
func (f Finder) byID(ctx context.Context, name string) (Image, error) {
	image, err := f.Engine.Image(ctx, name)
	if err != nil {
		return Image{}, fmt.Errorf("asking the engine for image %s: %w", clip(name), err)
	}
	store, err := f.Engine.Store(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("asking the engine how it stores images: %w", err)
	}
	return Image{Name: name, ID: image.ID, Questions: held(append(image.names(), asRepository(name)...), image.content(store))}, nil
}

// asRepository takes a name that may be an image ID for a repository's, where
// it can be one. It is the last to be asked, so that a refusal is about the
// names the image really has.
func asRepository(name string) []string {
	if isFullID(name) {
		return nil
	}
	return []string{name}
}

// mounts asks about images that are mounted. The engine resolves them while
// it creates the container and does not tell to what, so only names that
// cannot move will do: a digest, or an image ID in full.
func (f Finder) mounts(ctx context.Context, sources []string) ([]Image, error) {
	var images []Image
	for _, source := range sources {
		w, err := want(source)
		if err != nil {
			return nil, err
		}
		_, pinned := w.named.(reference.Canonical)
		if !pinned && !isFullID(source) {
			return nil, refuse("not-pinned", "the image mount %q can move to other content: name it by digest, REPOSITORY@sha256:…", clip(source))
		}
		image, err := f.byName(ctx, source)
		if errors.Is(err, ErrNotFound) {
			return nil, refuse("no-such-image", "No such image to mount: %s", clip(source))
		}
		if err != nil {
			return nil, err
		}
		images = append(images, image)
	}
	return images, nil
}
