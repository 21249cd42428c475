package host

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const maxArchiveIndex = 8 << 20 // bytes of index.json or manifest.json; UCP's sixty images need 60 KiB

// imageNameAnnotation is where docker save puts an image's full name in the
// index of an OCI layout.
const imageNameAnnotation = "io.containerd.image.name"

// ReadArchive lists the images in an archive of docker save, compressed or
// not. An archive in OCI layout names manifests, whose digests are proved by
// hashing every blob on the way; an archive of an engine before 25.0 names
// configurations only, and nothing ties those to a signed manifest.
func ReadArchive(name string) ([]Image, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the image archive: %w", err)
	}
	defer file.Close()
	images, err := readArchive(file)
	if err != nil {
		return nil, fmt.Errorf("reading the image archive %s: %w", name, err)
	}
	return images, nil
}

func readArchive(r io.Reader) ([]Image, error) {
	buffered := bufio.NewReaderSize(r, 1<<20)
	r = buffered
	if magic, err := buffered.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		r = unzipped
	}
	a := archive{blobs: map[digest.Digest]bool{}}
	entries := tar.NewReader(r)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return a.images()
		}
		if err != nil {
			return nil, fmt.Errorf("this is no tar archive of docker save, or it is cut off: %w", err)
		}
		if err := a.add(path.Clean(entry.Name), entries); err != nil {
			return nil, err
		}
	}
}

// An archive is what was read of one so far.
type archive struct {
	index  *ocispec.Index
	legacy []struct {
		Config   string
		RepoTags []string
	}
	blobs map[digest.Digest]bool // those whose bytes are what their name says
}

func (a *archive) add(name string, r io.Reader) error {
	switch {
	case name == "index.json":
		return decodeBounded(r, &a.index)
	case name == "manifest.json":
		return decodeBounded(r, &a.legacy)
	case strings.HasPrefix(name, "blobs/sha256/"):
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return fmt.Errorf("it is damaged or cut off: %w", err)
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != path.Base(name) {
			return fmt.Errorf("blob %s has other content (sha256 %s): the archive is damaged or was changed; fetch it again", path.Base(name), got)
		}
		a.blobs[digest.NewDigestFromEncoded(digest.SHA256, path.Base(name))] = true
	}
	return nil
}

func decodeBounded(r io.Reader, into any) error {
	raw, err := io.ReadAll(io.LimitReader(r, maxArchiveIndex+1))
	if err != nil {
		return err
	}
	if len(raw) > maxArchiveIndex {
		return errors.New("its list of images is larger than any that docker save writes")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("its list of images is no JSON: %w", err)
	}
	return nil
}

func (a *archive) images() ([]Image, error) {
	if a.index == nil && a.legacy == nil {
		return nil, errors.New("it holds no image: want the output of docker save")
	}
	var images []Image
	named := map[string]bool{}
	if a.index != nil {
		for _, manifest := range a.index.Manifests {
			name, err := reference.ParseNormalizedNamed(manifest.Annotations[imageNameAnnotation])
			if err != nil || !a.blobs[manifest.Digest] {
				continue
			}
			named[name.String()] = true
			images = append(images, Image{Name: name, ID: string(manifest.Digest), Content: trust.Content{ID: manifest.Digest, Store: trust.ContainerdStore}})
		}
	}
	for _, image := range a.legacy {
		id := digest.NewDigestFromEncoded(digest.SHA256, strings.TrimSuffix(path.Base(image.Config), ".json"))
		for _, tag := range image.RepoTags {
			if name, err := reference.ParseNormalizedNamed(tag); err == nil && !named[name.String()] {
				images = append(images, Image{Name: name, ID: string(id), Content: trust.Content{ID: id}})
			}
		}
	}
	return images, nil
}
