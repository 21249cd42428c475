// Package bundle reads and writes the one file that carries trust over an air
// gap: TUF metadata of repositories and the manifests vouched for, byte for
// byte, and on request the images themselves. It decides about form alone:
// that nothing is damaged, missing, doubled or disguised. Whether the
// signatures hold is for the importer, who verifies them against its own
// policy as if a server had sent them; nothing in the file says what to trust.
//
// # Layout 1
//
// An uncompressed tar of regular files, each with mode 0644, user and group 0
// without names, and time 0; in USTAR format, in PAX where a name or size does
// not fit. It ends with two blocks of zeros, and nothing follows. There are no
// folders. The files, in this order:
//
//	docker-stig.json                                the index, see below
//	trust/<GUN>/_trust/tuf/<version>.root.json      roots, ascending
//	trust/<GUN>/_trust/tuf/<role>.json              timestamp, snapshot, targets, targets/releases, …
//	blobs/sha256/<hex>                              manifests and lists, by digest
//
// and, if it holds images,
//
//	index.json                                      OCI image-spec v1.1.1, image-layout.md
//	manifest.json                                   for engines with a graphdriver, see below
//	oci-layout
//	blobs/sha256/<hex>                              configurations and layers, by digest
//
// Below trust/ are the paths that a Notary server has below /v2/. No part of a
// GUN begins with "_", so a path has one reading only. Repositories stand in
// the order of their GUNs, roles and digests in that of their bytes.
//
// docker-stig.json has these members, in this order, indented by two blanks,
// with a line feed at its end:
//
//	schemaVersion  1
//	minVersion     the oldest docker-stig that reads this layout
//	repositories   [{gun, roots: [{version, path, size, sha256}], roles: [{role, path, size, sha256}]}]
//	manifests      [{mediaType, path, size, sha256}]
//	images         [{name, digest}]; name with its domain and tag, sorted by name
//	blobs          [{path, size, sha256}]; only if it holds images
//
// Every file behind the index is named in it, but for index.json,
// manifest.json and oci-layout, which follow from the rest. A bundle is
// canonical: what says the same has the same bytes, and a reader refuses what
// a writer would not have written. So a bundle that was unpacked and packed
// again by another program is refused.
//
// An image that is a list comes with those platforms whose manifests are in
// the bundle. index.json names each image by io.containerd.image.name (in full)
// and org.opencontainers.image.ref.name (its tag): `docker load` on an engine
// with the containerd image store goes by the first, others by the second. Such
// an engine keeps manifests as they are, so image IDs are the digests that were
// signed. manifest.json is what `docker
// save` writes; it names the images that come for a single platform. An engine
// with a graphdriver loads these, and their IDs are the digests of their
// configurations, which the signed manifests name.
package bundle

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of a bundle, for its reader and its writer alike. Configurations and
// layers are not among them: they pass through, and are never kept.
const (
	maxIndex    = 24 << 20  // bytes; 5,000 repositories, 20,000 manifests and as many tags are 18 MiB
	maxFiles    = 1 << 16   // in all
	maxMetadata = 256 << 20 // bytes of TUF metadata and manifests together
	maxRole     = 64 << 20  // bytes; the most that the verifier reads of one role
	maxRoot     = 1 << 20   // bytes; the same of a root
	maxGUN      = 512       // bytes; a domain has 255 at most, a repository's path as well
)

// The layout that is read and written, and the docker-stig that brought it.
const (
	schemaVersion = 1
	minVersion    = "0.1.0"
)

// A Repository is the TUF metadata of one GUN, byte for byte as its server
// gave it.
type Repository struct {
	GUN   string
	Roots [][]byte          // by version, the last one the current
	Roles map[string][]byte // timestamp, snapshot, targets and delegations, by name
}

// An Image is a tag that is vouched for, and its digest.
type Image struct {
	Name   string // normalized, with its tag: "docker.io/library/alpine:3.20"
	Digest digest.Digest
}

// A Bundle is what the file holds.
type Bundle struct {
	Repositories []Repository
	Manifests    [][]byte
	Images       []Image

	// Blobs are the configurations and layers in the file. Read tells them;
	// Write finds out for itself which ones the images need.
	Blobs []ocispec.Descriptor
}

// Blobs gives the configurations and layers of images.
type Blobs interface {
	// Open gives the content of a blob of the image called name. Its bytes
	// are hashed by the caller.
	Open(ctx context.Context, name string, d ocispec.Descriptor) (io.ReadCloser, error)
}
