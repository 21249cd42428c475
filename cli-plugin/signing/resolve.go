package signing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust/access"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// maxQuestions bounds the tags that registries are asked for at the same time.
const maxQuestions = 16

// Resolve asks registries which manifests tags name. A reference with a digest
// as well is asked for by that. The bytes are read and counted here: what is
// signed is their digest, whatever the registry says of it. The targets are in
// the order of refs; the error joins what went wrong.
func Resolve(ctx context.Context, clients *access.Clients, refs []reference.NamedTagged) ([]Target, error) {
	targets := make([]Target, len(refs))
	errs := make([]error, len(refs))
	var group errgroup.Group
	group.SetLimit(maxQuestions)
	for i, ref := range refs {
		group.Go(func() error {
			targets[i], errs[i] = resolve(ctx, clients, ref)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return targets, errors.Join(errs...)
}

func resolve(ctx context.Context, clients *access.Clients, ref reference.NamedTagged) (Target, error) {
	base, client, err := clients.Registry(ref)
	if err != nil {
		return Target{}, err
	}
	canonical, pinned := ref.(reference.Canonical)
	var raw []byte
	if pinned {
		raw, err = manifests.Fetch(ctx, client, base, canonical)
	} else {
		raw, err = fetchTag(ctx, client, base, ref)
	}
	if err != nil {
		return Target{}, err
	}
	if _, err := manifests.Parse(raw); err != nil {
		return Target{}, fmt.Errorf("%s is not signed: %w", reference.FamiliarString(ref), err)
	}
	return Target{GUN: ref.Name(), Tag: ref.Tag(), Digest: digest.FromBytes(raw), Size: int64(len(raw))}, nil
}

// fetchTag reads the manifest or list that a tag names now.
func fetchTag(ctx context.Context, client *http.Client, base string, ref reference.NamedTagged) ([]byte, error) {
	failed := func(err error) error {
		return fmt.Errorf("asking %s what %s names: %w", base, reference.FamiliarString(ref), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v2/"+reference.Path(ref)+"/manifests/"+ref.Tag(), nil)
	if err != nil {
		return nil, failed(err)
	}
	req.Header["Accept"] = []string{ocispec.MediaTypeImageIndex, manifests.DockerList, ocispec.MediaTypeImageManifest, manifests.DockerManifest}
	resp, err := client.Do(req)
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // without the address, which may be a redirect with a token in it
	}
	if err != nil {
		return nil, failed(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, failed(errors.New("the registry has no such tag: push it first"))
	default:
		return nil, failed(fmt.Errorf("it answers %d %s; see its log", resp.StatusCode, http.StatusText(resp.StatusCode)))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, manifests.MaxSize+1))
	if err != nil {
		return nil, failed(err)
	}
	if len(raw) > manifests.MaxSize {
		return nil, failed(fmt.Errorf("it sends more than the %d MiB that a manifest may have", manifests.MaxSize>>20))
	}
	return raw, nil
}
