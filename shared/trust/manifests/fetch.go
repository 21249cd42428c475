package manifests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// accepted are the kinds a registry is asked for. It must not convert: the
// digest says which bytes are meant.
var accepted = []string{ocispec.MediaTypeImageIndex, DockerList, ocispec.MediaTypeImageManifest, DockerManifest}

// Fetch gets a manifest or list from the registry at base (https://host), and
// makes sure that it has the digest asked for. The error of one that is not
// there is fs.ErrNotExist.
func Fetch(ctx context.Context, client *http.Client, base string, ref reference.Canonical) ([]byte, error) {
	raw, err := fetch(ctx, client, base+"/v2/"+reference.Path(ref)+"/manifests/"+ref.Digest().String())
	if err != nil {
		return nil, fmt.Errorf("fetching manifest %s from %s: %w", reference.FamiliarString(ref), base, err)
	}
	if !isSHA256(ref.Digest()) || digest.FromBytes(raw) != ref.Digest() {
		return nil, fmt.Errorf("fetching manifest %s from %s: the answer has the digest %s; is there a proxy in between that changes it?",
			reference.FamiliarString(ref), base, digest.FromBytes(raw))
	}
	return raw, nil
}

func fetch(ctx context.Context, client *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header["Accept"] = slices.Clone(accepted)
	resp, err := client.Do(req)
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		err = wrapped.Err // without the address, which may be a redirect with a token in it
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := statusError(resp.StatusCode); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxSize+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("the registry broke off in the middle; try again")
	case err != nil:
		return nil, err
	case len(raw) > MaxSize:
		return nil, fmt.Errorf("the registry sends more than the %d MiB that a manifest may have", MaxSize>>20)
	}
	return raw, nil
}

func statusError(code int) error {
	switch code {
	case http.StatusOK:
		return nil
	case http.StatusNotFound:
		return fmt.Errorf("the registry does not have it (%d): %w", code, fs.ErrNotExist)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("the registry wants a login (%d); use docker login, or docker stig authz login for the daemon", code)
	case http.StatusTooManyRequests:
		return fmt.Errorf("the registry limits the number of requests (%d); try again later, or log in", code)
	default:
		return fmt.Errorf("the registry answers %d %s; see its log", code, http.StatusText(code))
	}
}
