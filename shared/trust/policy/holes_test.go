package policy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/manifests"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What the signers of one repository, whoever asks, and what lies in a registry
// or a bundle may not do to others.

// TestOneRepositoryTakesNoOthersRoom: a signer may fill what is kept of his own
// repository, and nothing else, now or for good.
func TestOneRepositoryTakesNoOthersRoom(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes of seconds a minute")
	}
	s := newShop(t)
	var large []digest.Digest
	for i := range 17 { // 68 MiB, more than what is kept of all together
		large = append(large, s.push("dev", paddedManifest(t, fmt.Sprint(i), manifests.MaxSize)))
	}
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	keys := map[string]string{"dev": s.sign("dev", large...), "app": s.sign("app", image.listID)}
	station := Options{Now: s.Now, StateDir: t.TempDir()}
	v := NewVerifier(s.verifier(keys, nil).policy, station)
	for range 2 { // as far as they can be fetched in the time there is
		answers(t, v, s.question("dev@"+string(digest.FromString("nobody's")), trust.Content{}), "", "", trust.Unsigned)
		s.wait(time.Minute)
	}
	held := s.question("app@"+string(image.platform), containerd(image.platform))
	answers(t, v, held, image.listID, trust.DCT, "")
	s.wait(24 * time.Hour)
	answers(t, NewVerifier(v.policy, station), held, image.listID, trust.DCT, "")
}

// paddedManifest is a manifest of a size.
func paddedManifest(t *testing.T, config string, size int) []byte {
	t.Helper()
	raw := manifestOf(t, config, "layer")
	open, padding := `{"annotations":{"padding":"`, `"},`
	room := size - len(raw) - len(open) - len(padding) + 1
	return append([]byte(open+strings.Repeat("x", room)+padding), raw[1:]...)
}

// TestDeletedManifestsStarveNobody: signed digests that the registry has
// deleted do not keep the one that it has from ever being asked for.
func TestDeletedManifestsStarveNobody(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	signed := []digest.Digest{image.listID}
	for i := 0; len(signed) <= maxFetches; i++ {
		if deleted := digest.FromString(fmt.Sprint("deleted ", i)); deleted < image.listID {
			signed = append(signed, deleted) // and is asked for first
		}
	}
	v := s.verifier(map[string]string{"app": s.sign("app", signed...)}, nil)
	q := s.question("app@"+string(image.platform), containerd(image.platform))
	for range 5 {
		if _, err := v.Verify(t.Context(), q); err == nil {
			break
		}
		s.wait(time.Minute)
	}
	answers(t, v, q, image.listID, trust.DCT, "")
}

// TestNoQuestionTakesAnothersTurn: what one question has had fetched does not
// keep another one from having its own.
func TestNoQuestionTakesAnothersTurn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first, second, elsewhere := newRelease(t, "first"), newRelease(t, "second"), newRelease(t, "elsewhere")
	first.pushTo(s, "app")
	second.pushTo(s, "app")
	elsewhere.pushTo(s, "other")
	v := s.verifier(map[string]string{"app": s.sign("app", first.listID, second.listID), "other": s.sign("other", elsewhere.listID)}, nil)
	stranger := digest.FromString("nobody's")
	for range 3 {
		answers(t, v, s.question("app:v0", containerd(stranger)), "", "", trust.DigestMismatch)
		answers(t, v, s.question("other@"+string(stranger), trust.Content{}), "", "", trust.Unsigned)
	}
	answers(t, v, s.question("app:v0", containerd(first.platform)), first.listID, trust.DCT, "")
	answers(t, v, s.question("app:v1", containerd(second.platform)), second.listID, trust.DCT, "")
	answers(t, v, s.question("other@"+string(elsewhere.platform), trust.Content{}), elsewhere.listID, trust.DCT, "")
}

// TestNoWayToARevokedPart: who may run a list may run any part of it. That one
// of them is revoked is found out before the list is accepted.
func TestNoWayToARevokedPart(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	image := newRelease(t, "app")
	image.pushTo(s, "app")
	keys := map[string]string{"app": s.sign("app", image.listID)}
	revoked := map[string]any{"revoked": map[string]any{"digests": []digest.Digest{image.platform}}}
	for name, q := range map[string]trust.Question{
		"tag":              s.question("app:v0", trust.Content{}),
		"list":             s.question("app@"+string(image.listID), trust.Content{}),
		"list, held":       s.question("app:v0", containerd(image.listID)),
		"list, pulled":     s.question("app:v0", pulled(image.config, s.host+"/app@"+string(image.listID))),
		"platform":         s.question("app@"+string(image.platform), trust.Content{}),
		"platform, held":   s.question("app:v0", containerd(image.platform)),
		"platform, loaded": s.question("app", pulled(image.config)),
		"other platform":   s.question("app@"+string(digest.FromBytes(image.arm64)), trust.Content{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.verifier(keys, revoked)
			for range 2 { // once without knowing the list
				answers(t, v, q, "", "", trust.Revoked)
				s.wait(fetchPause)
			}
		})
	}
}

// export gives a repository's metadata as a bundle has it.
func (s *shop) export(v *Verifier, repository string) bundle.Repository {
	s.tb.Helper()
	ref := s.question(repository, trust.Content{}).Ref
	scope, _ := v.scope(ref)
	metadata, _, err := v.notary.Copy(s.tb.Context(), ref, scope)
	if err != nil {
		s.tb.Fatal(err)
	}
	return bundle.Repository(metadata)
}

// TestListsInListsEndAnImport: documents that name each other many times are
// read once each.
func TestListsInListsEndAnImport(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	documents := [][]byte{manifestOf(t, "config", "layer")}
	for range 3 {
		var same []ocispec.Descriptor
		for range 100 {
			same = append(same, entryOf(documents[len(documents)-1], "amd64"))
		}
		documents = append(documents, listOf(t, same...))
	}
	v := s.verifier(map[string]string{"app": s.sign("app", digest.FromBytes(documents[3]))}, nil)
	carried := bundle.Bundle{Repositories: []bundle.Repository{s.export(v, "app")}, Manifests: documents}
	station := NewVerifier(v.policy, Options{Now: s.Now, StateDir: t.TempDir()})
	ended := make(chan error, 1)
	go func() {
		_, err := station.Import(t.Context(), carried)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it does not end")
	}
}

// configurations are what images of a bundle are made of.
type configurations map[digest.Digest]string

func (c configurations) Open(_ context.Context, _ string, d ocispec.Descriptor) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(c[d.Digest])), nil
}

// TestOtherImageUnderATrustedName: a bundle may not bring what a tag is not
// signed for, under that tag or another of the repository.
func TestOtherImageUnderATrustedName(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const config = `{"os":"linux","rootfs":{"type":"layers"}}`
	honest := manifestOf(t, "config", "layer")
	evil := encode(t, map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": []ocispec.Descriptor{},
		"config": ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString(config), Size: int64(len(config))},
	})
	v := s.verifier(map[string]string{"app": s.sign("app", digest.FromBytes(honest))}, nil)
	metadata := s.export(v, "app")
	for _, name := range []string{s.host + "/app:v0", s.host + "/app:unsigned"} {
		written := bundle.Bundle{
			Repositories: []bundle.Repository{metadata}, Manifests: [][]byte{honest, evil},
			Images: []bundle.Image{{Name: name, Digest: digest.FromBytes(evil)}},
		}
		var file bytes.Buffer
		if err := bundle.Write(t.Context(), &file, written, configurations{digest.FromString(config): config}); err != nil {
			t.Fatal(err)
		}
		read, err := bundle.Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		station := NewVerifier(v.policy, Options{Now: s.Now, StateDir: t.TempDir()})
		list, err := station.Import(t.Context(), read)
		if err != nil || len(list) != 1 || reasonOf(list[0].Err) != trust.DigestMismatch {
			t.Errorf("%s: imported: %+v, %v", name, list, err)
		}
		if list := station.Examine(t.Context(), read); len(list) != 1 || reasonOf(list[0].Err) != trust.DigestMismatch {
			t.Errorf("%s: examined: %+v", name, list)
		}
		if known, err := station.Known(t.Context()); err != nil || len(known) > 0 {
			t.Errorf("%s: something is kept: %+v, %v", name, known, err)
		}
		for _, content := range []trust.Content{containerd(digest.FromBytes(evil)), pulled(digest.FromString(config))} {
			for _, image := range []string{"app", "app:v0", "app@" + string(digest.FromBytes(honest)), "app@" + string(digest.FromBytes(evil))} {
				if signed, err := station.Verify(t.Context(), s.question(image, content)); err == nil {
					t.Errorf("%s: %+v is accepted as %s: %+v", name, content, image, signed)
				}
			}
		}
	}
}
