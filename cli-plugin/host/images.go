package host

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"
)

// A Product is a part of Docker Enterprise that runs as containers.
type Product struct {
	Name         string   // "UCP"
	Label        string   // prefix of the labels its containers carry
	Image        string   // last part of the name of its main image; its other images are Image-…
	Repositories []string // where its vendor publishes the main image
}

// UCP and DTR under all the names they have had. Mirantis renamed them to MKE
// and MSR and kept labels and image names.
var (
	UCP = Product{"UCP", "com.docker.ucp.", "ucp", []string{"docker.io/docker/ucp", "docker.io/mirantis/ucp"}}
	DTR = Product{"DTR", "com.docker.dtr.", "dtr", []string{"docker.io/docker/dtr", "docker.io/mirantis/dtr"}}
)

// An Image is a name under which the engine holds, or runs, an image.
type Image struct {
	Name    reference.Named // with its tag or digest; nil if it has none
	ID      string
	Content trust.Content
	Running int               // containers that run it
	Labels  map[string]string // of those containers and the image
}

// Images lists what the engine holds, one entry a name, in the order of names.
func (h *Host) Images(ctx context.Context) ([]Image, error) {
	return h.listed.get(func() ([]Image, error) { return h.listImages(ctx) })
}

func (h *Host) listImages(ctx context.Context) ([]Image, error) {
	info, err := h.Info(ctx)
	if err != nil {
		return nil, err
	}
	list, err := h.Engine.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the engine's images: %w", err)
	}
	containers, err := h.summaries(ctx)
	if err != nil {
		return nil, err
	}
	var images []Image
	for _, summary := range list.Items {
		for _, name := range imageNames(summary.RepoTags, summary.RepoDigests) {
			image := Image{Name: name, ID: summary.ID, Content: content(summary.ID, summary.RepoDigests, info), Labels: map[string]string{}}
			maps.Copy(image.Labels, summary.Labels)
			for _, container := range containers {
				if container.ImageID != summary.ID {
					continue
				}
				maps.Copy(image.Labels, container.Labels)
				if container.State == "running" {
					image.Running++
				}
			}
			images = append(images, image)
		}
	}
	slices.SortStableFunc(images, func(a, b Image) int { return strings.Compare(a.String(), b.String()) })
	return images, nil
}

// String is the image's full name, its ID if it has none.
func (i Image) String() string {
	if i.Name == nil {
		return i.ID
	}
	return i.Name.String()
}

// imageNames are the tags of an image, its digests if it has no tag; a nil
// name stands for an image that has neither.
func imageNames(tags, digests []string) []reference.Named {
	for _, texts := range [][]string{tags, digests} {
		var names []reference.Named
		for _, text := range texts {
			if name, err := reference.ParseNormalizedNamed(text); err == nil {
				names = append(names, name) // "<none>:<none>" does not parse
			}
		}
		if len(names) > 0 {
			return names
		}
	}
	return []reference.Named{nil}
}

// Of reports whether the image belongs to a product, by its label or by the
// last part of its name.
func (i Image) Of(p Product) bool {
	return p.labelled(i.Labels) || i.Name != nil && p.named(i.Name.String())
}

// labelled reports whether labels are those of the product's own containers.
func (p Product) labelled(labels map[string]string) bool {
	for label := range labels {
		if strings.HasPrefix(label, p.Label) {
			return true
		}
	}
	return false
}

// named reports whether an image's name is one of the product's.
func (p Product) named(image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	last := path.Base(reference.Path(named))
	return last == p.Image || strings.HasPrefix(last, p.Image+"-")
}

// Seen gives the images of a product that the engine holds.
func (h *Host) Seen(ctx context.Context, p Product) ([]Image, error) {
	images, err := h.Images(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(images), func(i Image) bool { return !i.Of(p) }), nil
}

func content(id string, repoDigests []string, info system.Info) trust.Content {
	return trust.Content{
		ID:          digest.Digest(id),
		Store:       trust.StoreOf(info.Driver, info.DriverStatus),
		RepoDigests: repoDigests,
	}
}

func isNotFound(err error) bool { return cerrdefs.IsNotFound(err) }

// A memo keeps the first answer to a question.
type memo[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (m *memo[T]) get(ask func() (T, error)) (T, error) {
	m.once.Do(func() { m.value, m.err = ask() })
	return m.value, m.err
}
