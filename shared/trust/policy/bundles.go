package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/docker-stig/docker-stig/shared/trust/notary"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Carried is one repository of a bundle, as the policy here sees it.
type Carried struct {
	notary.Repository

	Err error // why nothing of it is accepted
}

// Export gathers what is needed to verify repositories, or single tags of
// them, where no server is: their metadata as a server gives it now, and the
// manifests that are vouched for. Of lists it takes the platforms that keep
// wants. An error names the repository that cannot be carried.
func (v *Verifier) Export(ctx context.Context, refs []reference.Named, keep func(*ocispec.Platform) bool) (bundle.Bundle, error) {
	e := exporter{v: v, keep: keep, manifests: map[digest.Digest][]byte{}}
	for _, ref := range refs {
		if err := e.add(ctx, ref); err != nil {
			return bundle.Bundle{}, err
		}
	}
	for _, raw := range e.manifests {
		e.bundle.Manifests = append(e.bundle.Manifests, raw)
	}
	return e.bundle, nil
}

// An exporter gathers one bundle.
type exporter struct {
	v         *Verifier
	keep      func(*ocispec.Platform) bool
	bundle    bundle.Bundle
	known     map[string]notary.Repository
	manifests map[digest.Digest][]byte
}

func (e *exporter) add(ctx context.Context, ref reference.Named) error {
	repository, err := e.repository(ctx, ref)
	if err != nil {
		return err
	}
	tagged, one := ref.(reference.Tagged)
	found := false
	for _, tag := range repository.Tags {
		if one && tag.Name != tagged.Tag() {
			continue
		}
		if tag.Err != nil && one {
			return tag.Err
		}
		if tag.Err != nil {
			continue // the rest may be of use
		}
		found = true
		if err := e.image(ctx, ref, tag); err != nil {
			return err
		}
	}
	if !found {
		return &trust.Error{Reason: trust.Unsigned, Ref: ref, Err: errors.New("nothing in it is vouched for, so there is nothing to carry")}
	}
	return nil
}

// repository gives the metadata of a repository, once.
func (e *exporter) repository(ctx context.Context, ref reference.Named) (notary.Repository, error) {
	if known, ok := e.known[ref.Name()]; ok {
		return known, nil
	}
	scope, pinned := e.v.scope(ref)
	if !pinned {
		return notary.Repository{}, noScope(ref)
	}
	metadata, repository, err := e.v.notary.Copy(ctx, ref, scope)
	if err != nil {
		return notary.Repository{}, err
	}
	repository = e.v.withdraw(repository)
	if e.known == nil {
		e.known = map[string]notary.Repository{}
	}
	e.known[ref.Name()] = repository
	e.bundle.Repositories = append(e.bundle.Repositories, bundle.Repository(metadata))
	return repository, nil
}

func (e *exporter) image(ctx context.Context, ref reference.Named, tag notary.Tag) error {
	name := ref.Name() + ":" + tag.Name
	if slices.ContainsFunc(e.bundle.Images, func(i bundle.Image) bool { return i.Name == name }) {
		return nil
	}
	if err := e.manifest(ctx, ref, tag.Signed.Digest, 0); err != nil {
		return fmt.Errorf("%s: fetching what is vouched for: %w", name, err)
	}
	e.bundle.Images = append(e.bundle.Images, bundle.Image{Name: name, Digest: tag.Signed.Digest})
	return nil
}

// maxNested is how deep a list may stand in a list.
const maxNested = 4

// manifest takes a manifest and, of a list, those in it.
func (e *exporter) manifest(ctx context.Context, ref reference.Named, dgst digest.Digest, depth int) error {
	if _, has := e.manifests[dgst]; has || depth > maxNested {
		return nil
	}
	raw, err := e.v.contents.manifest(ctx, ref, dgst)
	if err != nil {
		return err
	}
	e.manifests[dgst] = raw
	m, err := manifests.Parse(raw)
	if err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if manifests.IsAttestation(child) || !e.keep(child.Platform) {
			continue
		}
		if err := e.manifest(ctx, ref, child.Digest, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// layerTimeout is how long one layer may take.
const layerTimeout = time.Hour

// Blobs gives the layers of images from their registries.
func (v *Verifier) Blobs() bundle.Blobs {
	patient := v.access
	patient.Timeout = layerTimeout
	return blobs{access.New(patient)}
}

type blobs struct{ clients *access.Clients }

// Open asks the registry of the image called name.
func (b blobs) Open(ctx context.Context, name string, d ocispec.Descriptor) (io.ReadCloser, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	base, client, err := b.clients.Registry(ref)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v2/"+reference.Path(ref)+"/blobs/"+d.Digest.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		return nil, wrapped.Err // without the address, which a redirect may have given a secret
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("registry %s answers %s for %s", base, resp.Status, d.Digest)
	}
	return resp.Body, nil
}

// Examine tells what the policy says of a bundle, and keeps nothing of it.
func (v *Verifier) Examine(ctx context.Context, b bundle.Bundle) []Carried {
	return v.each(ctx, b, v.notary.Check)
}

// Import verifies a bundle as if servers had given it, and keeps what the
// policy accepts. What it does not accept is in the list with its error; the
// error returned is of the keeping.
func (v *Verifier) Import(ctx context.Context, b bundle.Bundle) ([]Carried, error) {
	list := v.each(ctx, b, v.notary.Adopt)
	known := map[digest.Digest][]byte{}
	for _, raw := range b.Manifests {
		known[digest.FromBytes(raw)] = raw
	}
	for _, carried := range list {
		if carried.Err != nil {
			continue
		}
		for _, dgst := range carried.Digests() {
			if err := v.keepManifests(known, dgst); err != nil {
				return list, fmt.Errorf("keeping the manifests of %s: %w", carried.GUN, err)
			}
		}
	}
	return list, nil
}

// keepManifests keeps a manifest that is vouched for and those it lists, and
// takes each from what is known.
func (v *Verifier) keepManifests(known map[digest.Digest][]byte, dgst digest.Digest) error {
	raw, has := known[dgst]
	if !has {
		return nil
	}
	delete(known, dgst)
	if _, err := v.contents.imported.Add(raw); err != nil {
		return err
	}
	m, err := manifests.Parse(raw)
	if err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if err := v.keepManifests(known, child.Digest); err != nil {
			return err
		}
	}
	return nil
}

type adopter func(context.Context, reference.Named, notary.Scope, notary.Copy) (notary.Repository, error)

// each judges the repositories of a bundle by name, and adopts what is good.
func (v *Verifier) each(ctx context.Context, b bundle.Bundle, adopt adopter) []Carried {
	var list []Carried
	for _, r := range b.Repositories {
		carried := Carried{Repository: notary.Repository{GUN: r.GUN}}
		found, err := v.judgeCopy(ctx, notary.Copy(r), b.Images, adopt)
		if found.GUN != "" {
			carried.Repository = v.withdraw(found)
		}
		carried.Err = cmp.Or(err, found.Err)
		list = append(list, carried)
	}
	slices.SortFunc(list, func(a, b Carried) int { return strings.Compare(a.GUN, b.GUN) })
	return list
}

func (v *Verifier) judgeCopy(ctx context.Context, c notary.Copy, images []bundle.Image, adopt adopter) (notary.Repository, error) {
	ref, err := reference.ParseNormalizedNamed(c.GUN)
	if err != nil || ref.Name() != c.GUN {
		return notary.Repository{}, &trust.Error{Reason: trust.BadSignature, Err: fmt.Errorf("%q is not a repository's full name", c.GUN)}
	}
	scope, pinned := v.scope(ref)
	if !pinned {
		return notary.Repository{}, noScope(ref)
	}
	found, err := v.notary.Check(ctx, ref, scope, c)
	if err != nil {
		return found, err
	}
	if err := asSigned(ref, found, images); err != nil {
		return found, err
	}
	return adopt(ctx, ref, scope, c)
}

// asSigned wants the images that a bundle claims to hold under a repository's
// tags to be those that its signers vouch for: an engine that loads them goes
// by the claim.
func asSigned(ref reference.Named, found notary.Repository, images []bundle.Image) error {
	for _, image := range images {
		tag, ours := strings.CutPrefix(image.Name, ref.Name()+":")
		if !ours {
			continue
		}
		i := slices.IndexFunc(found.Tags, func(t notary.Tag) bool { return t.Name == tag })
		if i < 0 || (found.Tags[i].Err == nil && found.Tags[i].Signed.Digest != image.Digest) {
			return &trust.Error{Reason: trust.DigestMismatch, Ref: ref, Err: fmt.Errorf("the bundle brings %s as %s, and its signers do not vouch for that", image.Digest, image.Name), Next: "do not load it, and ask whoever made the bundle"}
		}
	}
	return nil
}
