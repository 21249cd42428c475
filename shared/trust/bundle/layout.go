package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of following lists: maxNesting is that of package manifests, maxSteps
// keeps lists that name each other crosswise from taking forever.
const (
	maxNesting = 3
	maxSteps   = 1 << 22 // entries of lists, for all images together; a second's work
)

// annotationImageName is where containerd looks for an image's full name
// (core/images/annotations.go).
const annotationImageName = "io.containerd.image.name"

// contents are the blobs that images need.
type contents struct {
	known  map[digest.Digest]*document
	blobs  map[digest.Digest]*file
	images []content
	seen   map[*document]bool // of the image that is being followed
	steps  int
}

// content is what an image consists of.
type content struct {
	image
	document  *document
	platform  *document // the last one that an engine can run
	platforms int
}

func (c *contents) addImages(images []image) error {
	if len(images) == 0 {
		return errors.New("it names no image whose layers it could hold")
	}
	for _, img := range images {
		doc, ok := c.known[img.Digest]
		if !ok {
			return fmt.Errorf("the manifest of image %s, %s, is not in it", img.Name, img.Digest)
		}
		c.seen = map[*document]bool{}
		found := content{image: img, document: doc}
		if err := c.add(&found, doc, 0); err != nil {
			return err
		}
		if found.platforms == 0 {
			return fmt.Errorf("image %s is a list, and the manifest of none of its platforms is in it", img.Name)
		}
		c.images = append(c.images, found)
	}
	return nil
}

// add follows a manifest or list to its blobs.
func (c *contents) add(img *content, doc *document, level int) error {
	if !doc.isList {
		img.platform = doc
		img.platforms++
		return c.addBlobs(img.Name, doc)
	}
	if level > maxNesting {
		return fmt.Errorf("image %s is a list of lists deeper than %d levels", img.Name, maxNesting)
	}
	for _, child := range doc.entries {
		if c.steps++; c.steps > maxSteps {
			return fmt.Errorf("image %s: the lists name each other too often", img.Name)
		}
		if c.seen[child.document] {
			continue
		}
		c.seen[child.document] = true
		if child.attestation && !child.isList {
			if err := c.addBlobs(img.Name, child.document); err != nil {
				return err
			}
			continue
		}
		if err := c.add(img, child.document, level+1); err != nil {
			return err
		}
	}
	return nil
}

// addBlobs reads a manifest again, the first time that an image needs it.
func (c *contents) addBlobs(name string, doc *document) error {
	if doc.blobs != nil {
		return nil
	}
	m, err := manifests.Parse(doc.raw)
	if err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		f, err := c.blob(name, d)
		if err != nil {
			return fmt.Errorf("image %s %w", name, err)
		}
		doc.blobs = append(doc.blobs, f)
	}
	return nil
}

func (c *contents) blob(name string, d ocispec.Descriptor) (*file, error) {
	if _, ok := c.known[d.Digest]; ok {
		return nil, fmt.Errorf("has the manifest %s for a blob", d.Digest)
	}
	f, ok := c.blobs[d.Digest]
	if ok && f.Size != d.Size {
		return nil, fmt.Errorf("has %d bytes for blob %s, which by another manifest has %d", d.Size, d.Digest, f.Size)
	}
	if ok {
		return f, nil
	}
	if len(c.blobs) == maxFiles {
		return nil, fmt.Errorf("is one too many: %w", errTooMany)
	}
	f = &file{Path: blobPath(d.Digest), Size: d.Size, SHA256: d.Digest.Encoded(), image: name, kind: d.MediaType}
	c.blobs[d.Digest] = f
	return f, nil
}

func (c *contents) sorted() []file {
	files := make([]file, 0, len(c.blobs))
	for _, d := range slices.Sorted(maps.Keys(c.blobs)) {
		files = append(files, *c.blobs[d])
	}
	return files
}

// layout makes the files by which engines find the images.
func (c *contents) layout() ([]*file, error) {
	var files []*file
	add := func(name string, write func(io.Writer) error) error {
		f, err := newMade(name, write)
		files = append(files, f)
		return err
	}
	if err := add(ocispec.ImageIndexFile, c.writeIndex); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(c.images, func(img content) bool { return img.platforms == 1 }) {
		if err := add("manifest.json", c.writeSaved); err != nil {
			return nil, err
		}
	}
	return files, add(ocispec.ImageLayoutFile, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `{"imageLayoutVersion":%q}`, ocispec.ImageLayoutVersion)
		return err
	})
}

// writeIndex writes what an ocispec.Index with these images is in JSON.
func (c *contents) writeIndex(w io.Writer) error {
	head := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":`, ocispec.MediaTypeImageIndex)
	return writeList(w, head, "}", func(yield func(any) bool) {
		for _, img := range c.images {
			descriptor := ocispec.Descriptor{
				MediaType:   img.document.mediaType,
				Digest:      img.Digest,
				Size:        int64(len(img.document.raw)),
				Annotations: map[string]string{annotationImageName: img.Name, ocispec.AnnotationRefName: tagOf(img.Name)},
			}
			if !yield(descriptor) {
				return
			}
		}
	})
}

// writeList writes JSON, element by element: a bundle may name a layer in
// thousands of images.
func writeList(w io.Writer, head, tail string, elements iter.Seq[any]) error {
	before := head + "["
	for element := range elements {
		raw, err := json.Marshal(element)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, before); err != nil {
			return err
		}
		if _, err := w.Write(raw); err != nil {
			return err
		}
		before = ","
	}
	_, err := io.WriteString(w, "]"+tail)
	return err
}

// tagOf is the tag in the full name of an image.
func tagOf(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if tagged, ok := ref.(reference.NamedTagged); ok && err == nil {
		return tagged.Tag()
	}
	return name // not reached: names are checked before
}

// A savedImage is an entry of manifest.json as docker save writes it.
type savedImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// writeSaved names the images that come for one platform. Of several, a
// graphdriver engine would give the name to whichever came last.
func (c *contents) writeSaved(w io.Writer) error {
	tags := map[*document][]string{}
	var single []*document
	for _, img := range c.images {
		if img.platforms != 1 {
			continue
		}
		if tags[img.platform] == nil {
			single = append(single, img.platform)
		}
		tags[img.platform] = append(tags[img.platform], img.Name)
	}
	return writeList(w, "", "", func(yield func(any) bool) {
		for _, doc := range single {
			saved := savedImage{Config: doc.blobs[0].Path, RepoTags: tags[doc], Layers: []string{}}
			for _, layer := range doc.blobs[1:] {
				saved.Layers = append(saved.Layers, layer.Path)
			}
			if !yield(saved) {
				return
			}
		}
	})
}
