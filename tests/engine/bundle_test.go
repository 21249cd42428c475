package engine

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/docker-stig/docker-stig/shared/trust"
	"github.com/docker-stig/docker-stig/shared/trust/bundle"
	"github.com/docker-stig/docker-stig/shared/trust/policy"
	"github.com/docker-stig/docker-stig/tests/testbed"
)

func TestBundleOnDocker(t *testing.T) { testBundle(t, testbed.Docker) }

func TestBundleOnMoby(t *testing.T) { testBundle(t, testbed.Moby) }

// testBundle carries signed content over an air gap: behind it there is no
// trust server, and the registry has forgotten what the bundle knows.
func testBundle(t *testing.T, engine testbed.Engine) {
	t.Helper()
	b := newBed(t, engine)
	signed := b.must(t)(b.Sign(t.Context(), "prod/app:1"))
	unsigned := b.must(t)(b.UnsignedImage(t.Context(), "prod/app:unsigned"))
	if err := b.Pin("enforced", "prod/app"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	old, plain, whole := filepath.Join(dir, "old"), filepath.Join(dir, "plain"), filepath.Join(dir, "whole")
	b.stig(t, 0, "trust", "export", "-o", old, b.image("prod/app"))
	second := b.must(t)(b.Sign(t.Context(), "prod/app:2"))
	if out := b.stig(t, 0, "trust", "export", "-o", plain, b.image("prod/app")); !strings.Contains(out.stderr, "1 repository, 2 tags, ") {
		t.Error(out.stderr)
	}
	b.stig(t, 0, "trust", "export", "--images", "-o", whole, b.image("prod/app:1"), b.image("prod/app:2"))
	b.crossTheGap(t, whole, []testbed.Image{signed, second}, unsigned)

	state := filepath.Join(dir, "state")
	b.env = []string{"STIG_STATE=" + state}
	if out := b.stig(t, 3, "trust", "verify", signed.Ref); !strings.Contains(out.stdout, "unreachable") {
		t.Errorf("before the import:\n%s", out.stdout)
	}
	if out := b.stig(t, 0, "trust", "import", plain); !strings.Contains(out.stdout, "starts are refused") {
		t.Errorf("want the day from which starts are refused in\n%s", out.stdout)
	}
	b.verifies(t, signed)
	b.verifies(t, second)
	b.stig(t, 2, "trust", "verify", unsigned.Ref)

	if engine == testbed.Docker {
		t.Run("its manifests tie content to signatures", func(t *testing.T) { b.untie(t, filepath.Join(state, "manifests"), plain, signed) })
		t.Run("docker load of the bundle", func(t *testing.T) {
			b.ok(t, "image", "rm", "--force", signed.Ref, second.Ref)
			b.ok(t, "load", "--input", whole)
			b.verifies(t, signed)
			b.verifies(t, second)
		})
	}
	t.Run("older bundle", func(t *testing.T) {
		if out := b.stig(t, 2, "trust", "import", old); !strings.Contains(out.stdout, "rollback, role ") {
			t.Error(out.stdout)
		}
		b.verifies(t, second)
	})
	t.Run("moved clock", func(t *testing.T) { b.moveClock(t, plain, signed.Ref) })
	t.Run("for other pins", func(t *testing.T) {
		pinned, err := os.ReadFile(b.PolicyFile())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.WriteFile(b.PolicyFile(), pinned, 0o600); err != nil {
				t.Fatal(err)
			}
		}()
		b.withPolicy(t, map[string]any{"content-trust": map[string]any{"mode": "enforced", "trust-pinning": map[string]any{"root-keys": map[string][]string{b.image("prod/app"): {strings.Repeat("0", 64)}}}}})
		fresh := filepath.Join(dir, "fresh")
		b.env = []string{"STIG_STATE=" + fresh}
		defer func() { b.env = []string{"STIG_STATE=" + state} }()
		if out := b.stig(t, 2, "trust", "import", whole); !strings.Contains(out.stdout, "unknown-signer, role root") {
			t.Error(out.stdout)
		}
		err = filepath.WalkDir(fresh, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				t.Errorf("%s was written", path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	b.enforceFrom(t, state)
	b.starts(t, signed)
	b.starts(t, second)
	for _, image := range []string{unsigned.Ref, unsigned.ID} {
		b.untouched(t, func() { b.refused(t, "unsigned", "run", "--network", "none", image) })
	}
}

// crossTheGap makes of the testbed a machine to which files alone came: the
// trust server is away and not named, the registry has nothing, and the images
// came by docker save and docker load, or in the bundle.
func (b *bed) crossTheGap(t *testing.T, whole string, signed []testbed.Image, unsigned testbed.Image) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "images.tar")
	names := []string{unsigned.Ref}
	for _, image := range signed {
		names = append(names, image.Ref)
	}
	b.ok(t, append([]string{"save", "--output", archive}, names...)...)
	b.ok(t, append([]string{"image", "rm", "--force"}, names...)...)
	if err := b.StopNotary(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.withPolicy(t, map[string]any{"notary": map[string]any{"servers": map[string][]string{b.Registry(): {}}}})
	for _, image := range append(signed, unsigned) {
		b.forget(t, image)
	}
	b.ok(t, "load", "--input", archive)
	if b.variable("STIG_ENGINE") == string(testbed.Moby) {
		// The archive may have other manifests; the bundle has the signed ones.
		b.ok(t, append([]string{"image", "rm", "--force"}, names[1:]...)...)
		b.ok(t, "load", "--input", whole)
	}
	for _, image := range signed {
		if id := strings.TrimSpace(b.ok(t, "image", "inspect", "--format", "{{.Id}}", image.Ref).stdout); id != image.ID {
			t.Errorf("%s is image %s behind the gap, and was %s", image.Ref, id, image.ID)
		}
	}
}

// forget removes an image from the registry.
func (b *bed) forget(t *testing.T, image testbed.Image) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "http://"+b.Registry()+"/v2/prod/app/manifests/"+image.Digest, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatalf("removing %s from the registry: %s", image.Ref, resp.Status)
	}
}

// ok runs the docker client and wants success.
func (b *bed) ok(t *testing.T, args ...string) output {
	t.Helper()
	out := b.docker(t, args...)
	if out.code != 0 {
		t.Fatalf("docker %s: %s", strings.Join(args, " "), out.stderr)
	}
	return out
}

// untie takes away the manifests that came in the bundle: on an engine with a
// graphdriver nothing else ties the image, which came by docker load, to what
// is signed. Importing again brings them back.
func (b *bed) untie(t *testing.T, manifests, plain string, image testbed.Image) {
	t.Helper()
	if err := os.RemoveAll(manifests); err != nil {
		t.Fatal(err)
	}
	if out := b.stig(t, 2, "trust", "verify", image.Ref); !strings.Contains(out.stdout, "which nothing ties to the digest") {
		t.Error(out.stdout)
	}
	if out := b.stig(t, 0, "trust", "import", plain); !strings.Contains(out.stdout, "its signatures were here already") {
		t.Error(out.stdout)
	}
	b.verifies(t, image)
}

// verifies wants an image accepted by a bundle, and the engine to hold it.
func (b *bed) verifies(t *testing.T, image testbed.Image) {
	t.Helper()
	var verdicts []struct {
		Verdict, Digest, Source string
		Engine                  struct{ Matches bool }
	}
	fromJSON(t, b.stig(t, 0, "trust", "verify", "--format", "json", image.Ref).stdout, &verdicts)
	if len(verdicts) != 1 || verdicts[0].Verdict != "signed" || verdicts[0].Digest != image.Digest || verdicts[0].Source != string(trust.Bundle) || !verdicts[0].Engine.Matches {
		t.Errorf("%s: %+v", image.Ref, verdicts)
	}
}

// starts wants a container of the image to have run.
func (b *bed) starts(t *testing.T, image testbed.Image) {
	t.Helper()
	out := b.ok(t, "create", "--network", "none", image.Ref)
	id := strings.TrimSpace(out.stdout)
	b.ok(t, "start", id)
	b.ok(t, "wait", id)
	list, err := b.Containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.ID == id && c.ImageID == image.ID && c.State == "exited" && !c.Started.IsZero() {
			return
		}
	}
	t.Errorf("no container of %s has run: %v", image.Ref, list)
}

// moveClock asks the library, whose clock is an argument. The real server's
// timestamps last 14 days.
func (b *bed) moveClock(t *testing.T, path, image string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	carried, err := bundle.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.ParseDockerRef(image)
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		imported, asked time.Duration // from now
		allow           time.Duration
		refused         trust.Reason // of the import, or else of the question; "": none
	}{
		"day 13":                   {0, 13 * day, 0, ""},
		"day 15":                   {0, 15 * day, 0, trust.Expired},
		"day 15, allowed 30":       {0, 15 * day, 30 * day, ""},
		"day 43, allowed 30":       {0, 43 * day, 30 * day, ""},
		"day 45, allowed 30":       {0, 45 * day, 30 * day, trust.Expired},
		"imported on day 13":       {13 * day, 13 * day, 0, ""},
		"imported on day 15":       {15 * day, 15 * day, 0, trust.Expired},
		"imported on day 15 of 30": {15 * day, 16 * day, 30 * day, ""},
		"clock set back":           {13 * day, 0, 0, ""},
		"targets are not excused":  {0, 1200 * day, 3650 * day, trust.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			if test.allow != 0 {
				b.withPolicy(t, map[string]any{"allow-expired": map[string]string{ref.Name(): test.allow.String()}})
				defer b.withPolicy(t, map[string]any{"allow-expired": map[string]string{}})
			}
			loaded, err := policy.Load(b.PolicyFile())
			if err != nil {
				t.Fatal(err)
			}
			state := t.TempDir()
			at := func(offset time.Duration) *policy.Verifier {
				return policy.NewVerifier(loaded, policy.Options{StateDir: state, Now: func() time.Time { return time.Now().Add(offset) }})
			}
			got := importAndAsk(t.Context(), at(test.imported), at(test.asked), carried, ref)
			if got != test.refused {
				t.Errorf("refused for %q, want %q", got, test.refused)
			}
		})
	}
}

// importAndAsk gives the reason of a refusal, "" if there is none.
func importAndAsk(ctx context.Context, importer, asked *policy.Verifier, carried bundle.Bundle, ref reference.Named) trust.Reason {
	list, err := importer.Import(ctx, carried)
	if err == nil {
		err = list[0].Err
	}
	if err == nil {
		_, err = asked.Verify(ctx, trust.Question{Ref: ref})
	}
	refused := new(trust.Error)
	if errors.As(err, &refused) {
		return refused.Reason
	}
	if err != nil {
		return trust.Reason(err.Error())
	}
	return ""
}
