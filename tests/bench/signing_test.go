package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker-stig/docker-stig/tests/testbed"
)

const (
	signedRepositories = 50
	signedTags         = 4 // of each
	sampledTags        = 12
)

// BenchmarkSign signs 200 tags in 50 repositories that had no signatures, in
// one docker stig trust sign, and reports how many times as long `docker trust
// sign` takes for as many, tag by tag, with the images at hand. That is
// measured with 12 tags in 3 repositories, and scaled; to make the signer of
// those, with `docker trust signer add`, is not counted, and ours is. Afterwards
// `docker trust inspect` has to see the same of each repository.
func BenchmarkSign(b *testing.B) {
	tb := testbed.Start(b, testbed.Docker)
	bed := &signingBed{Testbed: tb}
	image, err := tb.UnsignedImage(b.Context(), "bench/source:1")
	if err != nil {
		b.Fatal(err)
	}
	bed.copy(b, image)
	program, err := cliPlugin()
	if err != nil {
		b.Fatal(err)
	}
	keys := b.TempDir()
	bed.run(b, program, "stig", "trust", "key", "generate", "qa", "--dir", keys)
	var ours, theirs time.Duration
	for round := 0; b.Loop(); round++ {
		refs := bed.push(b, fmt.Sprintf("ours-%d", round), signedRepositories)
		start := time.Now()
		bed.run(b, program, append([]string{"stig", "trust", "sign", "--yes", "--signer", "qa"}, refs...)...)
		ours += time.Since(start)
		bed.inspect(b, refs, image.Digest)

		refs = bed.push(b, fmt.Sprintf("theirs-%d", round), sampledTags/signedTags)
		for i, ref := range refs {
			if _, err := tb.Docker(b.Context(), "tag", image.Ref, ref); err != nil {
				b.Fatal(err)
			}
			if i%signedTags != 0 {
				continue
			}
			if _, err := tb.Docker(b.Context(), "trust", "signer", "add", "--key", filepath.Join(keys, "qa.pub"), "qa", repositoryOf(ref)); err != nil {
				b.Fatal(err)
			}
		}
		start = time.Now()
		for _, ref := range refs {
			if _, err := tb.Docker(b.Context(), "trust", "sign", ref); err != nil {
				b.Fatal(err)
			}
		}
		theirs += time.Since(start) * signedRepositories * signedTags / sampledTags
		bed.inspect(b, refs, image.Digest)
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "s-200-tags")
	b.ReportMetric(theirs.Seconds()/float64(b.N), "s-docker-scaled")
	b.ReportMetric(float64(theirs)/float64(ours), "x-faster")
}

// A signingBed is a registry with one image under many names.
type signingBed struct {
	*testbed.Testbed
	manifest []byte
	kind     string
	blobs    []string
}

// copy learns the manifest and the blobs of an image.
func (s *signingBed) copy(b *testing.B, image testbed.Image) {
	b.Helper()
	resp, raw := s.registry(b, http.MethodGet, "/v2/bench/source/manifests/"+image.Digest, "", nil)
	var manifest struct {
		MediaType string
		Config    struct{ Digest string }
		Layers    []struct{ Digest string }
	}
	if err := json.Unmarshal(raw, &manifest); err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("the registry answers %s, %v", resp.Status, err)
	}
	s.manifest, s.kind, s.blobs = raw, manifest.MediaType, []string{manifest.Config.Digest}
	for _, layer := range manifest.Layers {
		s.blobs = append(s.blobs, layer.Digest)
	}
}

// push puts the image under four tags into each of so many new repositories.
func (s *signingBed) push(b *testing.B, name string, repositories int) []string {
	b.Helper()
	var refs []string
	for i := range repositories {
		repository := fmt.Sprintf("bench/%s-%02d", name, i)
		for _, blob := range s.blobs {
			if resp, _ := s.registry(b, http.MethodPost, "/v2/"+repository+"/blobs/uploads/?mount="+blob+"&from=bench/source", "", nil); resp.StatusCode != http.StatusCreated {
				b.Fatalf("mounting %s: %s", blob, resp.Status)
			}
		}
		for j := range signedTags {
			tag := fmt.Sprintf("1.%d", j)
			if resp, _ := s.registry(b, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, s.kind, s.manifest); resp.StatusCode != http.StatusCreated {
				b.Fatalf("pushing %s:%s: %s", repository, tag, resp.Status)
			}
			refs = append(refs, s.Registry()+"/"+repository+":"+tag)
		}
	}
	return refs
}

func (s *signingBed) registry(b *testing.B, method, path, kind string, body []byte) (*http.Response, []byte) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, "http://"+s.Registry()+path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json")
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp, raw
}

// run runs a program in the testbed's environment.
func (s *signingBed) run(b *testing.B, program string, args ...string) {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), program, args...)
	cmd.Env = append(os.Environ(), s.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args[:min(4, len(args))], " "), err, out)
	}
}

func repositoryOf(ref string) string { return ref[:strings.LastIndexByte(ref, ':')] }

// inspect asks docker trust inspect about each repository: four tags, with the
// digest, by the signer.
func (s *signingBed) inspect(b *testing.B, refs []string, digest string) {
	b.Helper()
	for i := 0; i < len(refs); i += signedTags {
		repository := repositoryOf(refs[i])
		out, err := s.Docker(b.Context(), "trust", "inspect", repository)
		if err != nil {
			b.Fatal(err)
		}
		var answer []struct {
			SignedTags []struct {
				Digest  string
				Signers []string
			}
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer) != 1 || len(answer[0].SignedTags) != signedTags {
			b.Fatalf("%s: want %d signed tags in\n%s", repository, signedTags, out)
		}
		for _, tag := range answer[0].SignedTags {
			if tag.Digest != strings.TrimPrefix(digest, "sha256:") || strings.Join(tag.Signers, ",") != "qa" {
				b.Fatalf("%s is signed otherwise:\n%s", repository, out)
			}
		}
	}
}
