// Package manifests tells which manifests and lists name a piece of content:
// "bytes that hash to D name the digest C". It is what lets a signed list
// cover the image of one platform, and a signed manifest cover the
// configuration that a graphdriver engine calls the image ID.
//
// There are two edges and no other: a manifest names its configuration, a
// list names the manifests (and lists) in it. The relation never holds the
// other way round, and a layer is no image. Two things that a document names
// are left out on purpose:
//
//   - A config that is no image configuration: an artifact's empty config is
//     the same two bytes for everybody.
//   - A list's entry for attestations (platform unknown/unknown, or with the
//     annotation vnd.docker.reference.type). An engine cannot run a true one,
//     and scanners pass over it, so an image disguised as one would be vouched
//     for although nobody had looked at it.
//
// A document is believed only for what every reader sees in it; Parse refuses
// the rest. Signatures are not known here: who vouches for D is the business
// of the verifier, who may add documents that of the command.
//
// OCI image-spec v1.1.1, manifest.md, image-index.md and descriptor.md;
// distribution's "Image Manifest Version 2, Schema 2". That one document must
// not be a manifest and a list at once is the lesson of CVE-2021-41190.
package manifests

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of one document.
const (
	MaxSize        = 4 << 20 // bytes; OCI distribution-spec 1.1, "Pushing Manifests": what a registry should take
	maxDescriptors = 1024    // in one list; overlay2 stacks 128 layers, large lists have 60 entries
)

// Docker's own media types; OCI's are in image-spec.
const (
	DockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	DockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// isList tells the media types of documents, and which of them are lists.
var isList = map[string]bool{
	DockerManifest:                 false,
	ocispec.MediaTypeImageManifest: false,
	DockerList:                     true,
	ocispec.MediaTypeImageIndex:    true,
}

// A Manifest is a manifest (Config and Layers) or a list (Manifests).
type Manifest struct {
	MediaType string // its own; of OCI when the document does not say
	Config    ocispec.Descriptor
	Layers    []ocispec.Descriptor
	Manifests []ocispec.Descriptor
}

// IsList reports whether it is a list, which OCI calls an image index.
func (m Manifest) IsList() bool { return isList[m.MediaType] }

// config is the digest of the image configuration; "" if there is none.
func (m Manifest) config() digest.Digest {
	switch m.Config.MediaType {
	case dockerConfig, ocispec.MediaTypeImageConfig:
		return m.Config.Digest
	}
	return ""
}

// listed are the digests of the images and lists in a list.
func (m Manifest) listed() []digest.Digest {
	var digests []digest.Digest
	for _, entry := range m.Manifests {
		if _, known := isList[entry.MediaType]; known && !IsAttestation(entry) {
			digests = append(digests, entry.Digest)
		}
	}
	return digests
}

// IsAttestation reports whether a list's entry says of itself that it is not
// an image but a statement about one.
func IsAttestation(entry ocispec.Descriptor) bool {
	if _, ok := entry.Annotations["vnd.docker.reference.type"]; ok {
		return true
	}
	return entry.Platform != nil && entry.Platform.OS == "unknown" && entry.Platform.Architecture == "unknown"
}

// document is what both kinds are read into.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        ocispec.Descriptor   `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
}

// Parse reads an OCI or Docker schema 2 manifest, or a list of them. It
// refuses what two readers could understand in two ways.
func Parse(raw []byte) (Manifest, error) {
	if len(raw) > MaxSize {
		return Manifest{}, fmt.Errorf("reading a manifest: it is longer than the %d MiB that are read", MaxSize>>20)
	}
	members, err := checkForm(raw)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading a manifest: %w", err)
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return Manifest{}, fmt.Errorf("reading a manifest: %w", err)
	}
	if err := doc.check(members); err != nil {
		return Manifest{}, fmt.Errorf("reading a manifest: %w", err)
	}
	return Manifest{MediaType: doc.MediaType, Config: doc.Config, Layers: doc.Layers, Manifests: doc.Manifests}, nil
}

// check holds what the document says of itself against what is in it.
func (doc *document) check(has map[string]bool) error {
	switch {
	case doc.SchemaVersion == 1 || has["fsLayers"]:
		return errors.New("it is of schema 1, which cannot be verified; have the image pushed again by a current engine")
	case doc.SchemaVersion != 2:
		return fmt.Errorf("its schemaVersion is %d; only 2 is known", doc.SchemaVersion)
	case has["manifests"] && (has["config"] || has["layers"]):
		return errors.New("it is a manifest and a list at once")
	case has["manifests"]:
		return doc.checkList()
	case has["config"] && has["layers"]:
		return doc.checkManifest()
	default:
		return errors.New("it is neither an image manifest (config and layers) nor a list (manifests)")
	}
}

func (doc *document) checkList() error {
	if doc.MediaType == "" {
		doc.MediaType = ocispec.MediaTypeImageIndex
	}
	if !isList[doc.MediaType] {
		return fmt.Errorf("it is a list and calls itself %.80q", doc.MediaType)
	}
	return checkDescriptors("manifests", doc.Manifests)
}

func (doc *document) checkManifest() error {
	if doc.MediaType == "" {
		doc.MediaType = ocispec.MediaTypeImageManifest
	}
	if list, known := isList[doc.MediaType]; !known || list {
		return fmt.Errorf("it is an image manifest and calls itself %.80q", doc.MediaType)
	}
	if err := checkDescriptors("config", []ocispec.Descriptor{doc.Config}); err != nil {
		return err
	}
	return checkDescriptors("layers", doc.Layers)
}

func checkDescriptors(member string, list []ocispec.Descriptor) error {
	for _, d := range list {
		switch {
		case !isSHA256(d.Digest):
			return fmt.Errorf("its %s name the digest %.90q, which is no sha256", member, d.Digest)
		case d.Size < 0:
			return fmt.Errorf("its %s name a size of %d bytes", member, d.Size)
		case d.MediaType == "":
			return fmt.Errorf("its %s name %s without a media type", member, d.Digest)
		}
	}
	return nil
}

// isSHA256 reports whether d is well formed, and so safe as a file's name.
func isSHA256(d digest.Digest) bool {
	return d.Validate() == nil && d.Algorithm() == digest.SHA256
}
