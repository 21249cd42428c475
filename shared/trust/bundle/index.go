package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const indexName = "docker-stig.json"

// An index is docker-stig.json.
type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MinVersion    string       `json:"minVersion"`
	Repositories  []repository `json:"repositories"`
	Manifests     []file       `json:"manifests"`
	Images        []image      `json:"images"`
	Blobs         []file       `json:"blobs,omitempty"`
}

type repository struct {
	GUN   string `json:"gun"`
	Roots []file `json:"roots"`
	Roles []file `json:"roles"`
}

type image struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`
}

// A file is one entry of the tar.
type file struct {
	Version   int    `json:"version,omitempty"`
	Role      string `json:"role,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
	Path      string `json:"path"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`

	raw     []byte                // of metadata
	content func(io.Writer) error // of a file of the layout: writes it
	image   string                // of a blob: the name to ask for it
	kind    string                // of a blob: its media type
}

func newFile(path string, raw []byte) file {
	return file{Path: path, Size: int64(len(raw)), SHA256: digest.FromBytes(raw).Encoded(), raw: raw}
}

// newMade is a file whose content is made when it is asked for, always the
// same.
func newMade(path string, content func(io.Writer) error) (*file, error) {
	hash := sha256.New()
	var size length
	err := content(io.MultiWriter(hash, &size))
	return &file{Path: path, Size: int64(size), SHA256: hex.EncodeToString(hash.Sum(nil)), content: content}, err
}

// A length is that of what is written to it.
type length int64

func (l *length) Write(p []byte) (int, error) {
	*l += length(len(p))
	return len(p), nil
}

// blob is the descriptor of a blob.
func (f file) blob() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: f.kind, Digest: digest.NewDigestFromEncoded(digest.SHA256, f.SHA256), Size: f.Size}
}

func blobPath(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

// metadata are the files that are kept in memory, in their order.
func (x *index) metadata() []*file {
	var files []*file
	for i := range x.Repositories {
		files = appendAll(files, x.Repositories[i].Roots)
		files = appendAll(files, x.Repositories[i].Roles)
	}
	return appendAll(files, x.Manifests)
}

func appendAll(files []*file, more []file) []*file {
	for i := range more {
		files = append(files, &more[i])
	}
	return files
}

// pathForm is what the path of a file may look like; it is printed in errors.
// maxPath has room for the longest GUN and role.
const maxPath = 1024 // bytes

var pathForm = regexp.MustCompile(`^[0-9A-Za-z._:/\[\]-]+$`)

var errTooMany = fmt.Errorf("it holds more than the %d files, or names of images, that are read: export fewer repositories at once", maxFiles)

// check holds the paths and sizes that the index tells against the bounds, before
// anything of that size is read.
func (x *index) check() error {
	files := x.metadata()
	if max(len(files)+len(x.Blobs), len(x.Images)) > maxFiles {
		return errTooMany
	}
	var total int64
	for _, f := range files {
		limit := int64(maxRole) // the manifests' own limit is checked by their parser
		if f.Version > 0 {
			limit = maxRoot
		}
		if len(f.Path) > maxPath || !pathForm.MatchString(f.Path) {
			return fmt.Errorf("%.300q is no path of a bundle", f.Path)
		}
		if f.Size < 0 || f.Size > limit {
			return fmt.Errorf("%.300q has %d bytes, and %d are the most that are read", f.Path, f.Size, limit)
		}
		total += f.Size
	}
	if total > maxMetadata {
		return fmt.Errorf("it holds %d MiB of metadata, and %d are the most that are read: export fewer repositories at once", total>>20, maxMetadata>>20)
	}
	return nil
}

// roleForm is notary's own rule for roles other than root (tuf/data/roles.go,
// v0.7.0), with no empty part.
var roleForm = regexp.MustCompile(`^(timestamp|snapshot|targets(/[-a-z0-9_]+)*)$`)

const maxRoleName = 255 // bytes; notary's database column

func checkRole(name string) error {
	if len(name) > maxRoleName || !roleForm.MatchString(name) {
		return fmt.Errorf("%.80q is no role", name)
	}
	return nil
}

// checkGUN wants a repository's full name as references give it, which has no
// empty part, none that begins with a dot, and none that begins with "_".
func checkGUN(gun string) error {
	if len(gun) > maxGUN {
		return fmt.Errorf("the repository name %.80q… is longer than %d bytes", gun, maxGUN)
	}
	ref, err := reference.ParseNormalizedNamed(gun)
	if err != nil || ref.Name() != gun {
		return errors.Join(fmt.Errorf("%.80q is no full name of a repository", gun), err)
	}
	return nil
}

func checkImage(i Image) error {
	if len(i.Name) > maxGUN+1+128 { // a tag has 128 bytes at most
		return fmt.Errorf("the image name %.80q… is too long", i.Name)
	}
	ref, err := reference.ParseNormalizedNamed(i.Name)
	if err != nil {
		return fmt.Errorf("image %.80q: %w", i.Name, err)
	}
	if _, tagged := ref.(reference.NamedTagged); !tagged || ref.String() != i.Name {
		return fmt.Errorf("image %.80q is no full name with a tag", i.Name)
	}
	if _, digested := ref.(reference.Digested); digested {
		return fmt.Errorf("image %.80q has a digest in its name", i.Name)
	}
	if i.Digest.Validate() != nil || i.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("image %s: %.80q is no sha256 digest", i.Name, i.Digest)
	}
	return nil
}
