package command

import (
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/docker-stig/docker-stig/shared/admission"
	"github.com/docker-stig/docker-stig/shared/engine"
	"github.com/docker-stig/docker-stig/shared/engine/enginetest"
)

const (
	imageID  = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	manifest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

// TestWantDigestShowsWhatTheEngineHolds: by which digest a tag's content can
// be allowed depends on how the engine stores it.
func TestWantDigestShowsWhatTheEngineHolds(t *testing.T) {
	t.Parallel()
	pulled := enginetest.Image{ID: imageID, RepoTags: []string{"app:1"}, RepoDigests: []string{"app@" + manifest, "other@" + imageID}}
	built := enginetest.Image{ID: imageID, RepoTags: []string{"app:1"}, RepoDigests: []string{"other@" + manifest}}
	for name, test := range map[string]struct {
		store *enginetest.Engine
		image enginetest.Image
		want  string
	}{
		"pulled, graphdriver": {enginetest.Graphdriver(), pulled, manifest},
		"built, graphdriver":  {enginetest.Graphdriver(), built, imageID},
		"pulled, containerd":  {enginetest.Containerd(), pulled, imageID},
		"built, containerd":   {enginetest.Containerd(), built, imageID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.store.Images = []enginetest.Image{test.image}
			client := engine.NewClient(test.store.Start(t).URL(), time.Now)
			defer client.Close()
			opts := allowOptions{lasts: lifetime(90 * time.Minute), reason: "outage"}
			_, err := wantDigest(t.Context(), client, "app:1", opts)
			if want := "\n  docker stig authz allow app@" + test.want + " --for 1h30m --reason 'outage'"; err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
			ref, err := wantDigest(t.Context(), client, "app:1@"+manifest, opts)
			if err != nil || ref.String() != "docker.io/library/app@"+manifest {
				t.Errorf("got %v, %v", ref, err)
			}
		})
	}
}

// TestWantDigestWithoutAnEngine still says what is wanted.
func TestWantDigestWithoutAnEngine(t *testing.T) {
	t.Parallel()
	client := engine.NewClient("unix://"+t.TempDir()+"/none", time.Now)
	defer client.Close()
	if _, err := wantDigest(t.Context(), client, "app:1", allowOptions{}); err == nil || !strings.Contains(err.Error(), "want IMAGE@DIGEST") {
		t.Errorf("got %v", err)
	}
	ref, err := wantDigest(t.Context(), client, "app@"+manifest, allowOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := runnable(t.Context(), client, ref); got != "app@"+manifest {
		t.Errorf("got %s", got)
	}
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"2h": "2h", "90m": "1h30m", "7d": "168h", "2m30s": "2m30s", "10s": "10s", "20m": "20m", "10h": "10h"} {
		var l lifetime
		if err := l.Set(text); err != nil || l.String() != want {
			t.Errorf("%s: got %s, %v", text, &l, err)
		}
	}
	for _, text := range []string{"", "2", "-2h", "0s", "tomorrow", `2h"`} {
		var l lifetime
		if err := l.Set(text); err == nil || l.String() != "" {
			t.Errorf("%q: got %s", text, &l)
		}
	}
}

// TestLogin is whom sudo works for.
func TestLogin(t *testing.T) {
	t.Setenv("SUDO_USER", "alice")
	if got := login(); got != "alice" {
		t.Errorf("got %q", got)
	}
	t.Setenv("SUDO_USER", "")
	if got := login(); got == "" || got == "alice" {
		t.Errorf("got %q", got)
	}
}

// TestAllowanceNames: what is shown can be typed again.
func TestAllowanceNames(t *testing.T) {
	t.Parallel()
	for repository, want := range map[string]string{"docker.io/library/app": "app", "dtr.example.com/prod/app": "dtr.example.com/prod/app"} {
		a := admission.Allowance{Repository: repository, Digest: digest.Digest(manifest)}
		if got := allowedName(a); got != want+"@"+manifest {
			t.Errorf("got %s", got)
		}
		ref, err := reference.ParseNormalizedNamed(allowedName(a))
		if err != nil || ref.Name() != repository {
			t.Errorf("what is shown names %v, %v", ref, err)
		}
	}
}

func TestShellQuoted(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"outage 4711": "'outage 4711'", "it's $HOME": `'it'\''s $HOME'`, "": "''"} {
		if got := shellQuoted(text); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
