package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/engine"
)

// holdingTimeout bounds asking the engine what it holds.
const holdingTimeout = 10 * time.Second

// wantDigest reads IMAGE@DIGEST. For a tag the error has the command to type
// with the digest that the engine holds.
func wantDigest(ctx context.Context, e engine.Engine, image string, opts allowOptions) (reference.Canonical, error) {
	ref, err := reference.ParseNormalizedNamed(image)
	if err == nil && engine.IsFullID(image) {
		err = errors.New("this is an image ID, and says no repository")
	}
	if err != nil {
		return nil, fmt.Errorf("%q names no image by repository and digest, as in dtr.example.com/prod/app@sha256:…: %w", image, err)
	}
	repository := reference.TrimNamed(ref)
	if digested, ok := ref.(reference.Digested); ok {
		return reference.WithDigest(repository, digested.Digest())
	}
	name := reference.FamiliarString(reference.TagNameOnly(ref))
	ctx, cancel := context.WithTimeout(ctx, holdingTimeout)
	defer cancel()
	digests, err := heldUnder(ctx, e, name, repository)
	if errors.Is(err, engine.ErrNotFound) {
		return nil, fmt.Errorf("%s is a tag, which can move to other content: want IMAGE@DIGEST; the engine holds nothing under it, so its publisher or registry has to tell the digest", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is a tag, which can move to other content: want IMAGE@DIGEST (the engine was asked which it holds: %w)", name, err)
	}
	var commands []string
	for _, dgst := range digests {
		commands = append(commands, fmt.Sprintf("\n  docker stig authz allow %s@%s --for %s --reason %s", reference.FamiliarName(repository), dgst, &opts.lasts, shellQuoted(opts.reason)))
	}
	return nil, fmt.Errorf("%s is a tag, which can move to other content. What the engine holds under it now:%s", name, strings.Join(commands, ""))
}

// heldUnder gives the digests by which the content that the engine holds under
// a name can be allowed: its own in the repository, or else its image ID.
func heldUnder(ctx context.Context, e engine.Engine, name string, repository reference.Named) ([]digest.Digest, error) {
	store, err := e.Store(ctx)
	if err != nil {
		return nil, err
	}
	held, err := e.Image(ctx, name)
	if err != nil {
		return nil, err
	}
	held.RepoDigests = slices.DeleteFunc(slices.Clone(held.RepoDigests), func(text string) bool {
		ref, err := reference.ParseNormalizedNamed(text)
		return err != nil || ref.Name() != repository.Name()
	})
	if digests := held.Content(store).Own(); len(digests) > 0 {
		return digests, nil
	}
	return []digest.Digest{held.ID}, nil
}

// runnable is the name by which the engine runs what was allowed: with the
// digest, unless it holds the content under its image ID alone, as a
// graphdriver does with what no registry gave it.
func runnable(ctx context.Context, e engine.Engine, ref reference.Canonical) string {
	ctx, cancel := context.WithTimeout(ctx, holdingTimeout)
	defer cancel()
	name := reference.FamiliarString(ref)
	if _, err := e.Image(ctx, name); !errors.Is(err, engine.ErrNotFound) {
		return name
	}
	if held, err := e.Image(ctx, ref.Digest().String()); err == nil && held.ID == ref.Digest() {
		return held.ID.String()
	}
	return name
}

// shellQuoted is text as a shell takes it for one word.
func shellQuoted(text string) string {
	return "'" + strings.ReplaceAll(printable(text), "'", `'\''`) + "'"
}
